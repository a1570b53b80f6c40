//! Rollouts: the services of a promotion or rollback on their way to one digest.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stablepin_rules::application::ServiceName;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Bake, Live, Pause, Progress, Rollout, ServiceRollout, Started};

answer! {
    /// A promotion's rollout, or its revert.
    RolloutAnswer of rollout: Rollout {
        /// The digest that the services go to. `None`: each goes to what it ran before.
        digest: Option<ImageDigest> = rollout.destination.digest().cloned(),
        services: Vec<ServiceAnswer> = rollout.services.iter().map(Into::into).collect(),
        deadline: Timestamp,
        bake: Option<BakeAnswer> = rollout.bake.as_ref().map(Into::into),
    }
}

answer! {
    /// The time in which every service must stay proven.
    BakeAnswer of bake: Bake {
        until: Timestamp,
        /// When every endpoint last answered.
        probed_at: Option<Timestamp>,
        /// The endpoint's failure.
        failed: Option<String>,
    }
}

answer! {
    /// The rollout of one service.
    ServiceAnswer of service: ServiceRollout {
        service: ServiceName,
        before: BeforeAnswer = (&service.before).into(),
        /// Our deployment, once ECS has accepted it.
        started: Option<StartedAnswer> = service.started.as_ref().map(Into::into),
        progress: ServiceProgress = (&service.progress).into(),
        /// The last observation, for people.
        seen: Option<String>,
        /// The current wait at a lifecycle hook of ECS.
        pause: Option<PauseAnswer> = service.pause.as_ref().map(Into::into),
        /// The total length of earlier waits.
        paused_for: SignedDuration,
    }
}

answer! {
    /// A service before its rollout.
    BeforeAnswer of live: Live {
        task_definition: String,
        deployment: String,
        /// The digests of running containers from the environment's repository, at most two.
        digests: BTreeSet<ImageDigest>,
        /// The digest in the service's task definition.
        described: Option<ImageDigest>,
    }
}

answer! {
    /// A deployment of ours that ECS accepted.
    StartedAnswer of started: Started {
        /// The deployment's id, such as `ecs-svc/1234567890123456789`.
        deployment: String,
        /// The ARN of the service deployment, if ECS reports one.
        service_deployment: Option<String>,
        task_definition: String,
        /// Whether an essential container has a health check.
        health_checked: bool,
        at: Timestamp,
    }
}

answer! {
    /// A wait at a lifecycle hook of ECS.
    PauseAnswer of pause: Pause {
        since: Timestamp,
        last_seen: Timestamp = pause.seen,
    }
}

/// The progress of one service's rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ServiceProgress {
    Waiting,
    /// ECS accepted our deployment.
    Deployed,
    /// Our deployment finished, and every running task carries the digest.
    Proven {
        tasks: u32,
        at: Timestamp,
    },
    /// Our deployment finished, but the desired count is 0.
    Unproven {
        at: Timestamp,
    },
    /// ECS rolls back by itself.
    Returning {
        reason: String,
        until: Timestamp,
    },
    /// ECS has rolled back to this digest, or the service was never moved.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Another deployment replaced ours.
    Superseded {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

impl From<&Progress> for ServiceProgress {
    fn from(progress: &Progress) -> Self {
        match progress {
            Progress::Waiting => Self::Waiting,
            Progress::Deployed => Self::Deployed,
            Progress::Proven { tasks, at } => Self::Proven { tasks: *tasks, at: *at },
            Progress::Unproven { at } => Self::Unproven { at: *at },
            Progress::Returning { reason, until } => {
                Self::Returning { reason: reason.to_string(), until: *until }
            }
            Progress::Returned { reason, digest } => {
                Self::Returned { reason: reason.to_string(), digest: digest.clone() }
            }
            Progress::Superseded { reason } => Self::Superseded { reason: reason.to_string() },
            Progress::Failed { reason } => Self::Failed { reason: reason.to_string() },
        }
    }
}
