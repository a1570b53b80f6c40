//! The events that ECS sends to EventBridge, in their documented formats.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::home::EcsHome;
use super::service::StoredService;
use super::task::StoredTask;

pub(super) fn iso(at: Timestamp) -> Value {
    json!(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

impl EcsHome {
    fn event(&mut self, kind: &str, resource: &str, detail: &Value) {
        let event = json!({
            "version": "0",
            "id": self.clock.uuid(),
            "detail-type": kind,
            "source": "aws.ecs",
            "account": self.account,
            "time": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.region,
            "resources": [resource],
            "detail": detail,
        });
        self.events.push(event);
    }

    /// Records a deployment event. The event of a rollback has the state `IN_PROGRESS` and a reason
    /// that mentions the rollback. Real events contain `clusterArn`, although AWS's examples omit
    /// this field.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>
    pub(super) fn tell_of_deployment(
        &mut self,
        service: &StoredService,
        id: &str,
        state: &str,
        reason: &str,
    ) {
        let kind = if state == "FAILED" { "ERROR" } else { "INFO" };
        let detail = json!({
            "eventType": kind,
            "eventName": format!("SERVICE_DEPLOYMENT_{state}"),
            "clusterArn": service.cluster_arn,
            "deploymentId": id,
            "updatedAt": iso(self.clock.now()),
            "reason": reason,
        });
        self.event("ECS Deployment State Change", &service.arn, &detail);
    }

    /// Records a task event.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html>
    pub(super) fn tell_of_task(&mut self, task: &StoredTask) {
        let mut detail = task.described(self, iso);
        detail["updatedAt"] = iso(self.clock.now());
        // The attachment type in events differs from the type in responses.
        for attachment in detail["attachments"].as_array_mut().into_iter().flatten() {
            attachment["type"] = json!("eni");
        }
        if let Some(members) = detail.as_object_mut() {
            members.remove("healthStatus");
            members.remove("tags");
        }
        self.event("ECS Task State Change", &task.arn, &detail);
    }

    /// Records a hook event.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_hook_state_change_events.html>
    pub(super) fn tell_of_hook(
        &mut self,
        service: &StoredService,
        deployment: &str,
        (hook, state, stage): (&str, &str, &str),
        expires_at: Timestamp,
    ) {
        // AWS documents only the event `HOOK_AWAITING_ACTION`. Assumption: `HOOK_FAILED` and
        // `HOOK_TIMED_OUT` have the type `ERROR`.
        let kind = if matches!(state, "FAILED" | "TIMED_OUT") { "ERROR" } else { "INFO" };
        let detail = json!({
            "eventType": kind,
            "eventName": format!("HOOK_{state}"),
            "hookId": hook,
            "hookType": "PAUSE",
            "expiresAt": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "lifecycleStage": stage,
            "clusterArn": service.cluster_arn,
            "serviceArn": service.arn,
            "serviceDeploymentArn": deployment,
            "updatedAt": iso(self.clock.now()),
        });
        self.event("ECS Hook State Change", deployment, &detail);
    }
}
