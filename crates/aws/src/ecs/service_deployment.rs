//! Service deployments and service revisions: what ECS itself thinks of a deployment, by its own name for it.
//!
//! An emulator may know neither. That is an answer, not an error: who asks falls back on the service's deployments.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use std::cmp::Reverse;

use aws_sdk_ecs::types::{
    DeploymentLifecycleHookStatus, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus as SdkStatus,
};
use jiff::Timestamp;
use stablepin_rules::image::ImageDigest;

use super::{Ecs, EcsError, count, others_than_missing, text, timestamp};
use crate::failed_call::FailedCall;

/// The most that a page has.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServiceDeployments.html>
const PER_LIST: i32 = 100;

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceDeploymentStatus {
    Pending,
    InProgress,
    Successful,
    /// Somebody asked, or another deployment began.
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
    /// One that this program does not know: still going, neither success nor failure.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDeployment {
    pub arn: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    /// Such as `BAKE_TIME`, as ECS says it.
    pub lifecycle_stage: Option<String>,
    /// The ARN of the revision that it brings.
    pub target_revision: Option<String>,
    /// ECS's own way back.
    pub rollback: Option<Rollback>,
    /// The hook that waits for somebody.
    pub paused: Option<Pause>,
    /// None where it does not watch.
    pub circuit_breaker: Option<BreakerCount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    pub reason: Option<String>,
    /// The ARN of the revision that ECS goes back to.
    pub service_revision: Option<String>,
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What `ContinueServiceDeployment` asks for.
    pub hook_id: Option<String>,
    pub stage: Option<String>,
    /// When ECS decides by itself.
    pub expires_at: Option<Timestamp>,
}

/// How near the circuit breaker is to breaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerCount {
    pub failures: u32,
    pub threshold: u32,
}

/// A service deployment as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedServiceDeployment {
    pub arn: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    pub target_revision: Option<String>,
    pub created_at: Option<Timestamp>,
}

/// What a deployment brought or brings: it does not change any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRevision {
    pub arn: String,
    /// ARN with revision.
    pub task_definition: String,
    pub images: Vec<RevisionImage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionImage {
    pub container: String,
    pub image: Option<String>,
    /// What ECS resolved the image to. None before the first task has started.
    pub digest: Option<ImageDigest>,
}

impl Ecs {
    /// None: ECS does not know it, or knows no service deployments at all.
    pub async fn service_deployment(&self, arn: &str) -> Result<Option<ServiceDeployment>, EcsError> {
        const OPERATION: &str = "DescribeServiceDeployments";
        let answer = self.client.describe_service_deployments().service_deployment_arns(arn).send().await;
        let source = match answer.map_err(FailedCall::new) {
            Ok(answer) => {
                others_than_missing(OPERATION, answer.failures())?;
                return answer.service_deployments().first().map(service_deployment).transpose();
            }
            Err(failed) if is_not_offered(&failed) => return Ok(None),
            Err(failed) => failed,
        };
        Err(EcsError::DescribeServiceDeployments { arn: arn.to_owned(), source })
    }

    /// A service's last ones, at most a hundred, newest first. None at all from an ECS that does not know them.
    pub async fn newest_service_deployments(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<ListedServiceDeployment>, EcsError> {
        let call = self.client.list_service_deployments().cluster(cluster).service(service);
        let source = match call.max_results(PER_LIST).send().await.map_err(FailedCall::new) {
            Ok(answer) => {
                let mut listed =
                    answer.service_deployments().iter().map(listed).collect::<Result<Vec<_>, _>>()?;
                // ECS lists the newest first, but nowhere says so.
                listed.sort_by_key(|one| Reverse(one.created_at));
                return Ok(listed);
            }
            Err(failed) if is_not_offered(&failed) => return Ok(Vec::new()),
            Err(failed) => failed,
        };
        Err(EcsError::ListServiceDeployments {
            cluster: cluster.to_owned(),
            service: service.to_owned(),
            source,
        })
    }

    /// None: ECS does not know it, or knows no service revisions at all.
    pub async fn service_revision(&self, arn: &str) -> Result<Option<ServiceRevision>, EcsError> {
        const OPERATION: &str = "DescribeServiceRevisions";
        let answer = self.client.describe_service_revisions().service_revision_arns(arn).send().await;
        let source = match answer.map_err(FailedCall::new) {
            Ok(answer) => {
                others_than_missing(OPERATION, answer.failures())?;
                return answer.service_revisions().first().map(service_revision).transpose();
            }
            Err(failed) if is_not_offered(&failed) => return Ok(None),
            Err(failed) => failed,
        };
        Err(EcsError::DescribeServiceRevisions { arn: arn.to_owned(), source })
    }
}

/// Whether the other side says that it has no such call.
pub(super) fn is_not_offered(failed: &FailedCall) -> bool {
    matches!(
        failed.code(),
        Some("UnsupportedFeatureException" | "UnknownOperationException" | "InvalidAction")
    )
}

fn service_deployment(
    described: &aws_sdk_ecs::types::ServiceDeployment,
) -> Result<ServiceDeployment, EcsError> {
    let what = described.service_deployment_arn().unwrap_or("a service deployment");
    let lacks =
        |member| EcsError::Answer { operation: "DescribeServiceDeployments", what: what.to_owned(), member };
    let stage = || text(described.lifecycle_stage().map(|stage| stage.as_str()));
    let awaiting = described
        .lifecycle_hook_details()
        .iter()
        .find(|hook| hook.status() == Some(&DeploymentLifecycleHookStatus::AwaitingAction));
    let breaker = described
        .deployment_circuit_breaker()
        .filter(|breaker| breaker.status() != Some(&ServiceDeploymentRollbackMonitorsStatus::Disabled));
    Ok(ServiceDeployment {
        arn: text(described.service_deployment_arn()).ok_or_else(|| lacks("serviceDeploymentArn"))?,
        status: described.status().map(status).ok_or_else(|| lacks("status"))?,
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
    brief: &aws_sdk_ecs::types::ServiceDeploymentBrief,
) -> Result<ListedServiceDeployment, EcsError> {
    let what = brief.service_arn().unwrap_or("a service");
    let lacks =
        |member| EcsError::Answer { operation: "ListServiceDeployments", what: what.to_owned(), member };
    Ok(ListedServiceDeployment {
        arn: text(brief.service_deployment_arn()).ok_or_else(|| lacks("serviceDeploymentArn"))?,
        status: brief.status().map(status).ok_or_else(|| lacks("status"))?,
        status_reason: text(brief.status_reason()),
        target_revision: text(brief.target_service_revision_arn()),
        created_at: brief.created_at().and_then(timestamp),
    })
}

fn service_revision(described: &aws_sdk_ecs::types::ServiceRevision) -> Result<ServiceRevision, EcsError> {
    let what = described.service_revision_arn().unwrap_or("a service revision");
    let lacks =
        |member| EcsError::Answer { operation: "DescribeServiceRevisions", what: what.to_owned(), member };
    let images = described.container_images().iter().map(|image| {
        Ok(RevisionImage {
            container: text(image.container_name()).ok_or_else(|| lacks("containerName"))?,
            image: text(image.image()),
            digest: image.image_digest().and_then(|digest| ImageDigest::parse(digest).ok()),
        })
    });
    Ok(ServiceRevision {
        arn: text(described.service_revision_arn()).ok_or_else(|| lacks("serviceRevisionArn"))?,
        task_definition: text(described.task_definition()).ok_or_else(|| lacks("taskDefinition"))?,
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
