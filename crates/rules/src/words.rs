//! Times and sizes in words for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats a time with its date and time zone, because people may read a mail hours later.
pub fn time(at: Timestamp) -> String {
    // Parsing a format string would take three times as long, and a retention plan formats the
    // times of a hundred thousand images.
    let at = TimeZone::UTC.to_datetime(at);
    format!("{:04}-{:02}-{:02} {:02}:{:02} UTC", at.year(), at.month(), at.day(), at.hour(), at.minute())
}

/// Formats a size in decimal units, as registries do.
pub fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit / (unit / 10));
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_in_decimal_units() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(1_999_999), "1.9 MB");
        assert_eq!(size(12_345_678_901), "12.3 GB");
    }

    #[test]
    fn times_are_printed_with_minutes_and_zone() {
        assert_eq!(time("2025-07-17T14:30:52.9Z".parse().unwrap()), "2025-07-17 14:30 UTC");
    }
}
