//! Who called the registry, as CloudTrail recorded it. The registry's own event does not say.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::Actor;

/// Who put a tag on a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The ARN of the principal that signed the request: of a role's session, of a user.
    pub arn: String,
    pub at: Timestamp,
}

/// A tag that was moved is found at once, or by the sweep.
const FOUND_WITHIN: SignedDuration = SignedDuration::from_hours(2);

impl Caller {
    /// Whether it can be the call behind what was found at this time.
    pub fn is_recent(&self, found_at: Timestamp) -> bool {
        found_at.duration_since(self.at).abs() <= FOUND_WITHIN
    }

    pub fn actor(&self) -> Actor {
        Actor::Principal { arn: self.arn.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_today_was_not_moved_yesterday() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let caller =
            Caller { arn: "arn:aws:iam::111122223333:user/a".to_owned(), at: at("2026-11-21T12:00:00Z") };
        assert!(caller.is_recent(at("2026-11-21T12:00:02Z")) && caller.is_recent(at("2026-11-21T13:15:00Z")));
        assert!(!caller.is_recent(at("2026-11-22T12:00:00Z")));
    }
}
