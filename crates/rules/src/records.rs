//! The records that the table keeps: builds, environments, pins, promotions, rollbacks. Plain data; only
//! [`crate::transition`] changes them.

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
use crate::pin_number::PinNumber;
use crate::subscription_status::SubscriptionStatus;

mod rollout;

pub(crate) use rollout::look_again;
pub use rollout::{Bake, Destination, Direction, Live, Pause, Progress, Rollout, ServiceRollout, Started};

/// A promotion's or a rollback's id: UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

impl OperationId {
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).map(Self)
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a link's token, in lower-case hexadecimal. The token itself is in no record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

/// SHA-256 of a link's token and the code that its mail prints, in lower-case hexadecimal: whoever reads the table
/// cannot try codes without the token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeHash(pub String);

/// A link that was mailed: opens one promotion's page for one approver, decides once.
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
    /// How many were tried with it.
    #[serde(default)]
    pub wrong_codes: u8,
}

impl Token {
    /// Too many wrong codes: it opens the page, and decides nothing any more.
    pub fn is_burnt(&self) -> bool {
        self.wrong_codes >= MOST_WRONG_CODES
    }
}

/// A link that somebody minted: opens the console's pages until it expires, and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLink {
    pub hash: TokenHash,
    /// The principal that minted it.
    pub by: String,
    pub expires_at: Timestamp,
}

/// Where a push stands in an environment's order: by the event's time, then the digest. Fixed at first sight, no later than
/// our own clock [allows](crate::event_time::place).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Occurrence {
    pub at: Timestamp,
    pub digest: ImageDigest,
}

/// One pushed image, recorded once per digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub digest: ImageDigest,
    pub repository: RepositoryName,
    pub build_tag: BuildTag,
    /// The build tag is on the digest in the registry.
    pub tagged: bool,
    /// How many names were found taken by another digest.
    pub names_taken: u32,
    /// As far as known, 7 to 40 hexadecimal digits. From a label or a tag: a hint from the pusher, no proof.
    pub commit: Option<String>,
    /// The tag whose push was first seen.
    pub pushed_tag: ImageTag,
    pub pushed_at: Timestamp,
    pub media_type: String,
    /// Compressed, summed from the manifest; none for an index, which has a size per platform.
    pub size_bytes: Option<u64>,
    /// What it runs on, such as `linux/amd64`, as far as known.
    pub platforms: Vec<String>,
    pub version: u64,
}

/// An environment's last known-good build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub number: PinNumber,
    pub digest: ImageDigest,
    pub build_tag: BuildTag,
    pub commit: Option<String>,
    /// The promotion or rollback that set it.
    pub by: OperationId,
    pub at: Timestamp,
    /// Compressed, as the build has it.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The task definition that each service was proven with, to be used again on the way back.
    pub revisions: BTreeMap<ServiceName, String>,
}

/// Automation leaves the environment alone until a person releases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub reason: String,
    /// The rollback, or the promotion that failed.
    pub by: OperationId,
}

/// A person keeps promotions out. Rollbacks still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub since: Timestamp,
    pub reason: String,
    pub by: Actor,
}

/// The one rollout that may touch an environment's services now. Whoever is not in it touches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub operation: OperationId,
    pub kind: SlotKind,
    pub digest: ImageDigest,
    pub since: Timestamp,
    /// Until when a promotion's call that moves a service may arrive: the lease of whoever has begun one. None: nobody
    /// has.
    #[serde(default)]
    pub moving_until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    /// Gives way to a rollback.
    Promotion,
    Rollback,
}

/// What was last proven to run, for the tag `{environment}-current`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub digest: ImageDigest,
    /// Who puts the tag.
    pub by: OperationId,
    /// Best effort: tried once, it counts as put.
    pub tagged: bool,
}

/// A pin's tag that could not be put. The pin stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTag {
    pub pin: PinNumber,
    pub tag: ImageTag,
    pub why: NotPut,
}

/// Why a tag could not be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum NotPut {
    /// Another image has it, in a repository that does not let it move.
    Taken {
        on: ImageDigest,
        /// Who put it there, as CloudTrail recorded: an ARN.
        by: Option<String>,
    },
    /// ECR refused it in these words.
    Refused { reason: String, at: Timestamp },
}

/// How long after a refusal a tag is tried again, unless there is a new pin before.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_hours(24);

impl TakenTag {
    /// For people, without a stop at its end.
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

    /// Whether this is no news of the tag: what keeps it from the pin is known.
    pub(crate) fn explains(&self, tag: &ImageTag, found: Option<&ImageDigest>, now: Timestamp) -> bool {
        self.tag == *tag
            && match &self.why {
                NotPut::Taken { on, .. } => found == Some(on),
                NotPut::Refused { at, .. } => now < *at + REFUSED_AGAIN,
            }
    }

    /// Without what ECR says beyond the longest text that is kept.
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

    /// Whether people who were told of the one know of the other.
    pub(crate) fn says_no_more_than(&self, known: &Self) -> bool {
        self == known || (self.is_refused() && known.is_refused() && self.pin == known.pin)
    }
}

/// The newest push that an environment was asked to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
    /// Still Pending.
    pub open: bool,
    /// Until then a second tag pushed on the same digest asks nobody again.
    pub fresh_until: Timestamp,
}

/// So many digests that were left are known: 71 KB of the 400 KB that an item may hold.
pub const MOST_LEFT: usize = 1000;

/// What is true of an environment, whichever promotion or rollback asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub pin: Option<Pin>,
    /// The pin that the stable tag was last seen to show.
    pub applied: Option<PinNumber>,
    /// The pin's tag cannot be put until somebody frees it. Tried again when it is found free.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The latest push that was ever pinned. Never falls.
    pub watermark: Option<Occurrence>,
    pub latest: Option<Latest>,
    /// Questions of the last minutes that nobody has answered, oldest first: so that not too many are asked.
    #[serde(default)]
    pub asked: Vec<Question>,
    /// Open promotions that nobody was asked for yet: of these the newest is asked for next.
    #[serde(default)]
    pub waiting: BTreeSet<Waiting>,
    pub slot: Option<Slot>,
    pub hold: Option<Hold>,
    pub freeze: Option<Freeze>,
    pub current: Option<Current>,
    /// Digests that a rollback left: `previous` never goes there. The one that was left last is the last.
    pub rolled_back_from: Vec<ImageDigest>,
    /// Services that were last seen not to run the pin, moved by somebody else.
    #[serde(default)]
    pub live_drift: Option<LiveDrift>,
    /// The revision that our last rollout of each configured service left it at.
    #[serde(default)]
    pub left: BTreeMap<ServiceName, String>,
    pub version: u64,
}

impl Environment {
    /// An environment that nothing happened to.
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

    /// `previous` does not go there. The oldest is forgotten: `previous` looks at newer pins first.
    pub(crate) fn leave(&mut self, digest: ImageDigest) {
        self.return_to(&digest);
        self.rolled_back_from.push(digest);
        let beyond = self.rolled_back_from.len().saturating_sub(MOST_LEFT);
        self.rolled_back_from.drain(..beyond);
    }

    /// It is as good as any other again.
    pub(crate) fn return_to(&mut self, digest: &ImageDigest) {
        self.rolled_back_from.retain(|left| left != digest);
    }
}

/// Who carries out what an operation owes, and until when nobody else does.
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
    /// What was decided on: the hash of the [facts](crate::facts::Facts).
    #[serde(default)]
    pub facts: Option<String>,
}

/// An approver was mailed this link. A newer one makes it worthless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub token: TokenHash,
    pub at: Timestamp,
    /// Too many wrong codes were tried with it.
    #[serde(default)]
    pub burnt: bool,
    /// How many links were mailed before it.
    #[serde(default)]
    pub before: u8,
    /// The address that it was mailed to, in lower case. Whoever has it today is asked anew.
    #[serde(default)]
    pub mail: Option<String>,
}

/// A promotion whose approvers were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub at: Timestamp,
    pub promotion: OperationId,
}

/// A promotion whose approvers are asked later, because many came at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
}

/// One build on its way to one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: OperationId,
    pub digest: ImageDigest,
    /// As last seen: so that one read serves the page. The build's own record is the truth until it is tagged.
    pub build: Build,
    pub occurrence: Occurrence,
    pub state: PromotionState,
    /// Why it ended, for people.
    pub reason: Option<String>,
    pub opened_at: Timestamp,
    /// Who asked for it by a signed request; none: a push, and the registry does not say whose.
    #[serde(default)]
    pub asked_by: Option<Actor>,
    /// Who put a build's tag on this digest, ever, as far as CloudTrail has told: ARNs.
    #[serde(default)]
    pub pushers: BTreeSet<String>,
    /// The tag whose push it was; none: it was asked for by a signed request.
    #[serde(default)]
    pub pushed_tag: Option<ImageTag>,
    pub expires_at: Timestamp,
    /// When approvers are asked, if it is the newest build by then; none: at once.
    #[serde(default)]
    pub ask_at: Option<Timestamp>,
    pub asked: BTreeMap<ApproverName, ApprovalRequest>,
    pub votes: BTreeMap<ApproverName, Vote>,
    /// Approvers who were told that their link was used.
    #[serde(default)]
    pub vote_confirmations: BTreeSet<ApproverName>,
    /// Approvers whom no mail reaches, as it was when they were asked; none: nobody has looked yet.
    #[serde(default)]
    pub unreachable: Option<BTreeMap<ApproverName, SubscriptionStatus>>,
    /// SNS refuses mails that ask for a decision.
    #[serde(default)]
    pub mail_refused: Option<RefusedMail>,
    /// On its way to the services, where the environment is deployed to.
    pub rollout: Option<Rollout>,
    /// Why that failed, for people.
    pub failure: Option<String>,
    /// On their way back, once that has failed.
    pub revert: Option<Rollout>,
    /// The pin that it became.
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
    /// No service was moved, and that is known.
    pub fn is_untouched(&self) -> bool {
        let refused = |one: &ServiceRollout| {
            matches!(one.progress, Progress::Failed { .. }) && one.started.is_none() && !one.if_moved
        };
        let unmoved = |one: &ServiceRollout| matches!(one.progress, Progress::Returned { .. });
        match (&self.rollout, &self.revert) {
            (None, _) => true,
            (Some(there), None) => there.services.iter().all(refused),
            (Some(there), Some(back)) => !there.applied_anywhere() && back.services.iter().all(unmoved),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackState {
    Requested,
    InProgress,
    Completed,
    /// Applied, not proven healthy.
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

/// What a rollback goes back to: always something that this environment has pinned.
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

/// Services of one environment on their way back to a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub id: OperationId,
    pub target: Target,
    /// As it was asked for: `stable`, `previous`, `7`, …
    pub to: String,
    pub asked_by: Actor,
    pub ask_reason: Option<String>,
    pub requested_at: Timestamp,
    pub state: RollbackState,
    pub reason: Option<String>,
    #[serde(flatten)]
    pub rollout: Rollout,
    /// What held the environment when it was asked for: holds it again where nothing was touched.
    #[serde(default)]
    pub held_before: Option<Hold>,
    /// The digest of the promotion that it pre-empted: a late call of its may still arrive.
    pub preempted: Option<ImageDigest>,
    /// Until then: it ends later, and every service is looked at once more.
    #[serde(default)]
    pub preempted_until: Option<Timestamp>,
    /// The tag for what was live. Best effort: none when nothing or more than one digest was live.
    pub backup: Option<Backup>,
    /// The new pin that it set; none while it is not proven, or when it went to the current pin.
    pub pin: Option<PinNumber>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub tried: bool,
}

/// Something that people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A promotion failed, and its services go back.
    GoingBack,
    /// It ended, and not well.
    Ended,
    /// Too few of its approvers get mails.
    Unreachable,
    /// SNS refuses the mails that ask its approvers.
    MailRefused,
    /// Services do not run the pin, moved by somebody else.
    LiveDrift,
    /// A pin stands, and its tag is on another image for good.
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

/// Tells people of a drift of what runs. What is true of it stands in the environment's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    pub id: OperationId,
    pub detected_at: Timestamp,
}

/// A tag of ours that was found where it does not belong, on its way back. Whoever moved it, the table is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    pub id: OperationId,
    pub tag: ImageTag,
    /// What it was found on; none: it was gone.
    pub found: Option<ImageDigest>,
    pub detected_at: Timestamp,
    /// None while it is on its way.
    pub repaired_at: Option<Timestamp>,
    /// Who moved it, once CloudTrail has told.
    #[serde(default)]
    pub moved_by: Option<Caller>,
    /// Nobody moved it: ECR refused it before.
    #[serde(default)]
    pub refused: bool,
}

/// Something on its way, with what the loop around it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub work: Work,
    /// When there is next something to do; none when it has ended.
    pub wake_at: Option<Timestamp>,
    pub lease: Option<Lease>,
    /// What only tells people has a count and a pause of its own: it keeps nothing else waiting.
    #[serde(default)]
    pub notify_failures: u32,
    #[serde(default)]
    pub notify_at: Option<Timestamp>,
    /// Attempts in a row that failed, for the pause before the next.
    pub failures: u32,
    /// What the last of them said, for people.
    pub problem: Option<String>,
    /// It was the first to find the pin's tag on another image: people are told.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// What people were told.
    pub notified: BTreeSet<Notice>,
    /// It has ended; services whose families nobody has looked at since.
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

    /// What moves services now, and which way.
    pub fn rollout(&self) -> Option<(Direction, &Rollout)> {
        let back = self.rollout_to(Direction::Revert).map(|rollout| (Direction::Revert, rollout));
        back.or_else(|| self.rollout_to(Direction::Forward).map(|rollout| (Direction::Forward, rollout)))
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

/// Today's configuration: policy is never copied into a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub application: Application,
    pub version: u64,
}

/// Everything that a decision about one operation reads, each part with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub configuration: Configuration,
    pub name: EnvironmentName,
    pub environment: Environment,
    pub build: Option<Build>,
    /// None before it is opened.
    pub operation: Option<Operation>,
}

impl Subject {
    /// The environment's policy; none when it left the configuration.
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
