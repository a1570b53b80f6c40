//! An operation: a promotion, rollback, repair or drift report, with its state.

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
    /// The time at which the reconciler next works on the operation. None if nothing is left to do.
    pub wake_at: Option<Timestamp>,
    pub lease: Option<Lease>,
    /// The number of failed notifications in a row. Notifications have their own count and pause,
    /// so that their failures delay no other effect.
    #[serde(default)]
    pub notify_failures: u32,
    #[serde(default)]
    pub notify_at: Option<Timestamp>,
    /// The number of failed attempts in a row. It determines the pause before the next attempt.
    pub failures: u32,
    /// The last failure, in words for people.
    pub problem: Option<String>,
    /// The pin's tag that ECR did not accept, if this operation found the problem first. Only the
    /// first operation notifies people.
    #[serde(default)]
    pub tag_taken: Option<TakenTag>,
    /// The notifications that people have received.
    pub notified: BTreeSet<Notice>,
    /// The services whose task definition family Stablepin must still check after the operation's
    /// end.
    #[serde(default)]
    pub families: BTreeSet<ServiceName>,
    pub version: u64,
}

impl Operation {
    /// Returns the lease, if it has not ended.
    pub fn lease_at(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > now)
    }

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

    /// Returns the tag that ECR did not accept, for the notification of people.
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

    /// Returns the revert if it has begun, and else the forward rollout, with its direction.
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

/// The notification of one live drift. The environment's record contains the drift itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftReport {
    pub id: OperationId,
    pub detected_at: Timestamp,
}

/// The repair of one of Stablepin's tags that a person moved or deleted. The tag must agree with
/// the table, even if the person was authorized to move the tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    pub id: OperationId,
    pub tag: ImageTag,
    /// The digest that had the tag when Stablepin found the drift. None: the tag was deleted.
    pub found: Option<ImageDigest>,
    pub detected_at: Timestamp,
    /// The time when the repair ended. None while the repair is in progress.
    pub repaired_at: Option<Timestamp>,
    /// The principal that moved the tag. None until CloudTrail names it.
    #[serde(default)]
    pub moved_by: Option<Caller>,
    /// True if the tag is missing because ECR refused it, and not because a person moved or deleted
    /// it.
    #[serde(default)]
    pub refused: bool,
}

/// The exclusive right of one process to carry out an operation's effects, until a given time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: Uuid,
    pub until: Timestamp,
}

/// A kind of notification for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A promotion failed, and Stablepin reverts its services.
    GoingBack,
    /// The operation has ended as failed, rolled back or incomplete, or an approver rejected the
    /// promotion.
    Ended,
    /// Too few approvers of the promotion receive mails.
    Unreachable,
    /// SNS refuses the approval mails.
    MailRefused,
    /// Services do not run the pin, although Stablepin did not change them.
    LiveDrift,
    /// A pin is set, but ECR did not accept the pin's tag or the build's tag.
    TagTaken,
}
