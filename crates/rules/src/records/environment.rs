//! The state that the promotions and rollbacks of an environment share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::build::Occurrence;
use super::pin::{Current, Pin, TakenTag};
use super::reason::HoldReason;
use crate::application::ServiceName;
use crate::audit::Actor;
use crate::image::ImageDigest;
use crate::live_drift::LiveDrift;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;

/// The most digests in `rolled_back_from`. They use 71 KB of the 400 KB of an item.
pub const MOST_LEFT: usize = 1000;

/// The state of an environment, shared by all its promotions and rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub pin: Option<Pin>,
    /// The pin that the stable tag showed when Stablepin last read or wrote the tag.
    pub applied: Option<PinNumber>,
    /// The pin's tag that ECR did not accept. Stablepin tries again when no other image has the
    /// tag, or a day after a refusal.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The latest push that ever became a pin. Stablepin never replaces this watermark by an
    /// earlier push, but a person may reset it.
    pub watermark: Option<Occurrence>,
    pub latest: Option<Latest>,
    /// The undecided approval requests of the last minutes, oldest first. Their number limits how
    /// many promotions request approval at the same time.
    #[serde(default)]
    pub asked: Vec<Question>,
    /// The promotions that wait to request approval, because many others have just requested it.
    /// The promotion with the newest push is next.
    #[serde(default)]
    pub waiting: BTreeSet<Waiting>,
    pub slot: Option<Slot>,
    pub hold: Option<Hold>,
    pub freeze: Option<Freeze>,
    pub current: Option<Current>,
    /// The digest on which Stablepin last tried to put the tag `latest`. The attempt may have
    /// failed, for example because the repository's tags are immutable.
    #[serde(default)]
    pub latest_tag: Option<ImageDigest>,
    /// Digests that a rollback replaced, the most recent last. The rollback target `previous` never
    /// means one of these digests.
    pub rolled_back_from: Vec<ImageDigest>,
    /// The services that did not run the pin at the last check, although Stablepin did not change
    /// them.
    #[serde(default)]
    pub live_drift: Option<LiveDrift>,
    /// The task definition revision of each configured service after Stablepin's last rollout.
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
            latest_tag: None,
            rolled_back_from: Vec::new(),
            live_drift: None,
            left: BTreeMap::new(),
            version: 0,
        }
    }

    /// Excludes a digest from `previous`. A full list drops its oldest entry, because `previous`
    /// checks newer pins first.
    pub(crate) fn exclude_from_previous(&mut self, digest: ImageDigest) {
        self.allow_as_previous(&digest);
        self.rolled_back_from.push(digest);
        let beyond = self.rolled_back_from.len().saturating_sub(MOST_LEFT);
        self.rolled_back_from.drain(..beyond);
    }

    /// Allows `previous` to mean this digest again.
    pub(crate) fn allow_as_previous(&mut self, digest: &ImageDigest) {
        self.rolled_back_from.retain(|left| left != digest);
    }
}

/// A stop for automation: Stablepin does not change the environment by itself until a person or a
/// newer approval releases the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub reason: HoldReason,
    /// The rollback or failed promotion that caused the hold.
    pub by: OperationId,
}

/// A stop that a person has set for promotions. Rollbacks are still allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub since: Timestamp,
    pub reason: String,
    pub by: Actor,
}

/// The exclusive right to change an environment's services. Only the operation in the slot has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub operation: OperationId,
    pub kind: SlotKind,
    pub digest: ImageDigest,
    pub since: Timestamp,
    /// The end of the promotion's lease while the promotion makes a call that deploys to a service.
    /// Until then, the call may still reach ECS. None: no such call is in progress.
    #[serde(default)]
    pub moving_until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    /// A promotion. A rollback may replace it in the slot.
    Promotion,
    Rollback,
}

/// The newest push of an environment that opened a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
    /// True if the promotion is still in the state `Pending`.
    pub open: bool,
    /// The time until which another push of the same digest joins this promotion, and does not
    /// request approval again.
    pub fresh_until: Timestamp,
}

/// A promotion that has requested approval and is undecided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub at: Timestamp,
    pub promotion: OperationId,
}

/// A promotion that has not yet requested approval, because many promotions became ready at the
/// same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
}
