//! The state of an environment, which its promotions and rollbacks share.

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

/// A stop for automation: the environment stays as it is until a person releases the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    pub reason: HoldReason,
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
