//! A rollback of an environment's services to a pin.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::environment::Hold;
use super::reason::RollbackReason;
use super::rollout::Rollout;
use crate::application::ServiceName;
use crate::audit::Actor;
use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;

/// A rollback of an environment's services to a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub id: OperationId,
    pub target: Target,
    /// The target in the caller's words: `stable`, `previous`, `7`, …
    pub to: String,
    pub asked_by: Actor,
    pub ask_reason: Option<String>,
    pub requested_at: Timestamp,
    pub state: RollbackState,
    /// The reason why the rollback ended. If a service fails while the rollback is in progress: the
    /// reason why the rollback will fail.
    pub reason: Option<RollbackReason>,
    pub rollout: Rollout,
    /// The hold before the rollback. Stablepin restores it if the rollback changes nothing.
    #[serde(default)]
    pub held_before: Option<Hold>,
    /// The digest of the promotion that this rollback pre-empted. A delayed call of that promotion
    /// may still reach ECS.
    pub preempted: Option<ImageDigest>,
    /// The earliest possible end of the rollback, if a call of the pre-empted promotion may still
    /// reach ECS. The rollback must observe every service once more after this time.
    #[serde(default)]
    pub preempted_until: Option<Timestamp>,
    /// The backup tag for the digest that was live. None if no digest or several digests were live.
    /// The rollback continues even if Stablepin cannot put the tag.
    pub backup: Option<Backup>,
    /// The number of the new pin that this rollback set. None until every service is proven.
    /// Stays None if the target is already the pin, or if the rollback includes only some services.
    pub pin: Option<PinNumber>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackState {
    Requested,
    InProgress,
    Completed,
    /// Final: ECS accepted, or may have accepted, at least one deployment, but not every service
    /// was proven.
    Incomplete,
    Failed,
}

impl RollbackState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "Requested",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Incomplete => "Incomplete",
            Self::Failed => "Failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Self::Requested | Self::InProgress => false,
            Self::Completed | Self::Incomplete | Self::Failed => true,
        }
    }
}

/// The target of a rollback: always a pin of the same environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub pin: PinNumber,
    pub digest: ImageDigest,
    pub build_tag: BuildTag,
    pub commit: Option<String>,
    #[serde(default)]
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The task definition with which each service ran the target pin successfully.
    pub revisions: BTreeMap<ServiceName, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub tried: bool,
}
