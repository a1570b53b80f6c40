//! A promotion of a build to an environment, with its votes and approval requests.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::build::{Build, Occurrence};
use super::pin::{NotPut, TakenTag};
use super::reason::{PromotionReason, RolloutFailure};
use super::rollout::{Progress, Rollout, ServiceRollout};
use super::token::TokenHash;
use crate::audit::Actor;
use crate::image::{ImageDigest, ImageTag};
use crate::name::ApproverName;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::subscription_status::SubscriptionStatus;

/// The promotion of one build to one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: OperationId,
    pub digest: ImageDigest,
    /// A copy of the build, so that one read serves the page. Until the build is tagged, its own
    /// record is the truth.
    pub build: Build,
    pub occurrence: Occurrence,
    pub state: PromotionState,
    /// The reason of the end. None before it.
    pub reason: Option<PromotionReason>,
    pub opened_at: Timestamp,
    /// The signer of the request for this promotion. None: a push opened it, and the registry does
    /// not say whose.
    #[serde(default)]
    pub asked_by: Option<Actor>,
    /// The ARNs of all principals that put a build's tag on this digest, as CloudTrail recorded.
    #[serde(default)]
    pub pushers: BTreeSet<String>,
    /// The pushed tag. None: a signed request opened the promotion.
    #[serde(default)]
    pub pushed_tag: Option<ImageTag>,
    pub expires_at: Timestamp,
    /// When approvers are asked, if this is the newest build by then. None: they are asked at once.
    #[serde(default)]
    pub ask_at: Option<Timestamp>,
    pub asked: BTreeMap<ApproverName, ApprovalRequest>,
    pub votes: BTreeMap<ApproverName, Vote>,
    /// The approvers who received a vote confirmation.
    #[serde(default)]
    pub vote_confirmations: BTreeSet<ApproverName>,
    /// The approvers whom no mail reached when they were asked. None: nobody has checked yet.
    #[serde(default)]
    pub unreachable: Option<BTreeMap<ApproverName, SubscriptionStatus>>,
    /// SNS refuses mails that ask for a decision.
    #[serde(default)]
    pub mail_refused: Option<RefusedMail>,
    /// ECR refuses the build tag.
    #[serde(default)]
    pub build_tag_refused: Option<RefusedBuildTag>,
    /// The rollout to the services. None before it begins, and where Stablepin deploys nothing.
    pub rollout: Option<Rollout>,
    /// Why the rollout failed. None if the services are not reverted.
    pub failure: Option<RolloutFailure>,
    /// The rollout that reverts the services after the failure.
    pub revert: Option<Rollout>,
    /// The number of the pin that this promotion set.
    pub pin: Option<PinNumber>,
}

impl Promotion {
    /// Returns the pinned build's own tag if ECR refuses it for good. The promotion does not wait
    /// for that tag.
    pub fn untaggable(&self) -> Option<TakenTag> {
        let refused = self.build_tag_refused.as_ref().filter(|refused| refused.is_lasting())?;
        let why = NotPut::Refused { reason: refused.reason.clone(), at: refused.at };
        let pin = self.pin.filter(|_| !self.build.tagged)?;
        Some(TakenTag { pin, tag: self.build.build_tag.tag(), why })
    }

    /// Returns whether the promotion certainly moved no service.
    pub fn is_untouched(&self) -> bool {
        let refused = |service: &ServiceRollout| {
            matches!(service.progress, Progress::Failed { .. })
                && service.started.is_none()
                && !service.if_moved
        };
        let unmoved = |service: &ServiceRollout| matches!(service.progress, Progress::Returned { .. });
        match (&self.rollout, &self.revert) {
            (None, _) => true,
            (Some(forward), None) => forward.services.iter().all(refused),
            (Some(forward), Some(revert)) => {
                !forward.applied_anywhere() && revert.services.iter().all(unmoved)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromotionState {
    Pending,
    InProgress,
    Completed,
    Failed,
    RolledBack,
    Cancelled,
}

impl PromotionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Cancelled => "Cancelled",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => false,
            Self::Completed | Self::Failed | Self::RolledBack | Self::Cancelled => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Approve,
    Reject,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub at: Timestamp,
    pub actor: Actor,
    /// The hash of the [facts](crate::facts::Facts) that the approver saw.
    #[serde(default)]
    pub facts: Option<String>,
}

/// The last link that was mailed to an approver. A newer link replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub token: TokenHash,
    pub at: Timestamp,
    /// Whether too many wrong codes were tried with the link.
    #[serde(default)]
    pub burnt: bool,
    /// The number of links that were mailed to this approver before.
    #[serde(default)]
    pub before: u8,
    /// The address that the link was mailed to, in lower case. If the approver's address changes,
    /// the new address gets a new link.
    #[serde(default)]
    pub mail: Option<String>,
}

/// SNS refuses to mail approvers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMail {
    pub approvers: BTreeSet<ApproverName>,
    /// The newest refusal, in AWS's words.
    pub reason: String,
    pub at: Timestamp,
}

/// ECR refuses a build tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBuildTag {
    /// The number of refusals. A first refusal may mean that a new permission is not effective yet.
    pub times: u32,
    /// The newest refusal, in AWS's words.
    pub reason: String,
    pub at: Timestamp,
}

impl RefusedBuildTag {
    /// Returns whether the refusals are believed.
    pub(crate) fn is_lasting(&self) -> bool {
        self.times > 1
    }
}

/// The time from a refusal to the next attempt to mail those approvers.
const REFUSED_MAIL_AGAIN: SignedDuration = SignedDuration::from_hours(1);

impl RefusedMail {
    /// When those approvers are mailed again.
    pub(crate) fn again_at(&self) -> Timestamp {
        self.at + REFUSED_MAIL_AGAIN
    }

    /// The approvers, for people.
    pub fn names(&self) -> String {
        self.approvers.iter().map(ApproverName::as_str).collect::<Vec<_>>().join(", ")
    }
}
