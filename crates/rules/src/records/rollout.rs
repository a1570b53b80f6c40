//! Rollouts: the deployment of one digest to an environment's services. Both promotions and
//! rollbacks contain rollouts.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_TEXT, clause};

/// The most characters of AWS's texts that a rollout stores, divided among its services. With this
/// limit, two rollouts of 80 services do not fill an item of 400 KB.
const MOST_WORDS: usize = 8_000;

/// The most digests that are stored per service. Two digests are enough to show that a service runs
/// several.
const MOST_DIGESTS: usize = 2;

/// A rollout to several services. Each service has its own deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub destination: Destination,
    pub services: Vec<ServiceRollout>,
    /// The time limit. A pause at a lifecycle hook extends the limit only for the paused service.
    pub deadline: Timestamp,
    /// The bake, which begins when every service is proven. None before the bake begins.
    pub bake: Option<Bake>,
    /// The number of times that the bake was restarted with a new deadline.
    #[serde(default)]
    pub rebaked: u32,
}

impl Rollout {
    /// Returns a rollout that has not yet updated any service.
    pub fn begun(destination: Destination, services: Vec<ServiceRollout>, deadline: Timestamp) -> Self {
        Self { destination, services, deadline, bake: None, rebaked: 0 }
    }
}

impl Rollout {
    /// Shortens the texts and lists from AWS.
    pub(crate) fn cut(&mut self) {
        let most = (MOST_WORDS / self.services.len().max(1)).min(LONGEST_TEXT);
        for service in &mut self.services {
            while service.before.digests.len() > MOST_DIGESTS {
                service.before.digests.pop_last();
            }
            let reason = match &mut service.progress {
                Progress::Returning { reason, .. }
                | Progress::Returned { reason, .. }
                | Progress::Superseded { reason }
                | Progress::Failed { reason } => Some(reason),
                Progress::Waiting
                | Progress::Deployed
                | Progress::Proven { .. }
                | Progress::Unproven { .. } => None,
            };
            for text in reason.into_iter().chain(&mut service.seen) {
                *text = clause(text, most);
            }
        }
        if let Some(failed) = self.bake.as_mut().and_then(|bake| bake.failed.as_mut()) {
            *failed = clause(failed, LONGEST_TEXT);
        }
    }

    /// Returns whether ECS accepted Stablepin's deployment for at least one service.
    pub fn applied_anywhere(&self) -> bool {
        self.services.iter().any(|service| service.started.is_some())
    }

    /// Returns whether ECS accepted, or may have accepted, Stablepin's deployment for at least one
    /// service.
    pub fn maybe_applied(&self) -> bool {
        let unheard = |service: &ServiceRollout| {
            service.if_moved && matches!(service.progress, Progress::Failed { .. })
        };
        self.applied_anywhere() || self.services.iter().any(unheard)
    }
}

/// The direction of a rollout: forward to the new digest, or a revert after a failure. An
/// observation of one direction's deployment does not count for the other direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Revert,
}

/// The goal of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Destination {
    Digest {
        digest: ImageDigest,
    },
    /// The task definition that each service had before the rollout. If the first promotion fails,
    /// it reverts to these task definitions, because no pin exists.
    Before,
}

impl Destination {
    pub fn digest(&self) -> Option<&ImageDigest> {
        match self {
            Self::Digest { digest } => Some(digest),
            Self::Before => None,
        }
    }
}

/// The period after the deployment in which every service must stay proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bake {
    pub until: Timestamp,
    /// The time of the last probe of all endpoints.
    pub probed_at: Option<Timestamp>,
    /// The failure of the last probe. None if the last probe succeeded.
    pub failed: Option<String>,
}

/// The time between two observations during a bake.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_secs(30);

/// Returns whether Stablepin must observe a service again after its last observation at `seen`.
/// Stablepin observes services regularly until `until`, and once after `until`.
pub(crate) fn look_again(until: Timestamp, now: Timestamp, seen: Timestamp) -> bool {
    if now < until { seen + BETWEEN_LOOKS <= now } else { seen < until }
}

/// The rollout of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRollout {
    pub service: ServiceName,
    /// The service's state before the rollout. A revert may restore this state.
    pub before: Live,
    /// Stablepin's deployment. None until ECS has accepted the deployment.
    pub started: Option<Started>,
    pub progress: Progress,
    /// True if Stablepin does not know whether ECS has updated the service. A revert deploys to the
    /// service only if ECS has updated it.
    pub if_moved: bool,
    /// True if Stablepin started its deployment a second time, because a delayed call of the
    /// pre-empted operation replaced Stablepin's first deployment.
    pub again: bool,
    /// The last observation, in words for people.
    pub seen: Option<String>,
    /// The current pause at a lifecycle hook. None if ECS does not wait.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// The total length of the pauses that have ended.
    #[serde(default)]
    pub paused_for: SignedDuration,
    /// The number of times that ECS refused to update the service.
    #[serde(default)]
    pub refused: u32,
    /// True if a call to update the service began and its result is unknown.
    #[serde(default)]
    pub unheard: bool,
    /// A revision that Stablepin registered for the service but does not deploy, because the
    /// revision does not match the request.
    #[serde(default)]
    pub unused: Option<String>,
}

/// A wait of ECS at a lifecycle hook. The hook's owner decides when the wait ends, so the wait does
/// not count against the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// The time when Stablepin last observed that ECS waits.
    pub seen: Timestamp,
}

impl ServiceRollout {
    /// Returns whether a revert has found that the promotion did not change the service.
    pub(crate) fn is_unmoved(&self) -> bool {
        self.if_moved && self.started.is_none() && matches!(self.progress, Progress::Returned { .. })
    }

    /// Returns the rollout of a service before Stablepin makes the first call to AWS.
    pub fn waiting(service: ServiceName, before: Live) -> Self {
        let progress = Progress::Waiting;
        Self {
            service,
            before,
            started: None,
            progress,
            if_moved: false,
            again: false,
            seen: None,
            pause: None,
            paused_for: SignedDuration::ZERO,
            refused: 0,
            unheard: false,
            unused: None,
        }
    }
}

/// The state of a service, as ECS reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub task_definition: String,
    pub deployment: String,
    /// The digests of the application's running containers. A stored record contains only the first
    /// few digests.
    pub digests: BTreeSet<ImageDigest>,
    /// The digest in the service's task definition. None if the application's containers have
    /// different digests, or if one of them has only a tag.
    pub described: Option<ImageDigest>,
}

/// A deployment by Stablepin that ECS accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The deployment's id, such as `ecs-svc/1234567890123456789`.
    pub deployment: String,
    /// The ARN of the service deployment, if ECS reports one.
    pub service_deployment: Option<String>,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    /// True if an essential container has a health check. Only then does ECS report the health of
    /// tasks.
    pub health_checked: bool,
    pub at: Timestamp,
}

/// The progress of one service's rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Progress {
    /// Stablepin has not yet called ECS to update the service, or ECS has not yet responded.
    Waiting,
    /// ECS accepted Stablepin's deployment.
    Deployed,
    /// Stablepin's deployment is complete, and every running task has the digest.
    Proven { tasks: u32, at: Timestamp },
    /// Stablepin's deployment is complete, but the desired count is 0, so no task runs that could
    /// prove the digest.
    Unproven {
        #[serde(default)]
        at: Timestamp,
    },
    /// Stablepin's deployment failed, and ECS is rolling back by itself. Stablepin waits until the
    /// time `until`.
    Returning { reason: String, until: Timestamp },
    /// ECS rolled back by itself to this digest, or no deployment has changed the service.
    Returned { reason: String, digest: Option<ImageDigest> },
    /// Another deployment replaced Stablepin's deployment.
    Superseded { reason: String },
    /// The rollout of this service failed for this reason.
    Failed { reason: String },
}
