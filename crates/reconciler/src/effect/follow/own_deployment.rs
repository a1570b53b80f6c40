//! Finds the service deployment that Stablepin started.

use stablepin_aws::ecs::{Ecs, EcsError, ServiceDeployment};
use stablepin_rules::application::ServiceName;
use stablepin_rules::records::Started;

/// The service deployment that Stablepin started.
pub(super) struct OwnDeployment {
    pub(super) deployment: ServiceDeployment,
    /// The task definition to which ECS rolls back, or has rolled back.
    pub(super) back_to: Option<String>,
}

pub(super) async fn own_deployment(
    ecs: &Ecs,
    service: &ServiceName,
    started: &Started,
) -> Result<Option<OwnDeployment>, EcsError> {
    let arn = match &started.service_deployment {
        Some(arn) => Some(arn.clone()),
        None => find(ecs, service, started).await?,
    };
    let Some(arn) = arn else { return Ok(None) };
    let Some(deployment) = ecs.service_deployment(&arn).await? else { return Ok(None) };
    let revision = deployment.rollback.as_ref().and_then(|rollback| rollback.service_revision.as_ref());
    let back_to = match revision {
        Some(revision) => ecs.service_revision(revision).await?.map(|revision| revision.task_definition),
        None => None,
    };
    Ok(Some(OwnDeployment { deployment, back_to }))
}

/// Returns the ARN of the service deployment with Stablepin's task definition.
async fn find(ecs: &Ecs, service: &ServiceName, started: &Started) -> Result<Option<String>, EcsError> {
    for listed in ecs.newest_service_deployments(service.cluster(), service.service()).await? {
        // The margin of one minute allows for clocks that differ. Each deployment takes longer than
        // a minute, so the margin includes no earlier deployment.
        let before = listed.created_at.is_some_and(|at| at < started.at - jiff::SignedDuration::from_mins(1));
        if before {
            break;
        }
        let Some(revision) = &listed.target_revision else { continue };
        let revision = ecs.service_revision(revision).await?;
        if revision.is_some_and(|revision| revision.task_definition == started.task_definition) {
            return Ok(Some(listed.arn));
        }
    }
    Ok(None)
}
