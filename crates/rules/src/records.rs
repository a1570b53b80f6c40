//! The records that the table keeps: builds, environments, pins, promotions, rollbacks. They are
//! plain data, and only [`crate::transition`] changes them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::application::{Application, EnvironmentPolicy, ServiceName};
use crate::audit::Actor;
use crate::build_tag::BuildTag;
use crate::caller::Caller;
use crate::code::MOST_WRONG_CODES;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::live_drift::LiveDrift;
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::one_line::{LONGEST_TEXT, cut};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::subscription_status::SubscriptionStatus;

mod rollout;

pub(crate) use rollout::look_again;
pub use rollout::{Bake, Destination, Direction, Live, Pause, Progress, Rollout, ServiceRollout, Started};

/// The SHA-256 of a link's token, in lower-case hexadecimal. No record contains the token itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

/// The SHA-256 of a link's token and its mailed code, in lower-case hexadecimal. The token is part
/// of it, so a reader of the table cannot guess codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeHash(pub String);

/// A mailed link. It opens one promotion's page for one approver, and decides once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub hash: TokenHash,
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    pub promotion: OperationId,
    pub digest: ImageDigest,
    pub approver: ApproverName,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    #[serde(default)]
    pub code: CodeHash,
    /// The number of wrong codes that were tried with this link.
    #[serde(default)]
    pub wrong_codes: u8,
}

impl Token {
    /// Returns whether too many wrong codes were tried. A burnt link still opens the page, but
    /// cannot decide.
    pub fn is_burnt(&self) -> bool {
        self.wrong_codes >= MOST_WRONG_CODES
    }
}

/// A link to the console's pages that a principal minted. It is valid until it expires, and changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLink {
    pub hash: TokenHash,
    /// The principal that minted the link.
    pub by: String,
    pub expires_at: Timestamp,
}

/// The place of a push in an environment's order: by the event's time, then by the digest. The
/// place is fixed when the push is first seen, and is at most as late as our clock
/// [allows](crate::event_time::place).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Occurrence {
    pub at: Timestamp,
    pub digest: ImageDigest,
}

/// A pushed image, recorded once per digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub digest: ImageDigest,
    pub repository: RepositoryName,
    pub build_tag: BuildTag,
    /// Whether the registry has the build tag on the digest.
    pub tagged: bool,
    /// The number of build tag names that another digest already had.
    pub names_taken: u32,
    /// The commit, if known: 7 to 40 hexadecimal digits. It comes from a label or a tag, so it is a
    /// hint from the pusher and no proof.
    pub commit: Option<String>,
    /// The tag of the first push that was seen.
    pub pushed_tag: ImageTag,
    pub pushed_at: Timestamp,
    pub media_type: String,
    /// The compressed size, summed from the manifest. None for an image index, whose size differs
    /// per platform.
    pub size_bytes: Option<u64>,
    /// The known platforms that the image runs on, such as `linux/amd64`.
    pub platforms: Vec<String>,
    pub version: u64,
}

/// A known-good build of an environment. The newest pin is the current service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub number: PinNumber,
    pub digest: ImageDigest,
    pub build_tag: BuildTag,
    pub commit: Option<String>,
    /// The promotion or rollback that set the pin.
    pub by: OperationId,
    pub at: Timestamp,
    /// The compressed size, copied from the build.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The task definition that each service was proven with. A rollback to this pin reuses it.
    pub revisions: BTreeMap<ServiceName, String>,
}

/// A stop for automation: the environment stays as it is until a person releases the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub reason: String,
    /// The rollback, or the failed promotion, that caused the hold.
    pub by: OperationId,
}

/// A person's stop for promotions. Rollbacks still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub since: Timestamp,
    pub reason: String,
    pub by: Actor,
}

/// The one operation that may touch an environment's services now. Every other operation must leave
/// them alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub operation: OperationId,
    pub kind: SlotKind,
    pub digest: ImageDigest,
    pub since: Timestamp,
    /// The end of the promotion's lease while it makes a call that moves a service. The call may
    /// arrive until then. None: no such call has begun.
    #[serde(default)]
    pub moving_until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    /// A promotion, which gives way to a rollback.
    Promotion,
    Rollback,
}

/// The digest that was last proven to run. It gets the tag `{environment}-current`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub digest: ImageDigest,
    /// The operation that puts the tag.
    pub by: OperationId,
    /// Whether the tag was tried. This is best effort: one try is enough.
    pub tagged: bool,
}

/// A pin's tag that could not be put. The pin itself remains valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTag {
    pub pin: PinNumber,
    pub tag: ImageTag,
    pub why: NotPut,
}

/// The reason why a tag could not be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum NotPut {
    /// Another image has the tag, and the repository does not let tags move.
    Taken {
        on: ImageDigest,
        /// The ARN of the principal that put the tag there, as CloudTrail recorded.
        by: Option<String>,
    },
    /// ECR refused the tag, with this reason.
    Refused { reason: String, at: Timestamp },
}

/// The time from a refusal to the next try of the same tag. A new pin is tried at once.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_hours(24);

impl TakenTag {
    /// Describes the problem for people, without a full stop at the end.
    pub fn words(&self) -> String {
        let Self { pin, tag, why } = self;
        let why = match why {
            NotPut::Taken { on, by } => {
                let by = by.as_ref().map(|by| format!(", put there by {by}")).unwrap_or_default();
                format!("it is on {on}{by}, and the repository does not let it move")
            }
            NotPut::Refused { reason, .. } => reason.trim_end_matches('.').to_owned(),
        };
        format!("the tag {tag} of pin {pin} could not be put: {why}")
    }

    /// Returns whether this record already explains why the tag is not on the pin.
    pub(crate) fn explains(&self, tag: &ImageTag, found: Option<&ImageDigest>, now: Timestamp) -> bool {
        self.tag == *tag
            && match &self.why {
                NotPut::Taken { on, .. } => found == Some(on),
                NotPut::Refused { at, .. } => now < *at + REFUSED_AGAIN,
            }
    }

    /// Returns a copy in which ECR's reason is cut to the longest text that is kept.
    pub(crate) fn cut(&self) -> Self {
        let mut kept = self.clone();
        if let NotPut::Refused { reason, .. } = &mut kept.why {
            cut(reason, LONGEST_TEXT);
        }
        kept
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.why, NotPut::Refused { .. })
    }

    /// Returns whether people who know `known` learn nothing new from this.
    pub(crate) fn says_no_more_than(&self, known: &Self) -> bool {
        self == known || (self.is_refused() && known.is_refused() && self.pin == known.pin)
    }
}

/// The newest push that was offered to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
    /// Whether its promotion is still Pending.
    pub open: bool,
    /// The end of the time in which a second tag on the same digest asks no approver again.
    pub fresh_until: Timestamp,
}

/// The most digests in `rolled_back_from`: 71 KB of the 400 KB that an item may hold.
pub const MOST_LEFT: usize = 1000;

/// The state of an environment, shared by all its promotions and rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub pin: Option<Pin>,
    /// The pin that the stable tag was last seen to show.
    pub applied: Option<PinNumber>,
    /// The pin's tag that could not be put. It is tried again once it is free.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The latest push that was ever pinned. It never falls by itself; a person may reset it.
    pub watermark: Option<Occurrence>,
    pub latest: Option<Latest>,
    /// The unanswered questions of the last minutes, oldest first. They limit how many questions
    /// are asked at once.
    #[serde(default)]
    pub asked: Vec<Question>,
    /// Open promotions whose approvers were not asked yet. The newest of them is asked next.
    #[serde(default)]
    pub waiting: BTreeSet<Waiting>,
    pub slot: Option<Slot>,
    pub hold: Option<Hold>,
    pub freeze: Option<Freeze>,
    pub current: Option<Current>,
    /// Digests that a rollback left, the most recently left one last. `previous` never returns to
    /// them.
    pub rolled_back_from: Vec<ImageDigest>,
    /// Services that were last seen not to run the pin, although Stablepin did not move them.
    #[serde(default)]
    pub live_drift: Option<LiveDrift>,
    /// The task definition revision that our last rollout left on each configured service.
    #[serde(default)]
    pub left: BTreeMap<ServiceName, String>,
    pub version: u64,
}

impl Environment {
    /// Returns a new environment without any history.
    pub fn untouched() -> Self {
        Self {
            pin: None,
            applied: None,
            tag_taken: None,
            watermark: None,
            latest: None,
            asked: Vec::new(),
            waiting: BTreeSet::new(),
            slot: None,
            hold: None,
            freeze: None,
            current: None,
            rolled_back_from: Vec::new(),
            live_drift: None,
            left: BTreeMap::new(),
            version: 0,
        }
    }

    /// Excludes a digest from `previous`. The oldest entry is dropped when the list is full,
    /// because `previous` looks at newer pins first.
    pub(crate) fn exclude_from_previous(&mut self, digest: ImageDigest) {
        self.allow_as_previous(&digest);
        self.rolled_back_from.push(digest);
        let beyond = self.rolled_back_from.len().saturating_sub(MOST_LEFT);
        self.rolled_back_from.drain(..beyond);
    }

    /// Makes a digest eligible for `previous` again.
    pub(crate) fn allow_as_previous(&mut self, digest: &ImageDigest) {
        self.rolled_back_from.retain(|left| left != digest);
    }
}

/// The process that carries out an operation's pending effects, and the end of its exclusive right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: Uuid,
    pub until: Timestamp,
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

/// A promotion whose approvers were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub at: Timestamp,
    pub promotion: OperationId,
}

/// A promotion whose approvers are asked later, because many pushes came at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
}

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
    /// The reason of the last state change, for people.
    pub reason: Option<String>,
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
    /// The rollout to the services. None before it begins, and where Stablepin deploys nothing.
    pub rollout: Option<Rollout>,
    /// Why the rollout failed, for people.
    pub failure: Option<String>,
    /// The rollout that reverts the services after the failure.
    pub revert: Option<Rollout>,
    /// The number of the pin that this promotion set.
    pub pin: Option<PinNumber>,
}

/// SNS refuses to mail approvers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMail {
    pub approvers: BTreeSet<ApproverName>,
    /// The newest refusal, in AWS's words.
    pub reason: String,
    pub at: Timestamp,
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

impl Promotion {
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
pub enum RollbackState {
    Requested,
    InProgress,
    Completed,
    /// Applied, but not proven healthy.
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

/// The pin that a rollback goes back to. It is always a pin of the same environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub pin: PinNumber,
    pub digest: ImageDigest,
    pub build_tag: BuildTag,
    pub commit: Option<String>,
    #[serde(default)]
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The task definition that each service was proven with.
    pub revisions: BTreeMap<ServiceName, String>,
}

/// A rollback of an environment's services to a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub id: OperationId,
    pub target: Target,
    /// The target as the caller wrote it: `stable`, `previous`, `7`, …
    pub to: String,
    pub asked_by: Actor,
    pub ask_reason: Option<String>,
    pub requested_at: Timestamp,
    pub state: RollbackState,
    pub reason: Option<String>,
    #[serde(flatten)]
    pub rollout: Rollout,
    /// The hold that existed before the rollback. It returns if the rollback touches nothing.
    #[serde(default)]
    pub held_before: Option<Hold>,
    /// The digest of the promotion that this rollback pre-empted. A late call of that promotion may
    /// still arrive.
    pub preempted: Option<ImageDigest>,
    /// The earliest end of the rollback after a pre-emption. Every service is observed once more
    /// after this time.
    #[serde(default)]
    pub preempted_until: Option<Timestamp>,
    /// The tag for the digest that was live. It is best effort. None if zero or several digests
    /// were live.
    pub backup: Option<Backup>,
    /// The number of the new pin that this rollback set. None until it is proven, or if the target
    /// is already the pin.
    pub pin: Option<PinNumber>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub tried: bool,
}

/// A kind of notification for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A promotion failed, and its services revert.
    GoingBack,
    /// The operation ended badly.
    Ended,
    /// Too few approvers of the promotion receive mails.
    Unreachable,
    /// SNS refuses the mails that ask its approvers.
    MailRefused,
    /// Services do not run the pin, although Stablepin did not move them.
    LiveDrift,
    /// A pin is set, but its tag could not be put.
    TagTaken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time is in memory")]
pub enum Work {
    Promotion(Promotion),
    Rollback(Rollback),
    Repair(Repair),
    LiveDrift(DriftReport),
}

/// The notification of one live drift. The environment's record holds the drift itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    pub id: OperationId,
    pub detected_at: Timestamp,
}

/// The repair of one of our tags that was moved or deleted. The table is the truth, whoever moved
/// the tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    pub id: OperationId,
    pub tag: ImageTag,
    /// The digest that the tag was found on. None: the tag was gone.
    pub found: Option<ImageDigest>,
    pub detected_at: Timestamp,
    /// The time when the repair ended. None while it is in progress.
    pub repaired_at: Option<Timestamp>,
    /// The principal that moved the tag, once CloudTrail has recorded it.
    #[serde(default)]
    pub moved_by: Option<Caller>,
    /// Whether no one moved the tag: ECR refused it earlier.
    #[serde(default)]
    pub refused: bool,
}

/// A promotion, rollback, repair or drift report, with the state that the reconciler needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub work: Work,
    /// The time of the next work. None after the end.
    pub wake_at: Option<Timestamp>,
    pub lease: Option<Lease>,
    /// Failed notifications in a row. They have their own count and pause, so that they delay
    /// nothing else.
    #[serde(default)]
    pub notify_failures: u32,
    #[serde(default)]
    pub notify_at: Option<Timestamp>,
    /// Failed attempts in a row. They set the pause before the next attempt.
    pub failures: u32,
    /// The last failure, for people.
    pub problem: Option<String>,
    /// The blocked pin tag, if this operation was the first to find it. People are notified once.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The notifications that people have received.
    pub notified: BTreeSet<Notice>,
    /// After the end: services whose task definition family still needs a check.
    #[serde(default)]
    pub families: BTreeSet<ServiceName>,
    pub version: u64,
}

impl Operation {
    pub fn new(work: Work, wake_at: Timestamp) -> Self {
        Self {
            work,
            wake_at: Some(wake_at),
            lease: None,
            notify_failures: 0,
            notify_at: None,
            failures: 0,
            problem: None,
            tag_taken: None,
            notified: BTreeSet::new(),
            families: BTreeSet::new(),
            version: 0,
        }
    }

    pub fn id(&self) -> OperationId {
        match &self.work {
            Work::Promotion(promotion) => promotion.id,
            Work::Rollback(rollback) => rollback.id,
            Work::Repair(repair) => repair.id,
            Work::LiveDrift(report) => report.id,
        }
    }

    /// Returns the rollout that moves services now, and its direction.
    pub fn rollout(&self) -> Option<(Direction, &Rollout)> {
        let revert = self.rollout_to(Direction::Revert).map(|rollout| (Direction::Revert, rollout));
        revert.or_else(|| self.rollout_to(Direction::Forward).map(|rollout| (Direction::Forward, rollout)))
    }

    pub fn rollout_to(&self, direction: Direction) -> Option<&Rollout> {
        match (&self.work, direction) {
            (Work::Promotion(promotion), Direction::Forward) => promotion.rollout.as_ref(),
            (Work::Promotion(promotion), Direction::Revert) => promotion.revert.as_ref(),
            (Work::Rollback(rollback), Direction::Forward) => Some(&rollback.rollout),
            (Work::Rollback(_), Direction::Revert) | (Work::Repair(_) | Work::LiveDrift(_), _) => None,
        }
    }

    pub(crate) fn rollout_to_mut(&mut self, direction: Direction) -> Option<&mut Rollout> {
        match (&mut self.work, direction) {
            (Work::Promotion(promotion), Direction::Forward) => promotion.rollout.as_mut(),
            (Work::Promotion(promotion), Direction::Revert) => promotion.revert.as_mut(),
            (Work::Rollback(rollback), Direction::Forward) => Some(&mut rollback.rollout),
            (Work::Rollback(_), Direction::Revert) | (Work::Repair(_) | Work::LiveDrift(_), _) => None,
        }
    }
}

/// The current configuration. A promotion never keeps a copy of its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub application: Application,
    pub version: u64,
}

/// The data that one decision reads, each part with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub configuration: Configuration,
    pub name: EnvironmentName,
    pub environment: Environment,
    pub build: Option<Build>,
    /// The operation. None before it is opened.
    pub operation: Option<Operation>,
}

impl Subject {
    /// Returns the environment's policy. None after the environment left the configuration.
    pub fn policy(&self) -> Option<&EnvironmentPolicy> {
        self.configuration.application.environment(&self.name)
    }

    pub fn application(&self) -> &ApplicationName {
        &self.configuration.application.name
    }

    pub fn promotion(&self) -> Option<&Promotion> {
        match &self.operation.as_ref()?.work {
            Work::Promotion(promotion) => Some(promotion),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        }
    }

    pub fn rollback(&self) -> Option<&Rollback> {
        match &self.operation.as_ref()?.work {
            Work::Promotion(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
            Work::Rollback(rollback) => Some(rollback),
        }
    }
}

#[cfg(test)]
mod tests;
