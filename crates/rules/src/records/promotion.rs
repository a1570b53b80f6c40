//! A promotion of a build to an environment, with its votes and approval requests.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::build::{Build, Occurrence};
use super::check::Checks;
use super::image_copy::ImageCopy;
use super::pin::{NotPut, TakenTag};
use super::reason::{PromotionReason, RolloutFailure};
use super::rollout::{Progress, Rollout, ServiceRollout};
use super::token::TokenHash;
use crate::audit::Actor;
use crate::image::{ImageDigest, ImageTag};
use crate::name::{ApproverName, EnvironmentName};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::subscription_status::SubscriptionStatus;

/// The promotion of one build to one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: OperationId,
    pub digest: ImageDigest,
    /// A copy of the build, so that the approval page needs only one read. Until the build has its
    /// build tag, the build's own record may be newer.
    pub build: Build,
    pub occurrence: Occurrence,
    pub state: PromotionState,
    /// The reason why the promotion ended. None before its end.
    pub reason: Option<PromotionReason>,
    pub opened_at: Timestamp,
    /// The signer who requested this promotion. A request may also join a promotion that a push has
    /// opened. None without a request, because ECR's event does not name the pusher.
    #[serde(default)]
    pub asked_by: Option<Actor>,
    /// The ARNs of all principals that pushed this digest with a tag that counts as a build, from
    /// CloudTrail.
    #[serde(default)]
    pub pushers: BTreeSet<String>,
    /// The pushed tag. None if a signed request opened the promotion.
    #[serde(default)]
    pub pushed_tag: Option<ImageTag>,
    /// The time at which an undecided promotion expires. Before [`ready_at`](Self::ready_at), the
    /// time at which the promotion fails if its conditions are not met.
    pub expires_at: Timestamp,
    /// The time until which missing layers and child images may still arrive. None if ECR does not
    /// copy the image from another registry.
    #[serde(default)]
    pub complete_by: Option<Timestamp>,
    /// The successful validation of the image. None if the image has not yet been validated.
    #[serde(default)]
    pub validated: Option<Validated>,
    /// The checks that pipelines have reported for the digest.
    #[serde(default)]
    pub checks: Checks,
    /// The time of the last read of the recorded checks.
    #[serde(default)]
    pub checks_read_at: Option<Timestamp>,
    /// The last read of the earlier environment.
    #[serde(default)]
    pub earlier: Option<EarlierPin>,
    /// The time at which Stablepin noticed the last pin change of the earlier environment.
    #[serde(default)]
    pub pin_changed_at: Option<Timestamp>,
    /// The conditions that were not met at the last check, in words for people. Empty if all are
    /// met.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// The first time at which all conditions were met. Stablepin may ask the approvers from this
    /// time on.
    #[serde(default)]
    pub ready_at: Option<Timestamp>,
    /// The time at which the promotion requests approval, unless a promotion with a newer push is
    /// still waiting at that time. None: the promotion requests approval at once.
    #[serde(default)]
    pub ask_at: Option<Timestamp>,
    pub asked: BTreeMap<ApproverName, ApprovalRequest>,
    pub votes: BTreeMap<ApproverName, Vote>,
    /// The approvers who received a vote confirmation.
    #[serde(default)]
    pub vote_confirmations: BTreeSet<ApproverName>,
    /// The approvers who had no confirmed subscription when Stablepin requested approval. None
    /// until Stablepin has checked the subscriptions.
    #[serde(default)]
    pub unreachable: Option<BTreeMap<ApproverName, SubscriptionStatus>>,
    /// SNS's refusal of approval mails.
    #[serde(default)]
    pub mail_refused: Option<RefusedMail>,
    /// ECR's refusal of the build tag.
    #[serde(default)]
    pub build_tag_refused: Option<RefusedBuildTag>,
    /// The copy to the environment's own repository. None if the environment uses the repository to
    /// which pipelines push, and before the promotion is approved.
    #[serde(default)]
    pub copy: Option<ImageCopy>,
    /// The rollout to the services. None before the rollout begins, and always in an environment to
    /// which Stablepin does not deploy.
    pub rollout: Option<Rollout>,
    /// The reason why the rollout failed. None if no revert has begun.
    pub failure: Option<RolloutFailure>,
    /// The rollout that returns the services to the pin or to their previous image after the
    /// failure.
    pub revert: Option<Rollout>,
    /// The number of the pin that this promotion set.
    pub pin: Option<PinNumber>,
}

/// The successful validation of an image against one version of the application file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    pub at: Timestamp,
    /// The version of the file.
    pub configuration: u64,
}

/// A read of the earlier environment, in which the digest must be a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierPin {
    pub environment: EnvironmentName,
    /// The time at which the digest became a pin of the environment. None if the digest is not a
    /// pin there, or if a rollback has replaced the digest.
    pub pinned_at: Option<Timestamp>,
    /// A time before the read.
    pub read_at: Timestamp,
}

impl Promotion {
    /// Returns the build tag of a pinned build if ECR refuses the tag permanently. The promotion
    /// completes without the tag.
    pub fn untaggable(&self) -> Option<TakenTag> {
        let refused = self.build_tag_refused.as_ref().filter(|refused| refused.is_lasting())?;
        let why = NotPut::Refused { reason: refused.reason.clone(), at: refused.at };
        let pin = self.pin.filter(|_| !self.build.tagged)?;
        Some(TakenTag { pin, tag: self.build.build_tag.tag(), why })
    }

    /// Returns whether the promotion certainly changed no service.
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

/// The last link that Stablepin mailed to an approver. A newer link replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub token: TokenHash,
    pub at: Timestamp,
    /// True if a person tried too many wrong codes with the link.
    #[serde(default)]
    pub burnt: bool,
    /// The number of links that this approver received for the same promotion before this link.
    #[serde(default)]
    pub before: u8,
    /// The address that received the link, in lower case. If the approver's address changes,
    /// Stablepin mails a new link to the new address.
    #[serde(default)]
    pub mail: Option<String>,
}

/// SNS's refusal to send approval mails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMail {
    pub approvers: BTreeSet<ApproverName>,
    /// The newest refusal, in SNS's words.
    pub reason: String,
    pub at: Timestamp,
}

/// ECR's refusal of a build tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBuildTag {
    /// The number of refusals so far. The first refusal may mean that a new permission is not yet
    /// effective.
    pub times: u32,
    /// The newest refusal, in ECR's words.
    pub reason: String,
    pub at: Timestamp,
}

impl RefusedBuildTag {
    /// Returns whether the refusal counts as permanent.
    pub(crate) fn is_lasting(&self) -> bool {
        self.times > 1
    }
}

/// The time from a refusal to the next mail to the same approvers.
const REFUSED_MAIL_AGAIN: SignedDuration = SignedDuration::from_hours(1);

impl RefusedMail {
    /// Returns when Stablepin sends the mails to these approvers again.
    pub(crate) fn again_at(&self) -> Timestamp {
        self.at + REFUSED_MAIL_AGAIN
    }

    /// Returns the names of these approvers, for people.
    pub fn names(&self) -> String {
        self.approvers.iter().map(ApproverName::as_str).collect::<Vec<_>>().join(", ")
    }
}
