//! Times that other clocks tell: of a push, of a call. What has its place by such a time keeps the time as its identity; its
//! place is no later than our own clock allows.

use jiff::{SignedDuration, Timestamp};

use crate::records::Occurrence;

/// How far ahead of ours another clock may be. What is later than that was not pushed then.
pub const MOST_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// When Amazon ECR began: nothing was pushed before, and tags have four digits for a year.
/// <https://aws.amazon.com/blogs/aws/ec2-container-registry-now-generally-available/>
const EARLIEST: Timestamp = Timestamp::constant(1_450_656_000, 0);

/// Where what was told of now has its place. To be kept: asked an hour later, it is another.
pub fn place(now: Timestamp, told: Timestamp) -> Timestamp {
    told.min(now + MOST_AHEAD).max(EARLIEST)
}

/// Whether no clock can have told it.
pub fn is_ahead(now: Timestamp, told: Timestamp) -> bool {
    told > now + MOST_AHEAD
}

impl Occurrence {
    /// The same push at its [place].
    pub fn placed(&self, now: Timestamp) -> Self {
        Self { at: place(now, self.at), digest: self.digest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_clock_can_tell_gets_another_place() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T10:00:00Z");
        for told in ["2026-11-21T10:00:00Z", "2026-11-21T10:05:00Z", "2015-12-21T00:00:00Z"] {
            assert_eq!((place(now, at(told)), is_ahead(now, at(told))), (at(told), false));
        }
        for told in ["2026-11-21T10:05:00.001Z", "2099-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            assert_eq!((place(now, at(told)), is_ahead(now, at(told))), (now + MOST_AHEAD, true), "{told}");
        }
        for told in ["1970-01-01T00:00:00Z", "-009999-01-02T01:59:59Z"] {
            assert_eq!(place(now, at(told)), EARLIEST, "{told}");
        }
    }
}
