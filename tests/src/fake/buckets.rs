//! Token buckets, with which AWS throttles the calls of an account in a region.

use jiff::Timestamp;

use super::input::Refused;

/// The settings of a bucket: the operations that share it, its capacity, and its new tokens per
/// second.
pub(crate) type Row = (&'static [&'static str], f64, f64);

/// The token buckets, each with its number of tokens at the time of its last call.
pub(crate) struct Buckets {
    table: &'static [Row],
    left: Vec<(f64, Timestamp)>,
}

impl Buckets {
    /// Returns full buckets.
    pub(crate) fn full(table: &'static [Row], now: Timestamp) -> Self {
        Self { table, left: table.iter().map(|(_, burst, _)| (*burst, now)).collect() }
    }

    pub(crate) fn take(&mut self, operation: &str, now: Timestamp) -> Result<(), Refused> {
        for ((operations, burst, rate), (left, at)) in self.table.iter().zip(&mut self.left) {
            if !operations.contains(&operation) {
                continue;
            }
            let passed = now.duration_since(*at).as_secs_f64();
            *left = (*left + passed * rate).min(*burst);
            *at = now;
            if *left < 1.0 {
                return Err(throttled());
            }
            *left -= 1.0;
        }
        Ok(())
    }
}

pub(crate) fn throttled() -> Refused {
    Refused::new(400, "ThrottlingException", "Rate exceeded")
}
