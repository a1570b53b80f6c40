//! The reasons why a promotion or rollback ended, and why an environment is held. `Display` writes
//! each reason for people, without a full stop at its end.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::pin::TakenTag;
use crate::application::ServiceName;
use crate::audit::Actor;
use crate::containing_index::ContainingIndex;
use crate::image::ImageDigest;
use crate::name::ApproverName;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;

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
    /// A later build became this pin.
    Superseded(PinNumber),
    /// The promotion expired while it waited for this.
    Expired(Blocker),
    PartOfIndex(ContainingIndex),
    /// The environment was removed from the configuration before the promotion moved any service.
    EnvironmentRemoved,
    /// A rollback replaced the promotion in the slot.
    Preempted {
        /// The id of the rollback, while the rollback runs.
        rollback: Option<OperationId>,
        /// The hold of the environment when the promotion ended.
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
    Decision,
    /// The end of a freeze. The text is the reason of the person who froze the environment.
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
    /// Another deployment replaced ours.
    Superseded(String),
    /// The desired count of every service is 0, so no task can prove the build.
    NothingProven,
    /// The services could not be read, or another deployment did not end. The text is the last
    /// known problem.
    NotBegun(Option<String>),
    /// The environment was removed from the configuration.
    EnvironmentRemoved,
}

/// The state of the services after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aftermath {
    Untouched,
    /// The services are still as the failure left them.
    Unchanged,
    /// No service was moved: no revert was needed, or the revert found that nothing had moved.
    NotMoved,
    /// No earlier image is known, so a revert is impossible.
    NoWayBack,
    /// ECS reverted every service by itself to this pin. None: to the image that ran before.
    RevertedByEcs(Option<PinNumber>),
    Reverted,
    /// The services are reverted, but no task runs that can prove it.
    RevertedUnproven,
    RevertFailed(RolloutFailure),
}

/// The reason why a rollback ended, or why it will fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackReason {
    Proven {
        /// The number of proven services.
        services: usize,
        digest: ImageDigest,
        /// The number of the new pin. None if the pin did not change.
        pin: Option<PinNumber>,
        /// True if the rollback named only some services. The pin then does not change.
        is_partial: bool,
        /// The pin's tag that ECR did not accept.
        without: Option<TakenTag>,
    },
    Failed(RolloutFailure),
    NothingTouched {
        failure: RolloutFailure,
        /// The changes that the pre-empted promotion left on the services. None if it moved no
        /// service.
        left: Option<LeftBehind>,
    },
}

/// The changes that a pre-empted promotion left on the services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The promotion's digest.
    pub digest: ImageDigest,
    /// The services with the promotion's digest in their task definition.
    pub moved: Vec<ServiceName>,
    /// True if the rollback named every service.
    pub is_whole: bool,
    /// True if a call of the promotion may have reached ECS after the last observation.
    pub is_late: bool,
}

/// The reason why an environment is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// A rollback to this pin.
    Rollback(PinNumber),
    /// A rollback that changed nothing, after it pre-empted a promotion that may have moved
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
            Self::EnvironmentRemoved => f.write_str("the environment left the configuration"),
            Self::Preempted { rollback: Some(id), .. } => {
                write!(f, "pre-empted by rollback {id}: its record says what becomes of the services")
            }
            Self::Preempted { rollback: None, hold } => {
                f.write_str("pre-empted by a rollback, which has ended")?;
                match hold {
                    Some(hold) => write!(f, ". The environment is held: {hold}"),
                    None => f.write_str(": its record says what became of the services"),
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
        return write!(f, "nothing was touched: {failure}");
    }
    failure.fmt(f)?;
    let other = if failure.is_superseded() { "other " } else { "" };
    match aftermath {
        Aftermath::Untouched | Aftermath::Unchanged => Ok(()),
        Aftermath::NotMoved => write!(f, ". No {other}service was moved"),
        Aftermath::NoWayBack => f.write_str(". There is nothing else to go back to"),
        Aftermath::RevertedByEcs(pin) => write!(f, ". ECS went back by itself, to {}", revert_goal(*pin)),
        Aftermath::Reverted => write!(f, ". Every {other}service is back"),
        Aftermath::RevertedUnproven => {
            f.write_str(". Every service is back, but nothing runs that could prove it")
        }
        Aftermath::RevertFailed(failure) => write!(f, ". Going back did not work: {failure}"),
    }
}

/// Describes where a failed promotion reverts to: a pin, or the image that ran before.
pub(crate) fn revert_goal(pin: Option<PinNumber>) -> String {
    pin.map_or("what ran before".to_owned(), |pin| format!("pin {pin}"))
}

impl Display for Blocker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
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
                write!(f, "{reason}. What runs there now is not ours: it was not touched")
            }
            Self::NothingProven => f.write_str(
                "nothing proven: the desired count is 0 everywhere, so nothing runs that could prove it",
            ),
            Self::NotBegun(problem) => {
                let why = problem.as_deref().unwrap_or("nobody knows why");
                write!(f, "it could not begin in time: {why}")
            }
            Self::EnvironmentRemoved => {
                f.write_str("the environment left the configuration before the rollout ended")
            }
        }
    }
}

impl Display for RollbackReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven { services, digest, pin, is_partial, without } => {
                match services {
                    0 => f.write_str("no services here; pinned")?,
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
                write!(f, "nothing was touched: {failure}")?;
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
            write!(f, "{none} was found at {digest}, which the pre-empted promotion was to bring")?;
        } else {
            let moved = moved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            write!(f, "The pre-empted promotion had moved {moved} to {digest}, and that stays")?;
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
            Self::RollbackRefused { pin, left } => write!(f, "rollback to pin {pin} touched nothing. {left}"),
            Self::ReleaseFailed(failure) => failure.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
