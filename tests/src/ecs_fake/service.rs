//! A service with its deployments and tasks.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html>

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::{DeploymentOutcome, Revision, StoredDeployment, StoredServiceDeployment, WayBack};
use super::home::EcsHome;
use super::task::{Last, StoredTask};
use crate::fake::clock::epoch;

/// The maximum number of events in a description: "The last 100 events."
const EVENTS: usize = 100;

/// The kind of deployment controller.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerKind {
    Ecs,
    CodeDeploy,
    External,
}

impl ControllerKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::CodeDeploy => "CODE_DEPLOY",
            Self::External => "EXTERNAL",
        }
    }
}

pub(super) struct StoredService {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) cluster_arn: String,
    /// The state of the ECS service: `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub(super) status: &'static str,
    pub(super) controller: ControllerKind,
    pub(super) daemon: bool,
    pub(super) launch_type: String,
    pub(super) desired: u32,
    /// The ARN of the task definition that the service should run.
    pub(super) definition: Option<String>,
    /// The value of `deploymentConfiguration`, with defaults.
    pub(super) configuration: Value,
    /// The values that requests have set for the fields in `DEPLOYING` and `QUIET` of
    /// `services.rs`.
    pub(super) members: Map<String, Value>,
    pub(super) created_at: Timestamp,
    pub(super) events: Vec<Value>,
    /// The entries of `deployments[]`. The first entry is `PRIMARY`.
    pub(super) deployments: Vec<StoredDeployment>,
    pub(super) revisions: Vec<Revision>,
    /// Service deployments, oldest first.
    pub(super) rollouts: Vec<StoredServiceDeployment>,
    /// The id of the completed deployment to which ECS may roll back.
    pub(super) completed: Option<String>,
    pub(super) tasks: Vec<StoredTask>,
    /// The outcomes of the next deployments, in order.
    pub(super) outcomes: VecDeque<DeploymentOutcome>,
    pub(super) way_back: WayBack,
    /// The number of steps in which the tasks of a replaced deployment drain.
    pub(super) drains: u32,
    pub(super) out_of_reach: bool,
    /// The description of the service before its last update.
    pub(super) before_update: Option<Value>,
}

impl StoredService {
    /// Adds an event at the beginning of the service's own list of events.
    pub(super) fn says(&mut self, home: &mut EcsHome, what: &str) {
        let event = json!({
            "id": home.clock.uuid(),
            "createdAt": epoch(home.clock.stamp()),
            "message": format!("(service {}) {what}", self.name),
        });
        self.events.insert(0, event);
        self.events.truncate(EVENTS);
    }

    fn count(&self, deployment: Option<&str>, last: Last) -> usize {
        let of = |task: &&StoredTask| deployment.is_none_or(|id| task.is_of(id));
        self.tasks.iter().filter(of).filter(|task| task.last == last).count()
    }

    pub(super) fn described(&self, names_late: bool) -> Value {
        let mut shown = json!({
            "serviceArn": self.arn,
            "serviceName": self.name,
            "clusterArn": self.cluster_arn,
            "status": self.status,
            "desiredCount": self.desired,
            "runningCount": self.count(None, Last::Running),
            "pendingCount": self.count(None, Last::Pending),
            "launchType": self.launch_type,
            "schedulingStrategy": if self.daemon { "DAEMON" } else { "REPLICA" },
            "deploymentConfiguration": self.configuration,
            "createdAt": epoch(self.created_at),
            "events": self.events,
            "loadBalancers": [],
            "serviceRegistries": [],
            "placementConstraints": [],
            "placementStrategy": [],
            "deployments": self.deployments.iter().map(|one| self.described_deployment(one)).collect::<Vec<_>>(),
            "roleArn": "arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            "enableECSManagedTags": false,
            "enableExecuteCommand": false,
            "propagateTags": "NONE",
        });
        for (member, value) in &self.members {
            shown[member] = value.clone();
        }
        if let Some(definition) = &self.definition {
            shown["taskDefinition"] = json!(definition);
        }
        if self.controller == ControllerKind::Ecs {
            // ECS omits `deploymentController` if its type is ECS and no request has set it.
            let summary = |one: &StoredDeployment| {
                let mut counts = self.summary(&one.revision);
                counts["arn"] = json!(one.revision);
                counts
            };
            shown["currentServiceRevisions"] =
                json!(self.deployments.iter().map(summary).collect::<Vec<_>>());
            if let Some(arn) = self.current_rollout(names_late) {
                shown["currentServiceDeployment"] = json!(arn);
            }
        } else {
            shown["deploymentController"] = json!({ "type": self.controller.as_str() });
            shown["taskSets"] = json!([self.task_set()]);
        }
        shown
    }

    /// Returns the ARN of the current service deployment. AWS does not document whether the new or
    /// the previous service deployment is current just after an update, so a test can choose.
    fn current_rollout(&self, names_late: bool) -> Option<&str> {
        let mut newest = self.rollouts.iter().rev();
        let first = newest.next()?;
        let late = names_late && first.status == "PENDING";
        let current = if late { newest.next().unwrap_or(first) } else { first };
        Some(&current.arn)
    }

    /// Returns the task counts of a service revision.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevisionSummary.html>
    pub(super) fn summary(&self, revision: &str) -> Value {
        let deployments = self.deployments.iter().filter(|one| one.revision == revision);
        let mut counts = [0, 0, 0];
        for deployment in deployments {
            counts[0] += self.wanted(deployment);
            counts[1] += self.count(Some(&deployment.id), Last::Running);
            counts[2] += self.count(Some(&deployment.id), Last::Pending);
        }
        json!({
            "arn": revision,
            "requestedTaskCount": counts[0],
            "runningTaskCount": counts[1],
            "pendingTaskCount": counts[2],
        })
    }

    fn is_primary(&self, deployment: &StoredDeployment) -> bool {
        self.deployments.first().is_some_and(|primary| primary.id == deployment.id)
    }

    fn wanted(&self, deployment: &StoredDeployment) -> usize {
        if self.is_primary(deployment) {
            return self.desired as usize;
        }
        self.tasks.iter().filter(|task| task.is_of(&deployment.id) && task.wanted).count()
    }

    /// Returns an entry of `deployments[]`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html>
    fn described_deployment(&self, deployment: &StoredDeployment) -> Value {
        json!({
            "id": deployment.id,
            "status": if self.is_primary(deployment) { "PRIMARY" } else { "ACTIVE" },
            "taskDefinition": deployment.definition,
            "desiredCount": self.wanted(deployment),
            "pendingCount": self.count(Some(&deployment.id), Last::Pending),
            "runningCount": self.count(Some(&deployment.id), Last::Running),
            "failedTasks": deployment.failed,
            "createdAt": epoch(deployment.created_at),
            "updatedAt": epoch(deployment.updated_at),
            "launchType": self.launch_type,
            "rolloutState": deployment.state,
            "rolloutStateReason": deployment.reason,
        })
    }

    /// Returns the task set of a service whose deployment controller is not ECS.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html>
    fn task_set(&self) -> Value {
        json!({
            "id": "ecs-svc/1111111111111111111",
            "taskSetArn": format!("{}/ecs-svc/1111111111111111111", self.arn.replace(":service/", ":task-set/")),
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "status": "PRIMARY",
            "taskDefinition": self.definition,
            "computedDesiredCount": self.desired,
            "pendingCount": 0,
            "runningCount": self.desired,
            "stabilityStatus": "STEADY_STATE",
        })
    }
}
