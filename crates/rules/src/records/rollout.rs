//! Rollouts: one digest is brought to an environment's services. Promotions and rollbacks share
//! this part.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_TEXT, clause};

/// The most characters of AWS's texts that a rollout keeps, shared by its services. Two rollouts of
/// 80 services leave room in the 400 KB of an item.
const MOST_WORDS: usize = 8_000;

/// The most digests that are kept per service. Two are enough to show that there were several.
const MOST_DIGESTS: usize = 2;

/// The services of a rollout, each followed by its own deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub destination: Destination,
    pub services: Vec<ServiceRollout>,
    /// The time limit. A service whose deployment was paused has that much more time.
    pub deadline: Timestamp,
    /// The bake. It begins when every service is proven.
    pub bake: Option<Bake>,
    /// How often the bake began anew, each time with a new deadline.
    #[serde(default)]
    pub rebaked: u32,
}

impl Rollout {
    /// Returns a rollout that begins now and has done nothing for any service yet.
    pub fn begun(destination: Destination, services: Vec<ServiceRollout>, deadline: Timestamp) -> Self {
        Self { destination, services, deadline, bake: None, rebaked: 0 }
    }
}

impl Rollout {
    /// Cuts the texts and lists that come from AWS.
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

    /// Returns whether ECS accepted a deployment of ours for any service.
    pub fn applied_anywhere(&self) -> bool {
        self.services.iter().any(|service| service.started.is_some())
    }

    /// Returns whether ECS accepted, or may have accepted, a deployment of ours.
    pub fn maybe_applied(&self) -> bool {
        let unheard = |service: &ServiceRollout| {
            service.if_moved && matches!(service.progress, Progress::Failed { .. })
        };
        self.applied_anywhere() || self.services.iter().any(unheard)
    }
}

/// The direction of a promotion's rollout: forward to the new digest, or a revert after a failure.
/// An observation of one direction says nothing about the other.
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
    /// The task definition that each service had before. A failed first promotion has no pin to
    /// revert to.
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

/// The time in which every service must stay proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bake {
    pub until: Timestamp,
    /// When every endpoint last answered.
    pub probed_at: Option<Timestamp>,
    /// The probe's failure.
    pub failed: Option<String>,
}

/// The time between two observations during a bake.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_secs(30);

/// Returns whether a service that was last observed at `seen` must be observed again. It is
/// observed regularly until `until`, and once after it.
pub(crate) fn look_again(until: Timestamp, now: Timestamp, seen: Timestamp) -> bool {
    if now < until { seen + BETWEEN_LOOKS <= now } else { seen < until }
}

/// The rollout of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRollout {
    pub service: ServiceName,
    /// The service's state before the rollout, for a revert.
    pub before: Live,
    /// Our deployment, once ECS has accepted it.
    pub started: Option<Started>,
    pub progress: Progress,
    /// Whether it is uncertain that the service was moved. A revert moves it only if it was.
    pub if_moved: bool,
    /// Whether our deployment was started a second time, because a late call of the pre-empted
    /// operation replaced it.
    pub again: bool,
    /// The last observation, for people.
    pub seen: Option<String>,
    /// The current pause, while ECS waits at a lifecycle hook.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// The total length of earlier pauses.
    #[serde(default)]
    pub paused_for: SignedDuration,
    /// How often AWS refused to move the service.
    #[serde(default)]
    pub refused: u32,
    /// Whether a call that moves the service began, and its result is unknown.
    #[serde(default)]
    pub unheard: bool,
    /// A revision that was registered for the service but does not match the request. It is not
    /// used.
    #[serde(default)]
    pub unused: Option<String>,
}

/// A wait at a lifecycle hook. The hook's owner decides when it ends, so the wait does not count
/// against the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// When the wait was last observed.
    pub seen: Timestamp,
}

impl ServiceRollout {
    /// Returns the rollout of a service for which nothing was done yet.
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

/// The observed state of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub task_definition: String,
    pub deployment: String,
    /// The digests of running containers from the environment's repository. A record keeps only a
    /// few.
    pub digests: BTreeSet<ImageDigest>,
    /// The digest in the service's task definition, if all containers from the repository share it.
    pub described: Option<ImageDigest>,
}

/// A deployment of ours that ECS accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The deployment's id, such as `ecs-svc/1234567890123456789`.
    pub deployment: String,
    /// The ARN of the service deployment, if ECS reports one.
    pub service_deployment: Option<String>,
    /// The task definition's ARN with revision.
    pub task_definition: String,
    /// Whether an essential container has a health check, so that ECS reports the health of tasks.
    pub health_checked: bool,
    pub at: Timestamp,
}

/// The progress of one service's rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Progress {
    /// The call that moves the service was not answered yet, or was not made.
    Waiting,
    /// ECS accepted our deployment.
    Deployed,
    /// Our deployment finished, and every running task carries the digest.
    Proven { tasks: u32, at: Timestamp },
    /// Our deployment finished, but the desired count is 0. Nothing runs, so nothing is proven.
    Unproven {
        #[serde(default)]
        at: Timestamp,
    },
    /// ECS gave our deployment up and rolls back by itself. We wait until `until`.
    Returning { reason: String, until: Timestamp },
    /// ECS rolled back by itself to this digest, or the service was never moved.
    Returned { reason: String, digest: Option<ImageDigest> },
    /// Another deployment replaced ours.
    Superseded { reason: String },
    /// The rollout of this service failed, with the reason in AWS's words.
    Failed { reason: String },
}
