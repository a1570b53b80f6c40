//! The conditions of a promotion. Stablepin asks the approvers only after all conditions are met,
//! and deploys the build only while all conditions are met.

use std::fmt::{self, Display, Formatter};

use crate::application::{CheckName, EnvironmentPolicy};
use crate::approval::{approvals, approved};
use crate::name::EnvironmentName;
use crate::records::{CheckResult, Promotion, Subject};
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
    /// The checks and the earlier environment were read after the last approval.
    Reread,
    /// The digest has been a pin of the earlier environment for long enough.
    Soaked { environment: EnvironmentName, until: Timestamp },
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
    let valid = (!is_validated(subject, promotion)).then_some(Condition::Valid);
    let has_passed = |name: &&CheckName| {
        promotion.checks.get(name).is_some_and(|check| check.result == CheckResult::Passed)
    };
    let checks = policy.requires.iter().filter(|name| !has_passed(name)).cloned().map(Condition::Passed);
    let earlier = policy.after.as_ref().and_then(|after| match promotion.pinned_earlier_at {
        None => Some(Condition::PinnedIn(after.clone())),
        Some(at) => {
            let until = at + policy.soak;
            // A rollback in the earlier environment sends no report, so that environment is read
            // once more at the end.
            let is_over = until <= now && promotion.reports_read_at.is_some_and(|read| read >= until);
            (!is_over).then(|| Condition::Soaked { environment: after.clone(), until })
        }
    });
    let reread = must_reread(subject, policy, promotion).then_some(Condition::Reread);
    valid.into_iter().chain(checks).chain(earlier).chain(reread).collect()
}

/// Returns whether an approved promotion must read its reports once more. A report may have failed
/// to reach the promotion, and a rollback of the earlier environment sends none.
fn must_reread(subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> bool {
    let has_reports = !policy.requires.is_empty() || policy.after.is_some();
    let last = approvals(subject, policy, promotion).map(|(_, vote)| vote.at).max();
    let is_old = |at| promotion.reports_read_at.is_none_or(|read| read < at);
    has_reports && approved(subject, policy, promotion) && last.is_some_and(is_old)
}

/// Returns whether the image has been validated against the current version of the application
/// file. A new version may have other settings, so Stablepin validates the image again.
pub(crate) fn is_validated(subject: &Subject, promotion: &Promotion) -> bool {
    let version = subject.configuration.version;
    promotion.validated.as_ref().is_some_and(|validated| validated.configuration == version)
}

/// The shortest and the longest time between two reads of the checks and the earlier environment,
/// while a promotion waits for them. The time is a tenth of the time that the promotion has waited
/// already, within these limits. Normally the Lambda function that records a report passes the report on to the
/// promotion at once. The reads find a report whose Lambda function ended before that.
const READ_REPORTS_AFTER: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(10)];

/// Returns the time of the next read of the checks and the earlier environment. The end of the soak
/// time is such a time too. None if the promotion waits for neither.
pub(crate) fn reports_due_at(promotion: &Promotion, conditions: &[Condition]) -> Option<Timestamp> {
    let [shortest, longest] = READ_REPORTS_AFTER;
    let read_at = promotion.reports_read_at.unwrap_or(Timestamp::MIN);
    let pause = (read_at.duration_since(promotion.opened_at) / 10).clamp(shortest, longest);
    let due_at = |condition: &Condition| match condition {
        Condition::Valid => None,
        Condition::Passed(_) | Condition::PinnedIn(_) => Some(read_at + pause),
        Condition::Soaked { until, .. } => Some((*until).min(read_at + pause)),
        // The read after an approval does not wait.
        Condition::Reread => Some(Timestamp::MIN),
    };
    conditions.iter().filter_map(due_at).min()
}

/// Returns whether the checks and the earlier environment must be read now.
pub(crate) fn reports_are_due(now: Timestamp, promotion: &Promotion, conditions: &[Condition]) -> bool {
    reports_due_at(promotion, conditions).is_some_and(|at| at <= now)
}
