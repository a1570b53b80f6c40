//! Times and sizes as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Absolute, with the zone: a mail may arrive hours late.
pub fn time(at: Timestamp) -> String {
    // A plan says it of each of a hundred thousand images, and a format that is parsed takes three times as long.
    let at = TimeZone::UTC.to_datetime(at);
    format!("{:04}-{:02}-{:02} {:02}:{:02} UTC", at.year(), at.month(), at.day(), at.hour(), at.minute())
}

/// Decimal units, as registries show them.
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
    fn sizes() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(1_999_999), "1.9 MB");
        assert_eq!(size(12_345_678_901), "12.3 GB");
    }

    #[test]
    fn times() {
        assert_eq!(time("2025-07-17T14:30:52.9Z".parse().unwrap()), "2025-07-17 14:30 UTC");
    }
}
