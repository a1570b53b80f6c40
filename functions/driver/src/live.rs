//! What a service's tasks run now: looked at, and nothing else.

use std::collections::BTreeMap;

use stablepin_aws::ecs::{Ecs, EcsError};
use stablepin_core::application::ServiceName;
use stablepin_core::image::{ImageDigest, ImageReference, RepositoryName};

use crate::snapshot::Home;

/// How many running tasks carry which digest of the repository; those of which it is not known are under none. Two
/// calls.
pub async fn live(
    ecs: &Ecs,
    service: &ServiceName,
    repository: &RepositoryName,
) -> Result<BTreeMap<Option<ImageDigest>, usize>, EcsError> {
    let mut carried = BTreeMap::new();
    for task in ecs.running(service.cluster(), service.service()).await? {
        let Some(home) = Home::of(&task.arn).filter(|_| task.last_status == "RUNNING") else { continue };
        let digests = task.containers.into_iter().filter_map(|container| {
            let image = ImageReference::parse(container.image.as_deref()?);
            image.is_of(&home.account, &home.region, repository).then(|| container.running_digest())
        });
        for digest in digests {
            *carried.entry(digest).or_default() += 1;
        }
    }
    Ok(carried)
}
