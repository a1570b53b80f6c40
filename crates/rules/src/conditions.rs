//! The conditions of a promotion. Stablepin asks the approvers only after all conditions are met,
//! and deploys the build only while all conditions are met.

use std::fmt::{self, Display, Formatter};

use crate::application::{CheckName, EnvironmentPolicy};
use crate::approval::{approvals, approved};
use crate::name::EnvironmentName;
use crate::records::{CheckResult, Hold, Promotion, Subject};
use crate::words::time;
use jiff::{SignedDuration, Timestamp};

/// A condition that a promotion waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The image has been validated against the current version of the application file.
    Valid,
    /// A pipeline has reported that the check passed.
    Passed(CheckName),
    /// The digest has become a pin of the earlier environment.
    PinnedIn(EnvironmentName),
    /// The checks and the earlier environment have been read again shortly before the promotion
    /// begins.
    Reread,
    /// The digest has been a pin of the earlier environment for long enough.
    Soaked { environment: EnvironmentName, until: Timestamp },
}

impl Condition {
    /// Returns whether Stablepin meets the condition by a read of its own, which it repeats shortly
    /// before the promotion begins. No person or pipeline needs to act.
    pub(crate) fn is_repeated_read(&self) -> bool {
        match self {
            Self::Valid | Self::Reread => true,
            Self::Passed(_) | Self::PinnedIn(_) | Self::Soaked { .. } => false,
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("the validation of the image"),
            Self::Passed(check) => write!(f, "the check {check}"),
            Self::PinnedIn(environment) => write!(f, "a pin of this digest in {environment}"),
            Self::Reread => f.write_str("a last read of its checks"),
            Self::Soaked { environment, until } => {
                write!(f, "the end of the soak time in {environment}, {}", time(*until))
            }
        }
    }
}

/// Returns the conditions that are not met, in the order of the promotion workflow.
pub fn unmet(
    now: Timestamp,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
) -> Vec<Condition> {
    let has_passed = |name: &&CheckName| {
        promotion.checks.get(name).is_some_and(|check| check.result == CheckResult::Passed)
    };
    let checks = policy.requires.iter().filter(|name| !has_passed(name)).cloned().map(Condition::Passed);
    let checks: Vec<Condition> = checks.collect();
    let earlier = policy.after.as_ref().and_then(|after| {
        let read = promotion.earlier.as_ref().filter(|read| read.environment == *after);
        let Some((pinned_at, read_at)) = read.and_then(|read| Some((read.pinned_at?, read.read_at))) else {
            return Some(Condition::PinnedIn(after.clone()));
        };
        let until = pinned_at + policy.soak;
        // A rollback in the earlier environment sends no report, so Stablepin reads that
        // environment once more at the end of the soak time.
        let is_over = until <= now && read_at >= until;
        (!is_over).then(|| Condition::Soaked { environment: after.clone(), until })
    });
    // A freeze, a hold or another operation may have blocked the approved promotion for a long
    // time, so the promotion's reads may be out of date.
    let is_ready = checks.is_empty() && earlier.is_none();
    let begins = is_ready && approved(subject, policy, promotion) && !is_blocked(subject, policy, promotion);
    let recently = if begins { now - FRESH } else { Timestamp::MIN };
    let last = approvals(subject, policy, promotion).map(|(_, vote)| vote.at).max();
    let has_waited = last.or(promotion.ready_at).is_some_and(|since| since < recently);
    let validated_since = if has_waited { recently } else { Timestamp::MIN };
    let valid = (!is_validated(subject, promotion, validated_since)).then_some(Condition::Valid);
    let read_since = last.map_or(recently, |last| last.max(recently));
    let reread = begins && must_reread(policy, promotion, read_since);
    valid.into_iter().chain(checks).chain(earlier).chain(reread.then_some(Condition::Reread)).collect()
}

/// The maximum age of an image's validation at two times: when Stablepin asks the approvers, and
/// when a promotion begins that was blocked after its approval. When a promotion begins, the last
/// reads of its checks and of the earlier environment have the same maximum age.
pub(crate) const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Returns whether Stablepin must read the checks or the earlier environment once more before the
/// promotion begins, because the last read was before the time `since`. A report of a check may not
/// have reached the promotion, and a rollback of the earlier environment sends no report.
fn must_reread(policy: &EnvironmentPolicy, promotion: &Promotion, since: Timestamp) -> bool {
    let is_old = |read_at: Option<Timestamp>| read_at.is_none_or(|read_at| read_at < since);
    let earlier_read_at = promotion.earlier.as_ref().map(|read| read.read_at);
    (!policy.requires.is_empty() && is_old(promotion.checks_read_at))
        || (policy.after.is_some() && is_old(earlier_read_at))
}

/// Returns whether the image has been validated since this time, against the current version of the
/// application file. A new version may have other settings, so Stablepin validates the image again.
pub(crate) fn is_validated(subject: &Subject, promotion: &Promotion, since: Timestamp) -> bool {
    let version = subject.configuration.version;
    promotion.validated.as_ref().is_some_and(|one| one.configuration == version && one.at >= since)
}

/// Returns whether a freeze, a hold or another operation blocks the waiting promotion.
pub(crate) fn is_blocked(subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> bool {
    let environment = &subject.environment;
    environment.slot.is_some() || environment.freeze.is_some() || held(subject, policy, promotion).is_some()
}

/// Returns the hold that blocks this promotion. None if there is no hold, or if an approver
/// approved the promotion after the hold began.
pub(crate) fn held<'a>(
    subject: &'a Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
) -> Option<&'a Hold> {
    let hold = subject.environment.hold.as_ref()?;
    let released = approvals(subject, policy, promotion).any(|(_, vote)| vote.at > hold.since);
    (!released).then_some(hold)
}

/// The shortest and the longest time between two reads of the checks or of the earlier environment,
/// while a promotion waits for them. Within these limits, the time is a tenth of the promotion's
/// age. The reads find reports that a Lambda function recorded but did not pass on to the
/// promotion.
const READ_REPORTS_AFTER: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(10)];

/// Returns the time of the next read of the checks or the earlier environment for this condition.
/// During a soak time, the next read is due at the end of the soak time or earlier. None if the
/// condition needs neither.
fn read_due_at(promotion: &Promotion, condition: &Condition) -> Option<Timestamp> {
    let [shortest, longest] = READ_REPORTS_AFTER;
    let next = |read_at: Option<Timestamp>| {
        read_at.map_or(Timestamp::MIN, |at| {
            at + (at.duration_since(promotion.opened_at) / 10).clamp(shortest, longest)
        })
    };
    let next_earlier = || next(promotion.earlier.as_ref().map(|read| read.read_at));
    match condition {
        Condition::Valid => None,
        Condition::Passed(_) => Some(next(promotion.checks_read_at)),
        Condition::PinnedIn(environment) => {
            let is_other = promotion.earlier.as_ref().is_some_and(|read| read.environment != *environment);
            Some(if is_other { Timestamp::MIN } else { next_earlier() })
        }
        Condition::Soaked { until, .. } => Some((*until).min(next_earlier())),
        // The read shortly before the promotion begins is due at once.
        Condition::Reread => Some(Timestamp::MIN),
    }
}

/// Returns the time of the next read of the checks or the earlier environment. None if the
/// promotion waits for neither.
pub(crate) fn reports_due_at(promotion: &Promotion, conditions: &[Condition]) -> Option<Timestamp> {
    conditions.iter().filter_map(|condition| read_due_at(promotion, condition)).min()
}

/// Returns whether the checks or the earlier environment must be read now for this condition.
pub(crate) fn is_due(now: Timestamp, promotion: &Promotion, condition: &Condition) -> bool {
    read_due_at(promotion, condition).is_some_and(|at| at <= now)
}
