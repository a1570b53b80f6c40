//! The clock of a fake, which also generates ids.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A clock that starts at the true time. It advances when a test lets time pass, and by one
/// microsecond at each [`stamp`](Self::stamp).
pub(crate) struct Clock {
    now: Timestamp,
    serial: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: Timestamp::now(), serial: 0 }
    }
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn time_passes(&mut self, time: SignedDuration) {
        self.now += time;
    }

    /// Advances the clock by a microsecond and returns the new time. Therefore no two stamps are
    /// equal.
    pub(crate) fn stamp(&mut self) -> Timestamp {
        self.now += SignedDuration::from_micros(1);
        self.now
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.serial += 1;
        mixed(self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Returns 32 hexadecimal digits, different in each call.
    pub(crate) fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }

    /// Returns an id in the format of a UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let hex = self.hex();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Mixes the bits of a number as SplitMix64 does. Equal numbers give equal results.
pub(crate) fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns a time in the format of JSON 1.1: seconds with a fraction.
pub(crate) fn epoch(at: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit")]
    let seconds = at.as_microsecond() as f64 / 1_000_000.0;
    json!(seconds)
}
