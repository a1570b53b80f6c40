//! Lists, describes, stops and continues service deployments, and describes service revisions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployment::{Hook, Revision, StoredServiceDeployment};
use super::home::EcsHome;
use super::service::StoredService;
use super::world::EcsWorld;
use crate::fake::clock::epoch;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

/// The maximum number of ARNs in one call: "You can specify a maximum of 20 ARNs."
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>
const PER_DESCRIBE: usize = 20;

const STATUSES: [&str; 9] = [
    "PENDING",
    "SUCCESSFUL",
    "STOPPED",
    "STOP_REQUESTED",
    "IN_PROGRESS",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
];

/// Adds the times that have a value to the response.
fn put_times(shown: &mut Value, times: &[(&str, Option<Timestamp>)]) {
    for (member, at) in times {
        if let Some(at) = at {
            shown[*member] = epoch(*at);
        }
    }
}

impl StoredService {
    /// Returns a service deployment in the form of `DescribeServiceDeployments`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
    pub(super) fn described_rollout(&self, rollout: &StoredServiceDeployment) -> Value {
        let mut shown = json!({
            "serviceDeploymentArn": rollout.arn,
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "createdAt": epoch(rollout.created_at),
            "updatedAt": epoch(rollout.updated_at),
            "sourceServiceRevisions": rollout.source.iter().map(|arn| self.summary(arn)).collect::<Vec<_>>(),
            "targetServiceRevision": self.summary(&rollout.target),
            "status": rollout.status,
            "deploymentConfiguration": rollout.configuration,
            "deploymentCircuitBreaker": {
                "status": rollout.breaker,
                "failureCount": rollout.failures,
                "threshold": rollout.threshold,
            },
        });
        put_times(
            &mut shown,
            &[
                ("startedAt", rollout.started_at),
                ("finishedAt", rollout.finished_at),
                ("stoppedAt", rollout.stopped_at),
            ],
        );
        if let Some(reason) = &rollout.reason {
            shown["statusReason"] = json!(reason);
        }
        if let Some(stage) = rollout.stage().filter(|_| rollout.status == "IN_PROGRESS") {
            shown["lifecycleStage"] = json!(stage.as_str());
        }
        if !rollout.hooks.is_empty() {
            let hook = |hook: &Hook| {
                json!({
                    "hookId": hook.id,
                    "targetType": "PAUSE",
                    "status": hook.status,
                    "expiresAt": epoch(hook.expires_at),
                    "timeoutAction": hook.timeout_action,
                })
            };
            shown["lifecycleHookDetails"] = json!(rollout.hooks.iter().map(hook).collect::<Vec<_>>());
        }
        if let Some(back) = &rollout.back {
            shown["rollback"] = json!({
                "reason": back.reason,
                "startedAt": epoch(back.started_at),
                "serviceRevisionArn": back.revision,
            });
        }
        if let Some(status) = rollout.alarms {
            let names = &rollout.configuration["alarms"]["alarmNames"];
            let triggered = if status == "TRIGGERED" { names.clone() } else { json!([]) };
            shown["alarms"] =
                json!({ "status": status, "alarmNames": names, "triggeredAlarmNames": triggered });
        }
        shown
    }

    /// Returns a service deployment in the form of `ListServiceDeployments`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeploymentBrief.html>
    fn brief(&self, rollout: &StoredServiceDeployment) -> Value {
        let mut shown = json!({
            "serviceDeploymentArn": rollout.arn,
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "createdAt": epoch(rollout.created_at),
            "targetServiceRevisionArn": rollout.target,
            "status": rollout.status,
        });
        put_times(&mut shown, &[("startedAt", rollout.started_at), ("finishedAt", rollout.finished_at)]);
        if let Some(reason) = &rollout.reason {
            shown["statusReason"] = json!(reason);
        }
        shown
    }

    /// Returns a service revision in the form of `DescribeServiceRevisions`.
    pub(super) fn described_revision(&self, home: &EcsHome, revision: &Revision) -> Value {
        let definition = home.definitions.by_arn(&revision.definition);
        let containers = definition.map_or(&[][..], |definition| definition.containers());
        let images: Vec<_> = containers
            .iter()
            .map(|container| {
                let image = container["image"].as_str().unwrap_or_default();
                let mut shown = json!({ "containerName": container["name"], "image": image });
                let digest = if revision.resolved { home.digest(image) } else { None };
                if let Some(digest) = digest {
                    shown["imageDigest"] = json!(digest);
                }
                shown
            })
            .collect();
        json!({
            "serviceRevisionArn": revision.arn,
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinition": revision.definition,
            "launchType": self.launch_type,
            "loadBalancers": self.members.get("loadBalancers").cloned().unwrap_or_else(|| json!([])),
            "networkConfiguration": self.members.get("networkConfiguration"),
            "containerImages": images,
            "guardDutyEnabled": false,
            "createdAt": epoch(revision.created_at),
        })
    }
}

impl EcsWorld {
    /// Lists service deployments, newest first. ECS's documentation promises no order.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html>
    pub(super) fn list_service_deployments(&self, input: &Input<'_>) -> Answer {
        input.knows(&["service", "cluster", "status", "createdAt", "maxResults", "nextToken"])?;
        let cluster = self.cluster(input)?;
        let service = &self.services[self.found(&cluster, input.needed("service")?)?];
        let statuses = input.texts("status")?;
        if let Some(other) = statuses.iter().find(|one| !STATUSES.contains(*one)) {
            return Err(Refused::parameter(format!("{other} is no status of a service deployment.")));
        }
        let created = input.object("createdAt")?;
        let bound = |member: &str| created.and_then(|created| created.get(member)).and_then(Value::as_f64);
        let (before, after) = (bound("before"), bound("after"));
        let late = usize::from(self.shows_late && service.before_update.is_some());
        let found = service.rollouts.iter().rev().skip(late).filter(|one| {
            let at = epoch(one.created_at).as_f64().unwrap_or_default();
            (statuses.is_empty() || statuses.contains(&one.status))
                && before.is_none_or(|before| at < before)
                && after.is_none_or(|after| at > after)
        });
        let briefs = found.map(|one| service.brief(one)).collect();
        page(input, "serviceDeployments", briefs, &PageLimits { default: 20, greatest: 100 })
    }

    fn each(
        input: &Input<'_>,
        member: &str,
        find: impl Fn(&str) -> Option<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), Refused> {
        input.knows(&[member])?;
        let asked = input.texts(member)?;
        if asked.is_empty() || asked.len() > PER_DESCRIBE {
            return Err(Refused::parameter(format!("{member} must be 1 to {PER_DESCRIBE}.")));
        }
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for arn in asked {
            match find(arn) {
                Some(value) => found.push(value),
                None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            }
        }
        Ok((found, failures))
    }

    pub(super) fn describe_service_deployments(&self, input: &Input<'_>) -> Answer {
        let find = |arn: &str| {
            self.services.iter().find_map(|service| {
                let rollout = service.rollouts.iter().find(|one| one.arn == arn)?;
                Some(service.described_rollout(rollout))
            })
        };
        let (found, failures) = Self::each(input, "serviceDeploymentArns", find)?;
        Ok(json!({ "serviceDeployments": found, "failures": failures }))
    }

    pub(super) fn describe_service_revisions(&self, input: &Input<'_>) -> Answer {
        let find = |arn: &str| {
            self.services.iter().find_map(|service| {
                let revision = service.revisions.iter().find(|one| one.arn == arn)?;
                Some(service.described_revision(&self.home, revision))
            })
        };
        let (found, failures) = Self::each(input, "serviceRevisionArns", find)?;
        Ok(json!({ "serviceRevisions": found, "failures": failures }))
    }

    fn rollout(&self, arn: &str) -> Result<(usize, usize), Refused> {
        let places =
            self.services.iter().enumerate().find_map(|(at, service)| {
                Some((at, service.rollouts.iter().position(|one| one.arn == arn)?))
            });
        let lacks =
            || Refused::new(400, "ServiceDeploymentNotFoundException", "Service deployment not found.");
        places.ok_or_else(lacks)
    }

    /// Stops a service deployment, which ECS then rolls back.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html>
    pub(super) fn stop_service_deployment(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["serviceDeploymentArn", "stopType"])?;
        let arn = input.needed("serviceDeploymentArn")?;
        // The API's model also has ABORT, but "the valid values are ROLLBACK".
        // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopServiceDeployment.html>
        input.one_of("stopType", &["ROLLBACK"])?;
        let (service, at) = self.rollout(arn)?;
        let now = self.home.clock.stamp();
        let rollout = &mut self.services[service].rollouts[at];
        match rollout.status {
            "PENDING" | "IN_PROGRESS" => rollout.becomes("ROLLBACK_REQUESTED", now),
            // If the deployment already stops, it "continues to stop". If it already rolls back, it
            // "continues the rollback operation".
            "STOP_REQUESTED" | "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => {}
            ended => {
                let message = format!("Service deployment is {ended} and cannot be stopped.");
                return Err(Refused::new(400, "ConflictException", message));
            }
        }
        Ok(json!({ "serviceDeploymentArn": arn }))
    }

    /// Continues a service deployment that waits at a pause hook, or rolls the deployment back.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html>
    pub(super) fn continue_service_deployment(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["serviceDeploymentArn", "hookId", "action"])?;
        let (arn, id) = (input.needed("serviceDeploymentArn")?, input.needed("hookId")?);
        let continues = input.one_of("action", &["CONTINUE", "ROLLBACK"])? != Some("ROLLBACK");
        let (service, at) = self.rollout(arn)?;
        let service = &mut self.services[service];
        let rollout = &service.rollouts[at];
        let waits = rollout.hooks.iter().any(|hook| hook.id == id && hook.status == "AWAITING_ACTION");
        if !waits || rollout.status != "IN_PROGRESS" {
            // AWS does not document the error for this case.
            return Err(Refused::parameter(format!("The hook {id} does not await an action.")));
        }
        let status = if continues { "SUCCEEDED" } else { "FAILED" };
        service.settle_hook(&mut self.home, id, status, continues);
        Ok(json!({ "serviceDeploymentArn": arn }))
    }
}
