//! Effects of an operation, and their outcomes. The record determines which effects are pending; no
//! effect is stored.

use std::collections::BTreeMap;

use crate::application::ServiceName;
use crate::image::{ImageDigest, ImageTag};
use crate::name::ApproverName;
use crate::pin_number::PinNumber;
use crate::records::{Build, Direction, Live, Notice, Pin, Started, TakenTag, TokenHash};
use crate::subscription_status::SubscriptionStatus;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts the build tag on the build.
    TagBuild(Build),
    /// Makes a link and mails it to the approver.
    Ask(ApproverName),
    /// Checks which approvers receive mails.
    CheckSubscriptions,
    /// Confirms to an approver by mail that a person voted with the approver's link.
    ConfirmVote(ApproverName),
    /// Reads what the services run, and checks that Stablepin can deploy to them. Changes nothing.
    Prepare,
    /// Puts the stable tag on the environment's pin.
    TagStable(Pin),
    /// Puts the backup tag on the digest that was live. A failure has no consequence.
    TagBackup { tag: ImageTag, digest: ImageDigest },
    /// Puts the tag `{environment}-current` on the live digest. A failure has no consequence.
    TagCurrent(ImageDigest),
    /// Starts one service's deployment.
    Deploy(Direction, ServiceName),
    /// Observes one service's deployment, or checks that the service is still proven.
    Follow(Direction, ServiceName),
    /// Probes the configured endpoints.
    Probe,
    /// Registers the good task definition again if the newest revision of its family failed or was
    /// never used.
    RestoreFamily(ServiceName),
    /// Notifies people.
    Notify(Notice),
}

impl Effect {
    /// Returns whether this effect only concerns notifications. No other effect waits for it, and
    /// its failure does not count as a failure of the operation.
    pub fn is_notification(&self) -> bool {
        matches!(self, Self::CheckSubscriptions | Self::ConfirmVote(_))
    }
}

/// The outcome of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    BuildTagged,
    /// Another digest already has this build tag.
    BuildTagTaken(ImageTag),
    /// ECR refuses the build tag for this reason.
    BuildTagRefused(String),
    ApprovalRequested {
        approver: ApproverName,
        token: TokenHash,
        /// The address that received the link, in lower case.
        mail: String,
    },
    /// SNS refuses the mail to this approver. `reason` is SNS's text.
    AskRefused {
        approver: ApproverName,
        reason: String,
    },
    /// A notification failed, or the check of the mail subscriptions failed.
    NotifyFailed(String),
    VoteConfirmed(ApproverName),
    /// The approvers who do not receive mails.
    SubscriptionsChecked(BTreeMap<ApproverName, SubscriptionStatus>),
    /// Stablepin can deploy to every service. The list has what each service runs now.
    Prepared(Vec<(ServiceName, Live)>),
    /// Stablepin cannot deploy to a service, and has changed nothing.
    Unfit(String),
    StableTagged(PinNumber),
    /// ECR did not accept the pin's tag: another image has the tag, or ECR refuses it.
    StableTaken(TakenTag),
    BackupTried,
    CurrentTried(ImageDigest),
    /// An observation of one service.
    Service(Direction, ServiceName, Observation),
    /// An observation of one service's deployment. `service_deployment` is the service deployment's
    /// ARN, if ECS reports one.
    Followed {
        direction: Direction,
        service: ServiceName,
        seen: Observation,
        service_deployment: Option<String>,
    },
    /// The service's task definition family needs no further repair.
    FamilyRestored(ServiceName),
    /// The endpoint that failed its probe. None: every endpoint passed.
    Probed(Option<String>),
    Notified(Notice),
    /// A failure that may pass by itself, such as throttling, a refused permission or an
    /// unreachable service.
    Problem(String),
}

/// An observation of one service's deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// ECS accepted our deployment.
    Deployed(Started),
    /// ECS may have accepted our deployment, but ECS's response did not arrive.
    Unheard {
        problem: String,
    },
    /// AWS refused our deployment for this reason. The service did not change.
    Refused {
        reason: String,
    },
    /// The registered revision does not match the request, so Stablepin did not deploy it.
    Unused {
        reason: String,
        revision: String,
    },
    /// The deployment is still in progress. `seen` describes its progress for people. `paused` is
    /// true while ECS waits at a lifecycle hook.
    Going {
        seen: String,
        paused: bool,
    },
    Proven {
        tasks: u32,
    },
    /// The deployment is complete, but the service's desired count is 0, so no task proves it.
    Unproven,
    /// ECS is rolling back by itself.
    Returning {
        reason: String,
    },
    /// ECS has rolled back by itself, or no deployment has moved the service.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Another deployment replaced ours.
    Superseded {
        reason: String,
    },
    /// A late call of the pre-empted operation started a deployment that replaced ours.
    Overtaken,
    /// The deployment failed and cannot recover by itself.
    Failed {
        reason: String,
    },
}
