//! Service deployments and service revisions: ECS's own records of a deployment.
//!
//! An emulator may not support these calls. The client then returns `None` or an empty list, not an
//! error, and the caller uses the service's deployments.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use std::cmp::Reverse;

use aws_sdk_ecs::types::{
    DeploymentLifecycleHookStatus, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus as SdkStatus,
};
use jiff::Timestamp;
use stablepin_rules::image::ImageDigest;

use super::answer::{count, others_than_missing, text, timestamp};
use super::client::Ecs;
use super::error::EcsError;
use crate::call::{Call, CallError};

/// The largest page of ListServiceDeployments.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html>
const PER_LIST: i32 = 100;

/// The status of a service deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceDeploymentStatus {
    Pending,
    InProgress,
    Successful,
    /// A person requested the stop, or another deployment began.
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
    /// A status that this version does not know. Stablepin treats the deployment as still running.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDeployment {
    pub arn: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    /// ECS's name of the deployment's stage, such as `BAKE_TIME`.
    pub lifecycle_stage: Option<String>,
    /// The ARN of the service revision that this deployment deploys.
    pub target_revision: Option<String>,
    /// ECS's own rollback, if there is one.
    pub rollback: Option<Rollback>,
    /// The lifecycle hook that waits for an action, if there is one.
    pub paused: Option<Pause>,
    /// The circuit breaker's count. `None` if the circuit breaker is off.
    pub circuit_breaker: Option<BreakerCount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    pub reason: Option<String>,
    /// The ARN of the revision to which ECS rolls back.
    pub service_revision: Option<String>,
}

/// A pause in which a deployment waits for an action.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The id that `ContinueServiceDeployment` requires.
    pub hook_id: Option<String>,
    pub stage: Option<String>,
    /// The time at which ECS continues or rolls back by itself.
    pub expires_at: Option<Timestamp>,
}

/// The state of the circuit breaker, which triggers when `failures` reaches `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerCount {
    pub failures: u32,
    pub threshold: u32,
}

/// A service deployment as ListServiceDeployments returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedServiceDeployment {
    pub arn: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    pub target_revision: Option<String>,
    pub created_at: Option<Timestamp>,
}

/// The immutable revision that a service deployment deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRevision {
    pub arn: String,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    pub images: Vec<RevisionImage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionImage {
    pub container: String,
    pub image: Option<String>,
    /// The digest to which ECS resolved the image. `None` before the first task has started.
    pub digest: Option<ImageDigest>,
}

/// The error codes of an endpoint that does not support a call.
pub(super) const NOT_OFFERED: [&str; 3] =
    ["UnsupportedFeatureException", "UnknownOperationException", "InvalidAction"];

impl Ecs {
    /// Reads a service deployment. Returns `None` if it does not exist, or if ECS does not support
    /// the call.
    pub async fn service_deployment(&self, arn: &str) -> Result<Option<ServiceDeployment>, EcsError> {
        let purpose = format!("describe the service deployment {arn}");
        let call = Call::new("DescribeServiceDeployments", purpose);
        let answer = self.client.describe_service_deployments().service_deployment_arns(arn).send().await;
        let answer = call.none_if(&NOT_OFFERED, answer).map_err(EcsError::ServiceDeployment)?;
        let Some(answer) = answer else { return Ok(None) };
        others_than_missing(&call, answer.failures())?;
        let found = answer.service_deployments().first();
        Ok(found.map(|found| service_deployment(&call, found)).transpose()?)
    }

    /// A service's latest 100 service deployments, newest first. The list is empty if ECS does not
    /// support the call.
    pub async fn newest_service_deployments(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<ListedServiceDeployment>, EcsError> {
        let purpose = format!("list the service deployments of {cluster}/{service}");
        let call = Call::new("ListServiceDeployments", purpose);
        let page = self.client.list_service_deployments().cluster(cluster).service(service);
        let answer = page.max_results(PER_LIST).send().await;
        let answer = call.none_if(&NOT_OFFERED, answer).map_err(EcsError::ServiceDeployment)?;
        let briefs = answer.iter().flat_map(|answer| answer.service_deployments());
        let mut found = briefs.map(|brief| listed(&call, brief)).collect::<Result<Vec<_>, _>>()?;
        // ECS lists the newest deployment first, but AWS does not document that order.
        found.sort_by_key(|deployment| Reverse(deployment.created_at));
        Ok(found)
    }

    /// Reads a service revision. Returns `None` if it does not exist, or if ECS does not support
    /// the call.
    pub async fn service_revision(&self, arn: &str) -> Result<Option<ServiceRevision>, EcsError> {
        let purpose = format!("describe the service revision {arn}");
        let call = Call::new("DescribeServiceRevisions", purpose);
        let answer = self.client.describe_service_revisions().service_revision_arns(arn).send().await;
        let answer = call.none_if(&NOT_OFFERED, answer).map_err(EcsError::ServiceDeployment)?;
        let Some(answer) = answer else { return Ok(None) };
        others_than_missing(&call, answer.failures())?;
        let found = answer.service_revisions().first();
        Ok(found.map(|found| service_revision(&call, found)).transpose()?)
    }
}

fn service_deployment(
    call: &Call,
    described: &aws_sdk_ecs::types::ServiceDeployment,
) -> Result<ServiceDeployment, CallError> {
    let stage = || text(described.lifecycle_stage().map(|stage| stage.as_str()));
    let awaiting = described
        .lifecycle_hook_details()
        .iter()
        .find(|hook| hook.status() == Some(&DeploymentLifecycleHookStatus::AwaitingAction));
    let breaker = described
        .deployment_circuit_breaker()
        .filter(|breaker| breaker.status() != Some(&ServiceDeploymentRollbackMonitorsStatus::Disabled));
    Ok(ServiceDeployment {
        arn: text(described.service_deployment_arn()).ok_or_else(|| call.lacks("serviceDeploymentArn"))?,
        status: described.status().map(status).ok_or_else(|| call.lacks("status"))?,
        status_reason: text(described.status_reason()),
        lifecycle_stage: stage(),
        target_revision: text(described.target_service_revision().and_then(|revision| revision.arn())),
        rollback: described.rollback().map(|rollback| Rollback {
            reason: text(rollback.reason()),
            service_revision: text(rollback.service_revision_arn()),
        }),
        paused: awaiting.map(|hook| Pause {
            hook_id: text(hook.hook_id()),
            stage: stage(),
            expires_at: hook.expires_at().and_then(timestamp),
        }),
        circuit_breaker: breaker.map(|breaker| BreakerCount {
            failures: count(breaker.failure_count()),
            threshold: count(breaker.threshold()),
        }),
    })
}

pub(super) fn listed(
    call: &Call,
    brief: &aws_sdk_ecs::types::ServiceDeploymentBrief,
) -> Result<ListedServiceDeployment, CallError> {
    Ok(ListedServiceDeployment {
        arn: text(brief.service_deployment_arn()).ok_or_else(|| call.lacks("serviceDeploymentArn"))?,
        status: brief.status().map(status).ok_or_else(|| call.lacks("status"))?,
        status_reason: text(brief.status_reason()),
        target_revision: text(brief.target_service_revision_arn()),
        created_at: brief.created_at().and_then(timestamp),
    })
}

fn service_revision(
    call: &Call,
    described: &aws_sdk_ecs::types::ServiceRevision,
) -> Result<ServiceRevision, CallError> {
    let images = described.container_images().iter().map(|image| {
        Ok(RevisionImage {
            container: text(image.container_name()).ok_or_else(|| call.lacks("containerName"))?,
            image: text(image.image()),
            digest: image.image_digest().and_then(|digest| ImageDigest::parse(digest).ok()),
        })
    });
    Ok(ServiceRevision {
        arn: text(described.service_revision_arn()).ok_or_else(|| call.lacks("serviceRevisionArn"))?,
        task_definition: text(described.task_definition()).ok_or_else(|| call.lacks("taskDefinition"))?,
        images: images.collect::<Result<_, _>>()?,
    })
}

fn status(status: &SdkStatus) -> ServiceDeploymentStatus {
    match status {
        SdkStatus::Pending => ServiceDeploymentStatus::Pending,
        SdkStatus::InProgress => ServiceDeploymentStatus::InProgress,
        SdkStatus::Successful => ServiceDeploymentStatus::Successful,
        SdkStatus::StopRequested => ServiceDeploymentStatus::StopRequested,
        SdkStatus::Stopped => ServiceDeploymentStatus::Stopped,
        SdkStatus::RollbackRequested => ServiceDeploymentStatus::RollbackRequested,
        SdkStatus::RollbackInProgress => ServiceDeploymentStatus::RollbackInProgress,
        SdkStatus::RollbackSuccessful => ServiceDeploymentStatus::RollbackSuccessful,
        SdkStatus::RollbackFailed => ServiceDeploymentStatus::RollbackFailed,
        other => ServiceDeploymentStatus::Unknown(other.as_str().to_owned()),
    }
}
