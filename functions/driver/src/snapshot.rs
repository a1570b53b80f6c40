//! What a service runs now, read before anything is touched.

use std::collections::BTreeSet;

use stablepin_aws::ecs::{Controller, Ecs, EcsError, ServiceState};
use stablepin_core::application::ServiceName;
use stablepin_core::image::{ImageDigest, ImageReference, RepositoryName};
use stablepin_core::records::{Live, Progress, ServiceRollout};
use stablepin_core::task_definition::{self, TaskDefinitionError};

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("there is no service {0}: correct the environment's services")]
    Missing(ServiceName),
    #[error("{service} is {status}: only an ACTIVE service takes a deployment")]
    NotActive { service: ServiceName, status: String },
    #[error(
        "{0} is deployed by CodeDeploy or an external controller, which Stablepin does not drive: use that"
    )]
    Controller(ServiceName),
    #[error("{service}")]
    NotOurs { service: ServiceName, source: TaskDefinitionError },
    #[error("ECS could not be asked about {service}")]
    Ecs { service: ServiceName, source: EcsError },
}

/// The account and the region of a service's ARN.
pub(crate) struct Home {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Home {
    pub(crate) fn of(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (region, account) = (parts.nth(3)?, parts.next()?);
        Some(Self { account: account.to_owned(), region: region.to_owned() })
    }
}

pub(crate) async fn one(ecs: &Ecs, service: &ServiceName) -> Result<Option<ServiceState>, EcsError> {
    let services = ecs.services(service.cluster(), &[service.service().to_owned()]).await?;
    Ok(services.found.into_iter().next())
}

/// The beginning of a rollout of one service: preflight, without writes.
pub async fn snapshot(
    ecs: &Ecs,
    service: &ServiceName,
    repository: &RepositoryName,
) -> Result<ServiceRollout, SnapshotError> {
    let failed = |source| SnapshotError::Ecs { service: service.clone(), source };
    let (state, tasks) = tokio::join!(one(ecs, service), ecs.running(service.cluster(), service.service()));
    let state = state.map_err(failed)?.ok_or_else(|| SnapshotError::Missing(service.clone()))?;
    if !state.is_active() {
        return Err(SnapshotError::NotActive { service: service.clone(), status: state.status });
    }
    if state.controller != Controller::Ecs {
        return Err(SnapshotError::Controller(service.clone()));
    }
    // A service without one has task sets, which another controller drives.
    let Some(arn) = &state.task_definition else {
        return Err(SnapshotError::Controller(service.clone()));
    };
    let definition = ecs.task_definition(arn).await.map_err(failed)?;
    let missing = || SnapshotError::Missing(service.clone());
    let home = Home::of(&state.arn).ok_or_else(missing)?;
    let described =
        task_definition::described_digest(&definition.described, &home.account, &home.region, repository)
            .map_err(|source| SnapshotError::NotOurs { service: service.clone(), source })?;
    let of_ours = |image: &str| ImageReference::parse(image).is_of(&home.account, &home.region, repository);
    let digests: BTreeSet<ImageDigest> = tasks
        .map_err(failed)?
        .iter()
        .flat_map(|task| &task.containers)
        .filter(|container| container.image.as_deref().is_some_and(of_ours))
        .filter_map(|container| container.digest.clone())
        .collect();
    Ok(ServiceRollout {
        service: service.clone(),
        before: Live {
            task_definition: arn.clone(),
            deployment: state.primary().map(|one| one.id.clone()).unwrap_or_default(),
            digests,
            described,
        },
        progress: Progress::Waiting,
        seen: None,
    })
}
