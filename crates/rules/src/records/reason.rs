//! The reasons why a promotion or rollback ended, and why an environment has a hold. `Display`
//! writes each reason for people, without a full stop at its end.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::pin::TakenTag;
use crate::application::{CheckName, ServiceName};
use crate::audit::Actor;
use crate::containing_index::ContainingIndex;
use crate::image::ImageDigest;
use crate::link::Link;
use crate::name::ApproverName;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::validation::InvalidImage;

/// The reason why a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromotionReason {
    Pinned {
        pin: PinNumber,
        /// The tags of the pin and its build that ECR did not accept.
        without: Vec<TakenTag>,
    },
    Rejected {
        by: ApproverName,
        reason: Option<String>,
    },
    Withdrawn {
        by: Actor,
        reason: Option<String>,
    },
    /// A later build became the pin with this number.
    Superseded(PinNumber),
    /// The promotion expired while it waited for this event.
    Expired(Blocker),
    PartOfIndex(ContainingIndex),
    /// The validation of the image failed.
    Invalid(InvalidImage),
    /// A pipeline reported that a required check failed.
    CheckFailed {
        name: CheckName,
        link: Option<Link>,
    },
    /// The environment was removed from the configuration before the promotion deployed to any
    /// service.
    EnvironmentRemoved,
    /// A rollback replaced the promotion in the slot.
    Preempted {
        /// The id of the rollback. None if the rollback has already ended.
        rollback: Option<OperationId>,
        /// The reason of the environment's hold at the end of the promotion.
        hold: Option<HoldReason>,
    },
    Failed {
        failure: RolloutFailure,
        aftermath: Aftermath,
    },
}

/// The event that an expired promotion waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocker {
    /// Conditions that were not met, and the last error of a read for these conditions.
    Conditions {
        unmet: Vec<String>,
        problem: Option<String>,
    },
    Decision,
    /// The end of a freeze. The text is the reason that the person gave for the freeze.
    Freeze(String),
    /// The release of a hold.
    Hold(HoldReason),
}

/// The reason why a rollout failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutFailure {
    /// AWS or an endpoint reported the failure in these words.
    Reported(String),
    /// Another deployment replaced Stablepin's deployment.
    Superseded(String),
    /// The desired count of every service is 0, so no task runs that could prove the build.
    NothingProven,
    /// Stablepin could not read the services, or another deployment did not end. The text is the
    /// last known problem.
    NotBegun(Option<String>),
    /// The environment was removed from the configuration.
    EnvironmentRemoved,
}

/// The state of the services after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aftermath {
    Untouched,
    /// Stablepin did not revert, so the services stay as the failure left them.
    Unchanged,
    /// No service changed: no revert was necessary, or the revert found that no service had
    /// changed.
    NotMoved,
    /// No previous image is known, so a revert is impossible.
    NoWayBack,
    /// ECS itself rolled every service back to this pin. None: to the image that ran before the
    /// promotion.
    RevertedByEcs(Option<PinNumber>),
    Reverted,
    /// ECS accepted the revert, but no task runs that could prove it.
    RevertedUnproven,
    RevertFailed(RolloutFailure),
}

/// The reason why a rollback ended, or why a rollback in progress will fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackReason {
    Proven {
        /// The number of proven services.
        services: usize,
        digest: ImageDigest,
        /// The number of the new pin. None if the pin did not change.
        pin: Option<PinNumber>,
        /// True if the rollback included only some of the environment's services, and its target
        /// was not the current pin. The pin then does not change.
        is_partial: bool,
        /// The pin's tag that ECR did not accept.
        without: Option<TakenTag>,
    },
    Failed(RolloutFailure),
    NothingTouched {
        failure: RolloutFailure,
        /// The changes that the pre-empted promotion left on the services. None if the promotion
        /// changed no service.
        left: Option<LeftBehind>,
    },
}

/// The changes that a pre-empted promotion left on the services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The promotion's digest.
    pub digest: ImageDigest,
    /// The services whose task definition has the promotion's digest.
    pub moved: Vec<ServiceName>,
    /// True if the rollback included every service of the environment.
    pub is_whole: bool,
    /// True if a call of the promotion may have reached ECS after Stablepin's last observation.
    pub is_late: bool,
}

/// The reason why an environment has a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// A rollback to this pin.
    Rollback(PinNumber),
    /// A rollback that changed nothing. It had pre-empted a promotion that may have changed
    /// services.
    RollbackRefused {
        pin: PinNumber,
        left: LeftBehind,
    },
    ReleaseFailed(RolloutFailure),
}

impl Display for PromotionReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned { pin, without } => {
                write!(f, "pinned as pin {pin}")?;
                without.iter().try_for_each(|tag| write!(f, "; {}", tag.words()))
            }
            Self::Rejected { by, reason } => spoken(f, "rejected", by, reason.as_deref()),
            Self::Withdrawn { by, reason } => spoken(f, "withdrawn", by, reason.as_deref()),
            Self::Superseded(pin) => write!(f, "superseded: a later build became pin {pin}"),
            Self::Expired(waited_for) => write!(f, "expired: {waited_for}"),
            Self::PartOfIndex(index) => f.write_str(&index.reason()),
            Self::Invalid(defect) => write!(f, "the image is not valid: {defect}"),
            Self::CheckFailed { name, link } => {
                write!(f, "the check {name} failed")?;
                link.as_ref().map_or(Ok(()), |link| write!(f, ": {link}"))
            }
            Self::EnvironmentRemoved => f.write_str("the environment was removed from the configuration"),
            Self::Preempted { rollback: Some(id), .. } => {
                write!(f, "pre-empted by rollback {id}: its record says what happens to the services")
            }
            Self::Preempted { rollback: None, hold } => {
                f.write_str("pre-empted by a rollback, which has ended")?;
                match hold {
                    Some(hold) => write!(f, ". The environment is held: {hold}"),
                    None => f.write_str(": its record says what happened to the services"),
                }
            }
            Self::Failed { failure, aftermath } => failed(f, failure, aftermath),
        }
    }
}

fn spoken(f: &mut Formatter<'_>, what: &str, by: &dyn Display, reason: Option<&str>) -> fmt::Result {
    write!(f, "{what} by {by}")?;
    reason.map_or(Ok(()), |reason| write!(f, ": {reason}"))
}

fn failed(f: &mut Formatter<'_>, failure: &RolloutFailure, aftermath: &Aftermath) -> fmt::Result {
    if *aftermath == Aftermath::Untouched {
        return write!(f, "Stablepin changed nothing: {failure}");
    }
    failure.fmt(f)?;
    let other = if failure.is_superseded() { "other " } else { "" };
    match aftermath {
        Aftermath::Untouched | Aftermath::Unchanged => Ok(()),
        Aftermath::NotMoved => write!(f, ". No {other}service was moved"),
        Aftermath::NoWayBack => f.write_str(". There is no earlier image to roll back to"),
        Aftermath::RevertedByEcs(pin) => write!(f, ". ECS rolled back to {}", revert_goal(*pin)),
        Aftermath::Reverted => write!(f, ". Every {other}service was rolled back"),
        Aftermath::RevertedUnproven => {
            f.write_str(". Every service was rolled back, but no task runs that could prove it")
        }
        Aftermath::RevertFailed(failure) => write!(f, ". Rolling back failed: {failure}"),
    }
}

/// Describes the goal of a failed promotion's revert: a pin, or the image that ran before the
/// promotion.
pub(crate) fn revert_goal(pin: Option<PinNumber>) -> String {
    pin.map_or("what ran before".to_owned(), |pin| format!("pin {pin}"))
}

impl Display for Blocker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conditions { unmet, problem } => {
                write!(f, "still waited for {}", unmet.join(", "))?;
                problem.as_ref().map_or(Ok(()), |problem| write!(f, " ({problem})"))
            }
            Self::Decision => f.write_str("nobody decided in time"),
            Self::Freeze(reason) => write!(f, "approved, but the environment is frozen ({reason})"),
            Self::Hold(reason) => write!(f, "approved, but the environment is held ({reason})"),
        }
    }
}

impl RolloutFailure {
    pub fn is_superseded(&self) -> bool {
        matches!(self, Self::Superseded(_))
    }
}

impl Display for RolloutFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(reason) => f.write_str(reason),
            Self::Superseded(reason) => {
                write!(f, "{reason}. Stablepin did not change what runs there now")
            }
            Self::NothingProven => f.write_str(
                "not proven: the desired count of every service is 0, so no task runs that could prove it",
            ),
            Self::NotBegun(problem) => {
                let why = problem.as_deref().unwrap_or("the reason is not known");
                write!(f, "the rollout could not start in time: {why}")
            }
            Self::EnvironmentRemoved => {
                f.write_str("the environment was removed from the configuration before the rollout ended")
            }
        }
    }
}

impl Display for RollbackReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven { services, digest, pin, is_partial, without } => {
                match services {
                    0 => f.write_str("no services; pinned")?,
                    1 => f.write_str("1 service proven")?,
                    n => write!(f, "{n} services proven")?,
                }
                write!(f, " at {digest}")?;
                if let Some(pin) = pin {
                    write!(f, ", pin {pin}")?;
                }
                if *is_partial {
                    f.write_str("; the pin stays, because not every service of the environment was named")?;
                }
                without.as_ref().map_or(Ok(()), |tag| write!(f, "; {}", tag.words()))
            }
            Self::Failed(failure) => failure.fmt(f),
            Self::NothingTouched { failure, left } => {
                write!(f, "Stablepin changed nothing: {failure}")?;
                left.as_ref().map_or(Ok(()), |left| write!(f, ". {left}"))
            }
        }
    }
}

impl Display for LeftBehind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { digest, moved, is_whole, is_late } = self;
        if moved.is_empty() {
            let none = if *is_whole { "No service" } else { "None of the named services" };
            write!(f, "{none} was found at {digest}, which the pre-empted promotion was deploying")?;
        } else {
            let moved = moved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            write!(f, "The pre-empted promotion had moved {moved} to {digest}, and that was not undone")?;
        }
        if *is_late {
            f.write_str("; a call of that promotion may have moved others since")?;
        }
        if !is_whole {
            f.write_str(". It may have moved services that this rollback does not name")?;
        }
        Ok(())
    }
}

impl Display for HoldReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rollback(pin) => write!(f, "rollback to pin {pin}"),
            Self::RollbackRefused { pin, left } => write!(f, "rollback to pin {pin} changed nothing. {left}"),
            Self::ReleaseFailed(failure) => failure.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
