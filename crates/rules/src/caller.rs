//! CloudTrail attributions: the principal that pushed an image or moved a tag. ECR's own event does
//! not name the principal.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::Actor;

/// A principal that put a tag on a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The ARN of the user or role session that signed the request.
    pub arn: String,
    pub at: Timestamp,
}

/// The most pushers that are stored for one digest. ARNs have at most 2,048 bytes, so the pushers
/// use at most a quarter of a DynamoDB item.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MOST_PUSHERS: usize = 50;

/// The entry that represents all pushers beyond the limit. Such a pusher may be any person, so
/// four-eyes checks match this entry with every person.
pub const MORE_PUSHERS: &str = "*";

/// Returns the entry to store for a pusher. None if the pusher or [`MORE_PUSHERS`] is already
/// stored. Beyond the limit, the entry is [`MORE_PUSHERS`]. All sessions of one role count as one
/// pusher, except sessions whose names AWS assigns.
pub fn new_pusher<'a>(known: &BTreeSet<String>, arn: &'a str) -> Option<&'a str> {
    if known.contains(MORE_PUSHERS) || known.iter().any(|one| identity(one) == identity(arn)) {
        return None;
    }
    Some(if known.len() < MOST_PUSHERS { arn } else { MORE_PUSHERS })
}

/// Stores the entry of [`new_pusher`]. Returns whether there was a new entry.
pub fn keep_pusher(known: &mut BTreeSet<String>, arn: &str) -> bool {
    new_pusher(known, arn).is_some_and(|new| known.insert(new.to_owned()))
}

/// Returns the part of an ARN that identifies the person or role. Drops the name of a role's
/// session, because the caller chooses the name. Keeps the session name of a reserved role, because
/// AWS assigns that name.
fn identity(arn: &str) -> &str {
    let session = arn.split_once(":assumed-role/").filter(|(_, role)| !role.starts_with("AWSReservedSSO_"));
    session.and(arn.rsplit_once('/')).map_or(arn, |(role, _)| role)
}

/// The longest time from a call that moves a tag until Stablepin notices the move, by an event or
/// by its sweep.
const FOUND_WITHIN: SignedDuration = SignedDuration::from_hours(2);

impl Caller {
    /// Returns whether this call may have caused a change that Stablepin found at the given time:
    /// the two times are at most two hours apart.
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
    fn list_of_pushers_stops_growing_at_its_limit() {
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
    fn sessions_of_one_role_count_as_one_pusher() {
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
    fn caller_is_recent_after_an_hour_but_not_after_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let caller =
            Caller { arn: "arn:aws:iam::111122223333:user/a".to_owned(), at: at("2026-11-21T12:00:00Z") };
        assert!(caller.is_recent(at("2026-11-21T12:00:02Z")) && caller.is_recent(at("2026-11-21T13:15:00Z")));
        assert!(!caller.is_recent(at("2026-11-22T12:00:00Z")));
    }
}
