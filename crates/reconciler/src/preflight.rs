//! Checks that services can run an image, before a promotion or a rollback writes anything.

use futures_util::future::join_all;
use stablepin_aws::ecr::{Ecr, EcrError, ImageStatus};
use stablepin_aws::ecs::Ecs;
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use crate::snapshot::{Snapshot, SnapshotError, snapshot};

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{image} is archived and cannot be pulled: restore it (up to 20 minutes)")]
    Archived { image: String },
    #[error("{image} is no longer in the registry")]
    Gone { image: String },
    #[error(transparent)]
    Ecr(#[from] EcrError),
}

/// Checks that ECS can pull the image immediately.
pub async fn check_image(
    ecr: &Ecr,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<(), ImageError> {
    let image = || format!("{repository}@{digest}");
    match ecr.describe(repository, digest).await?.map(|detail| detail.status) {
        Some(ImageStatus::Active) => Ok(()),
        Some(ImageStatus::Archived | ImageStatus::Activating) => Err(ImageError::Archived { image: image() }),
        None => Err(ImageError::Gone { image: image() }),
    }
}

/// Reads all services, or returns the error of the first service that cannot be deployed.
pub async fn read_services(
    ecs: &Ecs,
    policy: &EnvironmentPolicy,
    services: &[ServiceName],
) -> Result<Vec<Snapshot>, SnapshotError> {
    let read = services.iter().map(|service| snapshot(ecs, service, policy));
    join_all(read).await.into_iter().collect()
}

/// Returns the reason why an image for these platforms cannot run in one of the services.
pub fn wrong_platform(services: &[Snapshot], platforms: &[String]) -> Option<String> {
    let why = |one: &Snapshot| Some(format!("{}: {}", one.service, one.wrong_platform(platforms)?));
    services.iter().find_map(why)
}
