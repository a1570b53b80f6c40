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

/// The most digests in `rolled_back_from`: 71 KB of the 400 KB that an item may hold.
pub const MOST_LEFT: usize = 1000;

/// The state of an environment, shared by all its promotions and rollbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub pin: Option<Pin>,
    /// The pin that the stable tag showed when Stablepin last read or wrote the tag.
    pub applied: Option<PinNumber>,
    /// The pin's tag that ECR did not accept. Stablepin tries again when the tag is free.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The latest push that was ever pinned. Stablepin never replaces it by an earlier push, but a
    /// person may reset it.
    pub watermark: Option<Occurrence>,
    pub latest: Option<Latest>,
    /// The undecided approval requests of the last minutes, oldest first. They limit how many
    /// promotions request approval at once.
    #[serde(default)]
    pub asked: Vec<Question>,
    /// Open promotions that have not requested approval yet. The newest of them is next.
    #[serde(default)]
    pub waiting: BTreeSet<Waiting>,
    pub slot: Option<Slot>,
    pub hold: Option<Hold>,
    pub freeze: Option<Freeze>,
    pub current: Option<Current>,
    /// Digests that a rollback replaced, the most recent last. `previous` never resolves to one of
    /// them.
    pub rolled_back_from: Vec<ImageDigest>,
    /// The services that did not run the pin at the last check, although Stablepin did not change
    /// them.
    #[serde(default)]
    pub live_drift: Option<LiveDrift>,
    /// The task definition revision of each configured service after our last rollout.
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

    /// Excludes a digest from `previous`. A full list drops its oldest entry, because `previous`
    /// looks at newer pins first.
    pub(crate) fn exclude_from_previous(&mut self, digest: ImageDigest) {
        self.allow_as_previous(&digest);
        self.rolled_back_from.push(digest);
        let beyond = self.rolled_back_from.len().saturating_sub(MOST_LEFT);
        self.rolled_back_from.drain(..beyond);
    }

    /// Allows `previous` to resolve to this digest again.
    pub(crate) fn allow_as_previous(&mut self, digest: &ImageDigest) {
        self.rolled_back_from.retain(|left| left != digest);
    }
}

/// A stop for automation: the environment does not change until a person releases the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub reason: HoldReason,
    /// The rollback or failed promotion that caused the hold.
    pub by: OperationId,
}

/// A person's stop for promotions. Rollbacks are still allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    pub since: Timestamp,
    pub reason: String,
    pub by: Actor,
}

/// The right to change an environment's services. Only the operation in the slot may change them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub operation: OperationId,
    pub kind: SlotKind,
    pub digest: ImageDigest,
    pub since: Timestamp,
    /// The end of the promotion's lease, while the promotion makes a call that moves a service. The
    /// call may arrive until this time. None: no such call has begun.
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
    /// True if the promotion is still Pending.
    pub open: bool,
    /// The time until which a second tag on the same digest does not request approval again.
    pub fresh_until: Timestamp,
}

/// A promotion that has requested approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub at: Timestamp,
    pub promotion: OperationId,
}

/// A promotion that requests approval later, because many pushes arrived at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Waiting {
    pub occurrence: Occurrence,
    pub promotion: OperationId,
}
