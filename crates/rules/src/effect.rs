//! The pending effects of an operation, and their outcomes. Effects are derived from the record and
//! never stored.

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
    /// Mints a link and mails it to the approver.
    Ask(ApproverName),
    /// Checks which approvers receive mails.
    CheckSubscriptions,
    /// Confirms to an approver that a vote was given by the mailed link.
    ConfirmVote(ApproverName),
    /// Reads what the services run, and checks that they can move. Writes nothing.
    Prepare,
    /// Puts the stable tag on the environment's pin.
    TagStable(Pin),
    /// Puts the backup tag on the digest that was live. Best effort.
    TagBackup { tag: ImageTag, digest: ImageDigest },
    /// Puts the tag `{environment}-current` on the live digest. Best effort.
    TagCurrent(ImageDigest),
    /// Starts one service's deployment.
    Deploy(Direction, ServiceName),
    /// Observes that deployment, or checks that the service is still proven.
    Follow(Direction, ServiceName),
    /// Probes the configured endpoints.
    Probe,
    /// Registers the good task definition again, if the family's newest revision failed or was
    /// never used.
    RestoreFamily(ServiceName),
    /// Notifies people.
    Notify(Notice),
}

impl Effect {
    /// Returns whether this effect only serves notifications. It delays no other effect, and its
    /// failure does not count as a failure of the operation.
    pub fn is_notification(&self) -> bool {
        matches!(self, Self::CheckSubscriptions | Self::ConfirmVote(_))
    }
}

/// The outcome of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    BuildTagged,
    /// Another digest has this build tag.
    BuildTagTaken(ImageTag),
    /// The registry refuses the build tag for this reason.
    BuildTagRefused(String),
    ApprovalRequested {
        approver: ApproverName,
        token: TokenHash,
        /// The address that the link was mailed to, in lower case.
        mail: String,
    },
    /// SNS refuses the mail to this approver, in these words.
    AskRefused {
        approver: ApproverName,
        reason: String,
    },
    /// A notification, or the check of the mail subscriptions, failed.
    NotifyFailed(String),
    VoteConfirmed(ApproverName),
    /// The approvers whom mails do not reach.
    SubscriptionsChecked(BTreeMap<ApproverName, SubscriptionStatus>),
    /// Every service can move. This is what the services run now.
    Prepared(Vec<(ServiceName, Live)>),
    /// A service cannot move. Nothing was touched.
    Unfit(String),
    StableTagged(PinNumber),
    /// The pin's tag could not be put: another image has it, or ECR refuses it.
    StableTaken(TakenTag),
    BackupTried,
    CurrentTried(ImageDigest),
    /// An observation of one service.
    Service(Direction, ServiceName, Observation),
    /// An observation of one service's deployment, with the service deployment's ARN if ECS reports
    /// one.
    Followed {
        direction: Direction,
        service: ServiceName,
        seen: Observation,
        service_deployment: Option<String>,
    },
    /// The service's task definition family needs no more work.
    FamilyRestored(ServiceName),
    /// The endpoint that failed. None: every endpoint answered.
    Probed(Option<String>),
    Notified(Notice),
    /// A failure that may pass: throttling, a refused permission, an unreachable service.
    Problem(String),
}

/// An observation of one service's deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// ECS accepted our deployment.
    Deployed(Started),
    /// ECS may have accepted our deployment, but no answer arrived.
    Unheard {
        problem: String,
    },
    /// AWS refused our deployment for this reason. Nothing was moved.
    Refused {
        reason: String,
    },
    /// The registered revision does not match the request. Nothing was moved.
    Unused {
        reason: String,
        revision: String,
    },
    /// The deployment is still in progress. `seen` describes it for people. `paused`: ECS waits at
    /// a lifecycle hook.
    Going {
        seen: String,
        paused: bool,
    },
    Proven {
        tasks: u32,
    },
    /// The deployment is complete, but the desired count is 0.
    Unproven,
    /// ECS rolls back by itself.
    Returning {
        reason: String,
    },
    /// ECS has rolled back by itself, or the service was never moved.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Another deployment replaced ours.
    Superseded {
        reason: String,
    },
    /// A late call of the pre-empted operation replaced our deployment.
    Overtaken,
    /// The deployment failed and cannot recover by itself.
    Failed {
        reason: String,
    },
}
