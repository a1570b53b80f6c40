//! Times from other clocks, such as the time of a push or a call. The reported time identifies the
//! event. The order of events uses a corrected time, so that no event counts as far in the future.

use jiff::{SignedDuration, Timestamp};

use crate::records::Occurrence;

/// The longest time by which another clock may be ahead of Stablepin's clock. A reported time that
/// is further ahead must be wrong.
pub const MOST_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The launch of Amazon ECR. A reported push time before the launch must be wrong, and its year may
/// not fit into a build tag.
/// <https://aws.amazon.com/blogs/aws/ec2-container-registry-now-generally-available/>
const EARLIEST: Timestamp = Timestamp::constant(1_450_656_000, 0);

/// Returns the corrected time of an event: the reported time, but not before ECR's launch and never
/// far in the future. The caller must store the result, because it depends on `now`.
pub fn place(now: Timestamp, reported: Timestamp) -> Timestamp {
    reported.min(now + MOST_AHEAD).max(EARLIEST)
}

/// Returns whether the reported time is too far in the future to be true.
pub fn is_ahead(now: Timestamp, reported: Timestamp) -> bool {
    reported > now + MOST_AHEAD
}

impl Occurrence {
    /// Returns the same push with its [corrected time](place).
    pub fn placed(&self, now: Timestamp) -> Self {
        Self { at: place(now, self.at), digest: self.digest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_time_is_corrected_only_if_it_is_impossible() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T10:00:00Z");
        for reported in ["2026-11-21T10:00:00Z", "2026-11-21T10:05:00Z", "2015-12-21T00:00:00Z"] {
            assert_eq!((place(now, at(reported)), is_ahead(now, at(reported))), (at(reported), false));
        }
        for reported in ["2026-11-21T10:05:00.001Z", "2099-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            assert_eq!(
                (place(now, at(reported)), is_ahead(now, at(reported))),
                (now + MOST_AHEAD, true),
                "{reported}"
            );
        }
        for reported in ["1970-01-01T00:00:00Z", "-009999-01-02T01:59:59Z"] {
            assert_eq!(place(now, at(reported)), EARLIEST, "{reported}");
        }
    }
}
