//! CloudTrail attributions: who called the registry. The registry's own event does not name the
//! caller.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::Actor;

/// A caller that put a tag on a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The ARN of the user or role session that signed the request.
    pub arn: String,
    pub at: Timestamp,
}

/// The most pushers that are stored for one digest. With ARNs of the greatest length, 2,048 bytes,
/// they use a quarter of an item.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MOST_PUSHERS: usize = 50;

/// The entry that represents all further pushers. It may be any person, so four-eyes checks match
/// it with every person.
pub const MORE_PUSHERS: &str = "*";

/// Returns the entry to store for a pusher. None if the pusher is already stored. All sessions of a
/// role count as one pusher, as in votes. Sessions with a name from AWS count separately.
pub fn new_pusher<'a>(known: &BTreeSet<String>, arn: &'a str) -> Option<&'a str> {
    if known.contains(MORE_PUSHERS) || known.iter().any(|one| identity(one) == identity(arn)) {
        return None;
    }
    Some(if known.len() < MOST_PUSHERS { arn } else { MORE_PUSHERS })
}

/// Stores a pusher. Returns whether the pusher is new.
pub fn keep_pusher(known: &mut BTreeSet<String>, arn: &str) -> bool {
    new_pusher(known, arn).is_some_and(|new| known.insert(new.to_owned()))
}

/// Returns the part of an ARN that identifies the person or role. The session name is dropped,
/// because the role's user chooses it. Reserved roles keep the session name, because AWS assigns
/// it.
fn identity(arn: &str) -> &str {
    let session = arn.split_once(":assumed-role/").filter(|(_, role)| !role.starts_with("AWSReservedSSO_"));
    session.and(arn.rsplit_once('/')).map_or(arn, |(role, _)| role)
}

/// The longest time between a call that moves a tag and the moment when Stablepin or its sweep
/// notices.
const FOUND_WITHIN: SignedDuration = SignedDuration::from_hours(2);

impl Caller {
    /// Returns whether this call may have caused a change that was found at the given time.
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
    fn pushers_are_stored_up_to_their_limit() {
        let role = |n: usize| format!("arn:aws:sts::111122223333:assumed-role/pipeline-{n}/build");
        let mut known = BTreeSet::new();
        for n in 0..MOST_PUSHERS {
            assert!(keep_pusher(&mut known, &role(n)) && !keep_pusher(&mut known, &role(n)));
        }
        assert!(!known.contains(MORE_PUSHERS), "at the limit, every pusher has an entry");
        assert!(keep_pusher(&mut known, &role(MOST_PUSHERS)));
        assert!(known.contains(MORE_PUSHERS) && known.len() == MOST_PUSHERS + 1);
        for n in 0..3000 {
            assert!(!keep_pusher(&mut known, &role(n)));
        }
    }

    #[test]
    fn role_sessions_count_as_one_pusher() {
        let session =
            |role: &str, name: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/{name}");
        let mut known = BTreeSet::new();
        for n in 0..3000 {
            keep_pusher(&mut known, &session("pipeline", &format!("GitHubActions-{n}")));
        }
        assert_eq!(known, BTreeSet::from([session("pipeline", "GitHubActions-0")]));
        let reserved = "AWSReservedSSO_Lead_0123456789abcdef";
        assert!(
            keep_pusher(&mut known, &session(reserved, "anna"))
                && keep_pusher(&mut known, &session(reserved, "bob"))
        );
        assert!(keep_pusher(&mut known, "arn:aws:iam::111122223333:user/team/anna"));
        assert!(keep_pusher(&mut known, "arn:aws:iam::111122223333:user/team/bob"));
        assert_eq!(known.len(), 5);
    }

    #[test]
    fn call_of_yesterday_is_not_recent() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let caller =
            Caller { arn: "arn:aws:iam::111122223333:user/a".to_owned(), at: at("2026-11-21T12:00:00Z") };
        assert!(caller.is_recent(at("2026-11-21T12:00:02Z")) && caller.is_recent(at("2026-11-21T13:15:00Z")));
        assert!(!caller.is_recent(at("2026-11-22T12:00:00Z")));
    }
}
