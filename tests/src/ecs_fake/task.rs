//! A task with its containers, its health, and the cause of its stop.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::home::EcsHome;

/// The time for which ECS still returns a task after the task has stopped.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskHealth {
    Healthy,
    Unhealthy,
    /// No container has a health check, or no health check has run yet.
    Unknown,
}

impl TaskHealth {
    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Pending,
    Running,
    Stopped,
}

impl Last {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct TaskContainer {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) image: String,
    /// The digest that the test has set for this container. `None`: ECS reports the image's digest.
    /// `Some(None)`: ECS reports no digest.
    pub(super) reports: Option<Option<String>>,
    pub(super) essential: bool,
    pub(super) checked: bool,
    pub(super) health: TaskHealth,
    /// True if the container has ended while the task still runs.
    pub(super) ended: bool,
    pub(super) exit_code: Option<i64>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct StoredTask {
    pub(super) arn: String,
    pub(super) definition: String,
    pub(super) family: String,
    pub(super) deployment: String,
    pub(super) service: String,
    pub(super) cluster_arn: String,
    pub(super) launch_type: String,
    pub(super) last: Last,
    /// True if the desired status of the task is `RUNNING`, false if it is `STOPPED`.
    pub(super) wanted: bool,
    pub(super) containers: Vec<TaskContainer>,
    pub(super) interface: Option<(String, String)>,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) stopping_at: Option<Timestamp>,
    pub(super) stopped_at: Option<Timestamp>,
    pub(super) stop: Option<(&'static str, String)>,
    pub(super) version: u64,
}

/// The cause of a task's stop.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
pub(super) enum Stop {
    /// An essential container has exited with this code.
    Exited(i64),
    Unhealthy,
    /// The service no longer needs the task.
    Scaled,
}

impl StoredTask {
    pub(super) fn is_of(&self, deployment: &str) -> bool {
        self.deployment == deployment
    }

    /// Returns whether the task has not stopped yet.
    pub(super) fn lives(&self) -> bool {
        self.last != Last::Stopped
    }

    /// Sets the health of the containers that have a health check. The health of all other
    /// containers remains unknown.
    pub(super) fn becomes(&mut self, health: TaskHealth) {
        for container in self.containers.iter_mut().filter(|container| container.checked) {
            container.health = health;
        }
        self.version += 1;
    }

    pub(super) fn runs(&mut self, at: Timestamp) {
        self.last = Last::Running;
        self.started_at = Some(at);
        self.becomes(TaskHealth::Healthy);
    }

    /// Ends one of the containers, while the task continues to run.
    pub(super) fn container_ends(&mut self, name: &str, exit_code: i64, reason: &str) {
        let container = self.containers.iter_mut().find(|container| container.name == name);
        let container = container.expect("the task has a container of that name");
        assert!(!container.essential, "an essential container would end the task");
        (container.ended, container.exit_code) = (true, Some(exit_code));
        container.reason = (!reason.is_empty()).then(|| reason.to_owned());
        self.version += 1;
    }

    /// Changes the desired status of the task to `STOPPED`. The task may still run while it drains.
    pub(super) fn is_unwanted(&mut self, at: Timestamp) {
        self.wanted = false;
        self.stopping_at.get_or_insert(at);
        self.version += 1;
    }

    pub(super) fn stops(&mut self, at: Timestamp, why: &Stop) {
        self.is_unwanted(at);
        self.last = Last::Stopped;
        self.stopped_at = Some(at);
        let (code, reason, exit) = match why {
            Stop::Exited(exit) => {
                ("EssentialContainerExited", "Essential container in task exited".to_owned(), *exit)
            }
            Stop::Unhealthy => {
                let checked = self.containers.iter().any(|container| container.checked);
                let what = if checked { "container" } else { "ELB" };
                ("ServiceSchedulerInitiated", format!("Task failed {what} health checks"), 137)
            }
            Stop::Scaled => {
                let id = &self.deployment;
                let reason = format!("Scaling activity initiated by (deployment {id})");
                ("ServiceSchedulerInitiated", reason, 143)
            }
        };
        self.stop = Some((code, reason));
        for container in &mut self.containers {
            container.exit_code = Some(exit);
            container.health = TaskHealth::Unknown;
        }
    }

    /// Returns the task in the form of `DescribeTasks`. `time` formats the times.
    pub(super) fn described(&self, home: &EcsHome, time: fn(Timestamp) -> Value) -> Value {
        let containers: Vec<_> =
            self.containers.iter().map(|container| self.described_container(home, container)).collect();
        // The essential containers decide "with the following priority order". The task is
        // UNHEALTHY if one of them is unhealthy, else UNKNOWN if one is unknown, else HEALTHY. A
        // container without a health check is UNKNOWN.
        // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
        let essential = self.containers.iter().filter(|one| one.essential).map(|one| one.health);
        let worst = |one: &TaskHealth| match one {
            TaskHealth::Healthy => 0,
            TaskHealth::Unknown => 1,
            TaskHealth::Unhealthy => 2,
        };
        let health = essential.max_by_key(worst).unwrap_or(TaskHealth::Unknown);
        let mut task = json!({
            "taskArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinitionArn": self.definition,
            "containers": containers,
            "attachments": self.attachments(),
            "lastStatus": self.last.as_str(),
            "desiredStatus": if self.wanted { "RUNNING" } else { "STOPPED" },
            "healthStatus": health.as_str(),
            "group": format!("service:{}", self.service),
            "startedBy": self.deployment,
            "launchType": self.launch_type,
            "version": self.version,
            "createdAt": time(self.created_at),
            "overrides": { "containerOverrides": [] },
            "tags": [],
        });
        for (member, at) in
            [("startedAt", self.started_at), ("stoppingAt", self.stopping_at), ("stoppedAt", self.stopped_at)]
        {
            if let Some(at) = at {
                task[member] = time(at);
            }
        }
        if let Some((code, reason)) = &self.stop {
            task["stopCode"] = json!(code);
            task["stoppedReason"] = json!(reason);
        }
        task
    }

    fn described_container(&self, home: &EcsHome, container: &TaskContainer) -> Value {
        let mut shown = json!({
            "containerArn": container.arn,
            "taskArn": self.arn,
            "name": container.name,
            "image": container.image,
            "lastStatus": if container.ended { Last::Stopped } else { self.last }.as_str(),
            "healthStatus": container.health.as_str(),
            "networkBindings": [],
        });
        // ECS reports no digest before it has pulled the image.
        let digest = match (&container.reports, self.started_at) {
            (_, None) => None,
            (Some(told), Some(_)) => told.clone(),
            (None, Some(_)) => home.digest(&container.image),
        };
        if let Some(digest) = digest {
            shown["imageDigest"] = json!(digest);
        }
        if let Some((attachment, address)) = &self.interface {
            let interface = json!({ "attachmentId": attachment, "privateIpv4Address": address });
            shown["networkInterfaces"] = json!([interface]);
        }
        if let Some(code) = container.exit_code {
            shown["exitCode"] = json!(code);
        }
        if let Some(reason) = &container.reason {
            shown["reason"] = json!(reason);
        }
        shown
    }

    /// Returns the network interface of the task, or an empty list if the task has none.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html>
    fn attachments(&self) -> Value {
        let Some((id, address)) = &self.interface else { return json!([]) };
        let detail = |name: &str, value: &str| json!({ "name": name, "value": value });
        let status = if self.last == Last::Stopped { "DELETED" } else { "ATTACHED" };
        json!([{
            "id": id, "type": "ElasticNetworkInterface", "status": status,
            "details": [
                detail("subnetId", "subnet-0a1b2c3d"),
                detail("networkInterfaceId", &format!("eni-{}", &id[..8])),
                detail("macAddress", "0a:00:00:00:00:01"),
                detail("privateDnsName", &format!("ip-{}.ec2.internal", address.replace('.', "-"))),
                detail("privateIPv4Address", address),
            ],
        }])
    }

    pub(super) fn is_remembered(&self, now: Timestamp) -> bool {
        self.stopped_at.is_none_or(|at| now.duration_since(at) < REMEMBERED)
    }
}
