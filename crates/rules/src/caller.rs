//! Who called the registry, as CloudTrail recorded it. The registry's own event does not say.

use std::collections::BTreeSet;

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

/// How many of those who pushed one digest are told apart: with the longest ARNs there are, of 2,048 bytes, a quarter of what an
/// item may hold. <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const MOST_PUSHERS: usize = 50;

/// Stands for everybody beyond them: of nobody can it be said that they did not push it.
pub const MORE_PUSHERS: &str = "*";

/// What is to be kept of one more who pushed; none: nothing new. Sessions of one role are one, as they are for votes, but for
/// those whose names AWS gives.
pub fn new_pusher<'a>(known: &BTreeSet<String>, arn: &'a str) -> Option<&'a str> {
    if known.contains(MORE_PUSHERS) || known.iter().any(|one| who(one) == who(arn)) {
        return None;
    }
    Some(if known.len() < MOST_PUSHERS { arn } else { MORE_PUSHERS })
}

/// Answers whether that is news.
pub fn keep_pusher(known: &mut BTreeSet<String>, arn: &str) -> bool {
    new_pusher(known, arn).is_some_and(|new| known.insert(new.to_owned()))
}

/// A session's name is chosen by whoever assumes the role, but for a reserved one.
fn who(arn: &str) -> &str {
    let session = arn.split_once(":assumed-role/").filter(|(_, role)| !role.starts_with("AWSReservedSSO_"));
    session.and(arn.rsplit_once('/')).map_or(arn, |(role, _)| role)
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
    fn pushers_are_kept_up_to_their_bound() {
        let role = |n: usize| format!("arn:aws:sts::111122223333:assumed-role/pipeline-{n}/build");
        let mut known = BTreeSet::new();
        for n in 0..MOST_PUSHERS {
            assert!(keep_pusher(&mut known, &role(n)) && !keep_pusher(&mut known, &role(n)));
        }
        assert!(!known.contains(MORE_PUSHERS), "at the bound, all are told apart");
        assert!(keep_pusher(&mut known, &role(MOST_PUSHERS)));
        assert!(known.contains(MORE_PUSHERS) && known.len() == MOST_PUSHERS + 1);
        for n in 0..3000 {
            assert!(!keep_pusher(&mut known, &role(n)));
        }
    }

    #[test]
    fn sessions_of_a_role_are_one_pusher() {
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
    fn what_was_found_today_was_not_moved_yesterday() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let caller =
            Caller { arn: "arn:aws:iam::111122223333:user/a".to_owned(), at: at("2026-11-21T12:00:00Z") };
        assert!(caller.is_recent(at("2026-11-21T12:00:02Z")) && caller.is_recent(at("2026-11-21T13:15:00Z")));
        assert!(!caller.is_recent(at("2026-11-22T12:00:00Z")));
    }
}
