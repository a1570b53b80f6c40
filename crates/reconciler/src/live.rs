//! Reads which digests the tasks of a service run now. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::ecr::{Ecr, EcrError, ImageId};
use stablepin_aws::ecs::{Ecs, EcsError};
use stablepin_oci::Manifest;
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use crate::contained;
use crate::snapshot::ServiceLocation;

/// Counts the running tasks by the digest of the application's containers. The key `None` counts
/// tasks with a container of unknown digest.
pub async fn live(
    ecs: &Ecs,
    service: &ServiceName,
    policy: &EnvironmentPolicy,
) -> Result<BTreeMap<Option<ImageDigest>, usize>, EcsError> {
    let mut carried = BTreeMap::new();
    for task in ecs.running(service.cluster(), service.service()).await? {
        let Some(location) = ServiceLocation::of(&task.arn).filter(|_| task.last_status == "RUNNING") else {
            continue;
        };
        let own = location.own(policy);
        let containers = task.containers.iter().filter(|container| container.is_one_of(&own));
        let digests: BTreeSet<_> = containers.map(|container| container.running_digest()).collect();
        for digest in digests {
            *carried.entry(digest).or_default() += 1;
        }
    }
    Ok(carried)
}

/// Returns the digest itself and, for an image index, the digests of all images in the image index
/// and its nested image indexes. A task may report the digest of the image for its platform.
pub(crate) async fn digests_of(
    ecr: &Ecr,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<BTreeSet<ImageDigest>, EcrError> {
    let mut digests = BTreeSet::from([digest.clone()]);
    for manifest in ecr.image(repository, &[ImageId::Digest(digest.clone())]).await? {
        if let Ok(Manifest::Index(index)) = manifest.parse() {
            digests.extend(contained::images(ecr, repository, index).await?);
        }
    }
    Ok(digests)
}
