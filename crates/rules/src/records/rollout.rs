//! Rollouts: the deployment of one digest to an environment's services. Promotions and rollbacks
//! both use them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_TEXT, clause};

/// The most characters of AWS's texts that a rollout stores, divided among its services. Two
/// rollouts of 80 services then leave room in an item of 400 KB.
const MOST_WORDS: usize = 8_000;

/// The most digests that are stored per service. Two are enough to show that several digests run.
const MOST_DIGESTS: usize = 2;

/// A rollout to several services. Each service has its own deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub destination: Destination,
    pub services: Vec<ServiceRollout>,
    /// The time limit. A service's pauses at lifecycle hooks extend the limit of that service.
    pub deadline: Timestamp,
    /// The bake, which begins when every service is proven. None before.
    pub bake: Option<Bake>,
    /// The number of times that the bake was repeated. Each repetition has a new deadline.
    #[serde(default)]
    pub rebaked: u32,
}

impl Rollout {
    /// Returns a rollout that begins now, with no deployment yet.
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

    /// Returns whether ECS accepted our deployment for at least one service.
    pub fn applied_anywhere(&self) -> bool {
        self.services.iter().any(|service| service.started.is_some())
    }

    /// Returns whether ECS accepted, or may have accepted, our deployment for at least one service.
    pub fn maybe_applied(&self) -> bool {
        let unheard = |service: &ServiceRollout| {
            service.if_moved && matches!(service.progress, Progress::Failed { .. })
        };
        self.applied_anywhere() || self.services.iter().any(unheard)
    }
}

/// The direction of a rollout: forward to the new digest, or a revert after a failure. An
/// observation of a forward deployment does not count for the revert, and vice versa.
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
    /// The task definition that each service had before. A failed first promotion reverts to it,
    /// because no pin exists.
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

/// The time after a rollout in which every service must stay proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bake {
    pub until: Timestamp,
    /// The time of the last probe of all endpoints.
    pub probed_at: Option<Timestamp>,
    /// The failure of a probe. None if no probe has failed.
    pub failed: Option<String>,
}

/// The time between two observations during a bake.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_secs(30);

/// Returns whether a service with its last observation at `seen` must be observed again. Services
/// are observed regularly until `until`, and once after it.
pub(crate) fn look_again(until: Timestamp, now: Timestamp, seen: Timestamp) -> bool {
    if now < until { seen + BETWEEN_LOOKS <= now } else { seen < until }
}

/// The rollout of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRollout {
    pub service: ServiceName,
    /// The service's state before the rollout. A revert may restore it.
    pub before: Live,
    /// Our deployment. None before ECS has accepted it.
    pub started: Option<Started>,
    pub progress: Progress,
    /// True if Stablepin does not know whether the service was moved. A revert moves the service
    /// only if it was moved.
    pub if_moved: bool,
    /// True if our deployment was started a second time, because a late call of the pre-empted
    /// operation replaced the first deployment.
    pub again: bool,
    /// The last observation, in words for people.
    pub seen: Option<String>,
    /// The current pause at a lifecycle hook. None if ECS does not wait.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// The total length of earlier pauses.
    #[serde(default)]
    pub paused_for: SignedDuration,
    /// The number of times that AWS refused to move the service.
    #[serde(default)]
    pub refused: u32,
    /// True if a call to move the service began and its result is unknown.
    #[serde(default)]
    pub unheard: bool,
    /// A revision that Stablepin registered for the service but does not deploy, because it does
    /// not match the request.
    #[serde(default)]
    pub unused: Option<String>,
}

/// A wait of ECS at a lifecycle hook. The hook's owner ends the wait, so it does not count against
/// the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// The time when Stablepin last observed the wait.
    pub seen: Timestamp,
}

impl ServiceRollout {
    /// Returns the rollout of a service before its first call to AWS.
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
    /// The digests of running containers, if the image comes from the environment's repository. A
    /// stored record has only the first few.
    pub digests: BTreeSet<ImageDigest>,
    /// The digest in the service's task definition. None if the containers from the repository have
    /// different digests.
    pub described: Option<ImageDigest>,
}

/// A deployment of ours that ECS accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The deployment's id, such as `ecs-svc/1234567890123456789`.
    pub deployment: String,
    /// The ARN of the service deployment, if ECS reports one.
    pub service_deployment: Option<String>,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    /// True if an essential container has a health check. ECS reports the health of tasks only
    /// then.
    pub health_checked: bool,
    pub at: Timestamp,
}

/// The progress of one service's rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Progress {
    /// ECS has not yet responded to the call that moves the service, or the call was not made.
    Waiting,
    /// ECS accepted our deployment.
    Deployed,
    /// Our deployment finished, and every running task has the digest.
    Proven { tasks: u32, at: Timestamp },
    /// Our deployment finished, but the desired count is 0, so no task proves the digest.
    Unproven {
        #[serde(default)]
        at: Timestamp,
    },
    /// Our deployment failed, and ECS is rolling back by itself. Stablepin waits until `until`.
    Returning { reason: String, until: Timestamp },
    /// ECS rolled back by itself to this digest, or no deployment has moved the service.
    Returned { reason: String, digest: Option<ImageDigest> },
    /// Another deployment replaced ours.
    Superseded { reason: String },
    /// The rollout of this service failed for this reason.
    Failed { reason: String },
}
