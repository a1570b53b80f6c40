//! Effects of an operation, and their outcomes. The pending effects are computed from the
//! operation's record. No effect is stored.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::application::ServiceName;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::{ApproverName, EnvironmentName};
use crate::pin_number::PinNumber;
use crate::records::{
    Build, Checks, CopyProgress, Direction, EarlierPin, Live, Notice, Pin, Started, TakenTag, TokenHash,
};
use crate::subscription_status::SubscriptionStatus;
use crate::validation::InvalidImage;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts the build tag on the build.
    TagBuild(Build),
    /// Reads the image's manifests, layers and configurations for the validation.
    Inspect,
    /// Reads the checks that pipelines have reported for the digest.
    ReadChecks,
    /// Reads the time at which the digest became a pin of this earlier environment.
    ReadEarlierPin(EnvironmentName),
    /// Creates a link and mails it to the approver.
    Ask(ApproverName),
    /// Checks which approvers receive mails.
    CheckSubscriptions,
    /// Confirms to an approver by mail that a person voted with the approver's link.
    ConfirmVote(ApproverName),
    /// Copies the image with its signatures and SBOMs to the environment's own repository, and puts
    /// the build tag on it there.
    Copy,
    /// Reads what the services run, and checks that Stablepin can deploy to them. Changes nothing.
    Prepare,
    /// Puts the stable tag on the environment's pin. If the stable tag cannot be moved, puts the
    /// pin's numbered tag.
    TagStable(Pin),
    /// Puts the backup tag on the digest that was live. The rollback continues even if this fails.
    TagBackup { tag: ImageTag, digest: ImageDigest },
    /// Puts the tag `{environment}-current` on the live digest. The operation continues even if
    /// this fails.
    TagCurrent(ImageDigest),
    /// Puts the tag `latest` of this repository on the digest. A failed attempt is not repeated.
    TagLatest { repository: RepositoryName, digest: ImageDigest },
    /// Starts one service's deployment.
    Deploy(Direction, ServiceName),
    /// Observes one service's deployment. During a bake, checks that the service is still proven.
    Follow(Direction, ServiceName),
    /// Probes the configured endpoints.
    Probe,
    /// Registers the good task definition again if the newest revision of its task definition
    /// family failed or was never used.
    RestoreFamily(ServiceName),
    /// Notifies people.
    Notify(Notice),
}

impl Effect {
    /// Returns whether this effect checks the mail subscriptions or confirms a vote. Other effects
    /// do not wait for such an effect, and its failure does not count as a failure of the
    /// operation.
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
    /// The result of the image's validation against this version of the application file.
    Validated {
        configuration: u64,
        /// The platforms of a valid image.
        result: Result<Vec<String>, InvalidImage>,
    },
    /// The checks that pipelines have reported. `at` is a time before the read.
    ChecksRead {
        checks: Checks,
        at: Timestamp,
    },
    EarlierPinRead(EarlierPin),
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
    /// The copy of the image to this repository is in progress.
    Copying {
        to: RepositoryName,
        progress: CopyProgress,
    },
    /// The whole image is in this repository.
    Copied {
        to: RepositoryName,
        progress: CopyProgress,
    },
    /// A try to copy the image failed. `is_refusal` is true if another try would probably fail too.
    CopyFailed {
        to: RepositoryName,
        progress: CopyProgress,
        problem: String,
        is_refusal: bool,
    },
    /// Stablepin can deploy to every service. The list contains what each service runs now.
    Prepared(Vec<(ServiceName, Live)>),
    /// Stablepin cannot deploy the image to all of the services, for example because ECR has no
    /// such image. Nothing was changed.
    Unfit(String),
    StableTagged(PinNumber),
    /// ECR did not accept the pin's tag: another image has the tag, or ECR refuses to put it.
    StableTaken(TakenTag),
    BackupTried,
    CurrentTried(ImageDigest),
    LatestTried(ImageDigest),
    /// The outcome of [`Effect::Deploy`] for one service.
    Service(Direction, ServiceName, Observation),
    /// The outcome of [`Effect::Follow`] for one service. `service_deployment` is the service
    /// deployment's ARN, if ECS reports one.
    Followed {
        direction: Direction,
        service: ServiceName,
        seen: Observation,
        service_deployment: Option<String>,
    },
    /// The service's task definition family needs no further repair.
    FamilyRestored(ServiceName),
    /// The endpoint that failed its probe. None: every endpoint passed its probe.
    Probed(Option<String>),
    Notified(Notice),
    /// A failure after which Stablepin tries again, such as throttling, a missing permission or an
    /// unreachable AWS service.
    Problem(String),
}

/// An observation of one service's deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// ECS accepted Stablepin's deployment.
    Deployed(Started),
    /// ECS may have accepted Stablepin's deployment, but Stablepin received no response.
    Unheard {
        problem: String,
    },
    /// ECS refused Stablepin's deployment for this reason. The service did not change.
    Refused {
        reason: String,
    },
    /// The revision that ECS registered does not match the request, so Stablepin did not deploy it.
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
    /// The deployment is complete, but the service's desired count is 0, so no task can prove the
    /// digest.
    Unproven,
    /// ECS is rolling the service back by itself.
    Returning {
        reason: String,
    },
    /// ECS has finished its own rollback, or no deployment has changed the service.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Another deployment replaced Stablepin's deployment.
    Superseded {
        reason: String,
    },
    /// A delayed call of the pre-empted operation started another deployment. That deployment
    /// replaced Stablepin's deployment of this operation.
    Overtaken,
    /// The deployment has failed permanently.
    Failed {
        reason: String,
    },
}
