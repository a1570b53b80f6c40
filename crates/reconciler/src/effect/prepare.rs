//! Checks that an environment's services can run a digest, and reads what they run now.
//! This step writes nothing.

use futures_util::future::join_all;
use stablepin_aws::ecr::EcrError;
use stablepin_aws::ecs::Ecs;
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::records::Subject;

use super::{problem, words};
use crate::snapshot::{Snapshot, snapshot};
use crate::{Clients, runnable};

pub(super) async fn prepare(clients: &Clients, subject: &Subject, policy: &EnvironmentPolicy) -> Outcome {
    let (Some(ecs), Some(promotion)) = (&clients.ecs, subject.promotion()) else {
        return Outcome::Problem("this function drives no services".to_owned());
    };
    let read = |service| async move { snapshot(ecs as &Ecs, service, policy).await };
    let (image, services) = tokio::join!(
        image(clients, &policy.repository, &promotion.digest),
        join_all(policy.services.iter().map(read)),
    );
    match image {
        Ok(None) => {}
        Ok(Some(unfit)) => return Outcome::Unfit(unfit),
        Err(error) if error.is_refusal() => return Outcome::Unfit(words(&error)),
        Err(error) => return problem(&error),
    }
    let mut found: Vec<Snapshot> = Vec::new();
    for service in services {
        match service {
            Ok(snapshot) => found.push(snapshot),
            Err(error) if error.is_retryable() => return problem(&error),
            Err(error) => return Outcome::Unfit(words(&error)),
        }
    }
    for one in &found {
        if let Some(why) = one.wrong_platform(&promotion.build.platforms) {
            return Outcome::Unfit(format!("{}: {why}", one.service));
        }
    }
    // Only a rollback replaces a deployment in progress.
    if let Some(busy) = found.iter().find(|one| one.is_in_flight()) {
        let service = &busy.service;
        return Outcome::Problem(format!("a deployment of {service} is on its way: waiting for its end"));
    }
    Outcome::Prepared(found.into_iter().map(|one| (one.service, one.live)).collect())
}

/// Returns why the image cannot be pulled, if it cannot.
async fn image(
    clients: &Clients,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Option<String>, EcrError> {
    let status = clients.ecr.describe(repository, digest).await?.map(|detail| detail.status);
    Ok(runnable::why_not(&format!("{repository}@{digest}"), status.as_ref()))
}
