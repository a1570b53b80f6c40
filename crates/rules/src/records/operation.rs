//! An operation: the work of a promotion, rollback, repair or drift report, and its state.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::pin::TakenTag;
use super::promotion::Promotion;
use super::rollback::Rollback;
use super::rollout::{Direction, Rollout};
use crate::application::ServiceName;
use crate::caller::Caller;
use crate::image::{ImageDigest, ImageTag};
use crate::operation_id::OperationId;

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

    /// Returns a tag that could not be put and that people are notified of.
    pub fn unput_tag(&self) -> Option<TakenTag> {
        let of_build = || match &self.work {
            Work::Promotion(promotion) => promotion.untaggable(),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        };
        self.tag_taken.clone().or_else(of_build)
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

/// The process that carries out an operation's pending effects, and the end of its exclusive right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: Uuid,
    pub until: Timestamp,
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
