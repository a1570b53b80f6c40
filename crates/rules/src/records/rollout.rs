//! A rollout: one digest on its way to an environment's services. What a promotion and a rollback have in common.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_TEXT, cut};

/// The most characters of AWS's words that a rollout keeps. Its services share them: 80 services, there and back, leave
/// room in the 400 KB of an item.
const MOST_WORDS: usize = 8_000;

/// The most digests that are kept of what one service ran: two tell that there were several.
const MOST_DIGESTS: usize = 2;

/// Services on their way, each followed by its own deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub destination: Destination,
    pub services: Vec<ServiceRollout>,
    /// Not done by then: timed out. For each service later by as long as ECS was paused.
    pub deadline: Timestamp,
    /// Begins when every service is proven.
    pub bake: Option<Bake>,
    /// How often a bake began anew, and the deadline with it.
    #[serde(default)]
    pub rebaked: u32,
}

impl Rollout {
    /// It was begun now, and nothing was done for any service yet.
    pub fn begun(destination: Destination, services: Vec<ServiceRollout>, deadline: Timestamp) -> Self {
        Self { destination, services, deadline, bake: None, rebaked: 0 }
    }
}

impl Rollout {
    /// Cuts what AWS's answers can lengthen.
    pub(crate) fn cut(&mut self) {
        let most = (MOST_WORDS / self.services.len().max(1)).min(LONGEST_TEXT);
        for one in &mut self.services {
            while one.before.digests.len() > MOST_DIGESTS {
                one.before.digests.pop_last();
            }
            let reason = match &mut one.progress {
                Progress::Returning { reason, .. }
                | Progress::Returned { reason, .. }
                | Progress::Superseded { reason }
                | Progress::Failed { reason } => Some(reason),
                Progress::Waiting
                | Progress::Deployed
                | Progress::Proven { .. }
                | Progress::Unproven { .. } => None,
            };
            for text in reason.into_iter().chain(&mut one.seen) {
                cut(text, most);
            }
        }
        if let Some(failed) = self.bake.as_mut().and_then(|bake| bake.failed.as_mut()) {
            cut(failed, LONGEST_TEXT);
        }
    }

    /// ECS has accepted a deployment of ours.
    pub fn applied_anywhere(&self) -> bool {
        self.services.iter().any(|one| one.started.is_some())
    }

    /// It has, or may have.
    pub fn maybe_applied(&self) -> bool {
        let unheard = |one: &ServiceRollout| one.if_moved && matches!(one.progress, Progress::Failed { .. });
        self.applied_anywhere() || self.services.iter().any(unheard)
    }
}

/// A promotion that failed goes back. What is heard of the way there says nothing of the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Revert,
}

/// Where the services go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Destination {
    Digest {
        digest: ImageDigest,
    },
    /// Each to the task definition that it had before: a first promotion that failed has no pin to go back to.
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

/// It must stay proven until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bake {
    pub until: Timestamp,
    /// When every endpoint was last seen to answer.
    pub probed_at: Option<Timestamp>,
    /// What did not answer.
    pub failed: Option<String>,
}

/// How often it is looked at meanwhile.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_secs(30);

/// Whether what has to stay so until then, and was last seen so, has to be looked at again: now and then meanwhile, and
/// once at its end.
pub(crate) fn look_again(until: Timestamp, now: Timestamp, seen: Timestamp) -> bool {
    if now < until { seen + BETWEEN_LOOKS <= now } else { seen < until }
}

/// One digest on its way to one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRollout {
    pub service: ServiceName,
    /// What ran when the rollout began: the way back.
    pub before: Live,
    /// Our deployment, once ECS has accepted it.
    pub started: Option<Started>,
    pub progress: Progress,
    /// Not known to have been moved: it goes back only if it was.
    pub if_moved: bool,
    /// A late call of an operation that this one pre-empted took its deployment's place, and it was started once more.
    pub again: bool,
    /// What was last seen of it, for people.
    pub seen: Option<String>,
    /// ECS waits at a lifecycle hook.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// How long it has waited at others before.
    #[serde(default)]
    pub paused_for: SignedDuration,
    /// How often AWS has refused to move it.
    #[serde(default)]
    pub refused: u32,
    /// A call that moves it was begun, and nobody knows what came of it.
    #[serde(default)]
    pub unheard: bool,
    /// A revision that was registered for it and is not used, since it is not what was asked for.
    #[serde(default)]
    pub unused: Option<String>,
}

/// A deployment that waits at a lifecycle hook waits for somebody else: that time is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    /// When it was last seen to wait.
    pub seen: Timestamp,
}

impl ServiceRollout {
    /// One that nothing was done for yet.
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

/// What a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub task_definition: String,
    pub deployment: String,
    /// Of the running containers that run the environment's repository. Stored: a [few](MOST_DIGESTS) of them.
    pub digests: BTreeSet<ImageDigest>,
    /// Every container that runs the repository is described at this digest by the service's task definition.
    pub described: Option<ImageDigest>,
}

/// A deployment that ECS accepted from us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Such as `ecs-svc/1234567890123456789`.
    pub deployment: String,
    /// The service deployment's ARN, where ECS tells it.
    pub service_deployment: Option<String>,
    /// ARN with revision.
    pub task_definition: String,
    /// An essential container has a health check: ECS tells how its tasks are.
    pub health_checked: bool,
    pub at: Timestamp,
}

/// Where one service is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Progress {
    /// Nothing was changed yet, as far as is known.
    Waiting,
    /// ECS accepted our deployment.
    Deployed,
    /// Our deployment finished and every running task carries the digest.
    Proven { tasks: u32, at: Timestamp },
    /// Our deployment finished, and the desired count is 0: nothing runs, nothing is proven.
    Unproven {
        #[serde(default)]
        at: Timestamp,
    },
    /// ECS gave our deployment up and goes back by itself; then it is over, or we no longer wait.
    Returning { reason: String, until: Timestamp },
    /// ECS went back by itself, to this digest. Or it never was moved.
    Returned { reason: String, digest: Option<ImageDigest> },
    /// Somebody else's deployment took the place of ours.
    Superseded { reason: String },
    /// ECS's or AWS's own words.
    Failed { reason: String },
}
