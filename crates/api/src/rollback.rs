//! Rollbacks, and the responses to requests for rollbacks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::ServiceName;
use stablepin_rules::audit::Actor;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Backup, Operation, Rollback, RollbackState, ServiceRollout, Target, Work};

use crate::{BeforeAnswer, ServiceAnswer, ServiceProgress};

/// A rollback of an environment's services to a pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackAnswer {
    pub id: OperationId,
    pub environment: EnvironmentName,
    pub target: TargetAnswer,
    /// The target as the caller wrote it: `stable`, `previous`, `7`, …
    pub to: String,
    pub asked_by: Actor,
    pub ask_reason: Option<String>,
    pub requested_at: Timestamp,
    pub deadline: Timestamp,
    pub state: RollbackState,
    /// The reason of the last state change, for people.
    pub reason: Option<String>,
    pub services: Vec<ServiceAnswer>,
    /// The digest of the promotion that the rollback stopped.
    pub preempted: Option<ImageDigest>,
    /// The time until which a request of the stopped promotion may still reach ECS.
    pub preempted_until: Option<Timestamp>,
    pub backup: Option<BackupAnswer>,
    /// The new pin that the rollback set.
    pub pin: Option<PinNumber>,
    /// The error of the last failed attempt.
    pub problem: Option<String>,
    /// The time of the promoter's next check. `None` if no work remains.
    pub next_look: Option<Timestamp>,
}

impl RollbackAnswer {
    /// Converts the operation. Returns `None` if the operation is not a rollback.
    pub fn new(environment: &EnvironmentName, operation: &Operation) -> Option<Self> {
        let Work::Rollback(rollback) = &operation.work else { return None };
        Some(Self {
            id: rollback.id,
            environment: environment.clone(),
            target: (&rollback.target).into(),
            to: rollback.to.clone(),
            asked_by: rollback.asked_by.clone(),
            ask_reason: rollback.ask_reason.clone(),
            requested_at: rollback.requested_at,
            deadline: rollback.rollout.deadline,
            state: rollback.state,
            reason: reason(rollback),
            services: rollback.rollout.services.iter().map(Into::into).collect(),
            preempted: rollback.preempted.clone(),
            preempted_until: rollback.preempted_until,
            backup: rollback.backup.as_ref().map(Into::into),
            pin: rollback.pin,
            problem: operation.problem.clone(),
            next_look: operation.wake_at,
        })
    }
}

fn reason(rollback: &Rollback) -> Option<String> {
    rollback.reason.as_ref().map(ToString::to_string)
}

/// A page of an environment's rollbacks, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPage {
    pub rollbacks: Vec<RollbackAnswer>,
    pub next: Option<String>,
}

answer! {
    /// The pin that a rollback deploys.
    TargetAnswer of target: Target {
        pin: PinNumber,
        digest: ImageDigest,
        build_tag: BuildTag,
        commit: Option<String>,
        size_bytes: Option<u64>,
        platforms: Vec<String>,
        /// The task definition with which each service was proven.
        revisions: BTreeMap<ServiceName, String>,
    }
}

answer! {
    /// The backup tag for the digest that was live when the rollback began.
    BackupAnswer of backup: Backup {
        tag: ImageTag,
        digest: ImageDigest,
        /// True if Stablepin has tried to put the tag. One attempt is enough.
        tried: bool,
    }
}

/// A rollback that has just begun. The path `follow` returns the whole [`RollbackAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedRollback {
    pub id: OperationId,
    pub state: RollbackState,
    pub reason: Option<String>,
    pub target: TargetAnswer,
    pub services: Vec<RollbackService>,
    /// The API path of the rollback.
    pub follow: String,
}

impl StartedRollback {
    pub fn new(rollback: &Rollback, follow: String) -> Self {
        Self {
            id: rollback.id,
            state: rollback.state,
            reason: reason(rollback),
            target: (&rollback.target).into(),
            services: RollbackService::all(rollback),
            follow,
        }
    }
}

/// The result of a dry run of a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// Always `true`.
    pub dry_run: bool,
    pub target: TargetAnswer,
    pub services: Vec<RollbackService>,
}

impl RollbackPlan {
    pub fn new(rollback: &Rollback) -> Self {
        let services = RollbackService::all(rollback);
        Self { dry_run: true, target: (&rollback.target).into(), services }
    }
}

answer! {
    /// A service at the beginning of a rollback.
    RollbackService of service: ServiceRollout {
        service: ServiceName,
        before: BeforeAnswer = (&service.before).into(),
        progress: ServiceProgress = (&service.progress).into(),
    }
}

impl RollbackService {
    fn all(rollback: &Rollback) -> Vec<Self> {
        rollback.rollout.services.iter().map(Into::into).collect()
    }
}
