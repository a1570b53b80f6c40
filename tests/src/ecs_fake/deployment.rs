//! A deployment of a service, with its outcome.
//!
//! ECS describes one deployment in two places. An entry of `deployments[]` has an id (`ecs-svc/…`),
//! a status (`PRIMARY` or `ACTIVE`) and a rollout state. A *service deployment* has an ARN and a
//! status, and remains in the history. A rollback adds an entry to `deployments[]`. It adds no
//! service deployment, but changes the status of the existing service deployment.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use jiff::Timestamp;
use serde_json::Value;

use super::stage::Stage;

/// The outcome of a deployment, which the test chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentOutcome {
    Succeeds,
    /// Each task exits as soon as it runs. Without a circuit breaker, ECS starts new tasks forever.
    CrashesUntilTheBreaker,
    /// Each task runs, but its health checks fail. Without a circuit breaker, ECS starts new tasks
    /// forever.
    NeverHealthy,
    /// ECS cannot place a task, so no task runs and none fails.
    Stalls,
    /// The deployment pauses as if the stage had a pause hook. After the pause, the deployment
    /// succeeds.
    PausesAt(Stage),
    /// An alarm of the service fires after the tasks have started. Without alarms, the deployment
    /// succeeds.
    AlarmFires,
}

/// The outcome of ECS's own rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    Succeeds,
    Fails,
    /// The rollback remains in progress forever.
    Stalls,
}

/// An entry of `deployments[]`.
pub(super) struct StoredDeployment {
    pub(super) id: String,
    pub(super) definition: String,
    /// The ARN of the service revision.
    pub(super) revision: String,
    pub(super) state: &'static str,
    pub(super) reason: String,
    pub(super) failed: u32,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// The number of steps until the tasks of a replaced deployment have drained. `None` if no
    /// newer deployment has replaced this deployment.
    pub(super) drains: Option<u32>,
}

/// A service revision. ECS changes a service revision only once: when the first task runs, ECS
/// resolves the image digests.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html>
pub(super) struct Revision {
    pub(super) arn: String,
    pub(super) definition: String,
    pub(super) created_at: Timestamp,
    pub(super) resolved: bool,
}

pub(super) struct Hook {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) expires_at: Timestamp,
    pub(super) timeout_action: String,
    pub(super) stage: Stage,
}

pub(super) struct Back {
    pub(super) reason: String,
    pub(super) started_at: Timestamp,
    pub(super) revision: String,
}

/// A service deployment.
pub(super) struct StoredServiceDeployment {
    pub(super) arn: String,
    pub(super) source: Vec<String>,
    pub(super) target: String,
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    pub(super) configuration: Value,
    pub(super) hooks: Vec<Hook>,
    pub(super) back: Option<Back>,
    pub(super) breaker: &'static str,
    pub(super) failures: u32,
    pub(super) threshold: u32,
    pub(super) alarms: Option<&'static str>,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) stopped_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
    pub(super) outcome: DeploymentOutcome,
    pub(super) path: Vec<Stage>,
    /// The position of the current stage in `path`.
    pub(super) at: usize,
}

/// The cause of a rollback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    Breaker,
    Alarm,
    Stopped,
    Hook(&'static str),
}

impl Because {
    /// Returns the reason as ECS words it. Users have reported the text for the circuit breaker.
    /// The other texts imitate that text.
    pub(super) fn reason(self) -> String {
        let why = match self {
            Self::Breaker => "the circuit breaker threshold was exceeded.".to_owned(),
            Self::Alarm => "one or more alarms were triggered.".to_owned(),
            Self::Stopped => "a stop was requested.".to_owned(),
            Self::Hook(stage) => format!("{stage} lifecycle hook(s) failed."),
        };
        format!("Service deployment rolled back because {why}")
    }
}

impl StoredServiceDeployment {
    pub(super) fn stage(&self) -> Option<Stage> {
        self.started_at.and(self.path.get(self.at).copied())
    }

    /// Returns whether the status is final.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status, "SUCCESSFUL" | "STOPPED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED")
    }

    pub(super) fn becomes(&mut self, status: &'static str, at: Timestamp) {
        self.status = status;
        self.updated_at = at;
        if self.has_ended() {
            self.finished_at = Some(at);
        }
        if status == "STOPPED" {
            self.stopped_at = Some(at);
        }
    }

    /// Returns the id of the pause hook at which the deployment waits. `None` if the deployment
    /// does not wait.
    pub(super) fn waiting_hook(&self) -> Option<&str> {
        self.hooks.iter().find(|hook| hook.status == "AWAITING_ACTION").map(|hook| hook.id.as_str())
    }

    pub(super) fn is_on(&self, what: &str, switch: &str) -> bool {
        self.configuration[what][switch] == true
    }
}
