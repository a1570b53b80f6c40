//! Rollouts, in which a promotion or a rollback deploys an image to services.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stablepin_rules::application::ServiceName;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Bake, Live, Pause, Progress, Rollout, ServiceRollout, Started};

answer! {
    /// The rollout of a promotion, or its revert.
    RolloutAnswer of rollout: Rollout {
        /// The digest of all services after the rollout. `None` if each service returns to its own
        /// earlier image.
        digest: Option<ImageDigest> = rollout.destination.digest().cloned(),
        services: Vec<ServiceAnswer> = rollout.services.iter().map(Into::into).collect(),
        deadline: Timestamp,
        bake: Option<BakeAnswer> = rollout.bake.as_ref().map(Into::into),
    }
}

answer! {
    /// The bake, during which every service must remain proven.
    BakeAnswer of bake: Bake {
        until: Timestamp,
        /// The time of the last probe in which every endpoint succeeded.
        probed_at: Option<Timestamp>,
        /// The failed probe of an endpoint, in words.
        failed: Option<String>,
    }
}

answer! {
    /// The rollout of one service.
    ServiceAnswer of service: ServiceRollout {
        service: ServiceName,
        before: BeforeAnswer = (&service.before).into(),
        /// Stablepin's deployment. `None` until ECS has accepted a deployment.
        started: Option<StartedAnswer> = service.started.as_ref().map(Into::into),
        progress: ServiceProgress = (&service.progress).into(),
        /// The last observation, for people.
        seen: Option<String>,
        /// The current wait at a lifecycle hook of ECS.
        pause: Option<PauseAnswer> = service.pause.as_ref().map(Into::into),
        /// The total duration of earlier waits.
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
    /// A deployment that Stablepin started and that ECS accepted.
    StartedAnswer of started: Started {
        /// The deployment's id, such as `ecs-svc/1234567890123456789`.
        deployment: String,
        /// The ARN of the service deployment, if ECS reports one.
        service_deployment: Option<String>,
        task_definition: String,
        /// True if an essential container has a health check.
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
    /// ECS has accepted Stablepin's deployment.
    Deployed,
    /// Stablepin's deployment has finished, and every running task runs the digest.
    Proven {
        tasks: u32,
        at: Timestamp,
    },
    /// Stablepin's deployment has finished, but the desired count is 0, so no task can prove the
    /// digest.
    Unproven {
        at: Timestamp,
    },
    /// ECS is rolling back on its own.
    Returning {
        reason: String,
        until: Timestamp,
    },
    /// ECS has rolled back to this digest, or no deployment has changed the service.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Another deployment has replaced Stablepin's deployment.
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
