//! Checks that the services of an environment can run a digest, and reads which images the services
//! run now. Writes nothing.

use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::records::Subject;

use super::{problem, words};
use crate::Clients;
use crate::preflight::{ImageError, check_image, read_services, wrong_platform};

pub(super) async fn prepare(clients: &Clients, subject: &Subject, policy: &EnvironmentPolicy) -> Outcome {
    let (Some(ecs), Some(promotion)) = (&clients.ecs, subject.promotion()) else {
        return Outcome::Problem("this function deploys no services".to_owned());
    };
    let (image, services) = tokio::join!(
        check_image(&clients.ecr, &policy.repository, &promotion.digest),
        read_services(ecs, policy, &policy.services),
    );
    match image {
        Ok(()) => {}
        Err(ImageError::Ecr(error)) if !error.is_refusal() => return problem(&error),
        Err(error) => return Outcome::Unfit(words(&error)),
    }
    let services = match services {
        Ok(services) => services,
        Err(error) if error.is_retryable() => return problem(&error),
        Err(error) => return Outcome::Unfit(words(&error)),
    };
    if let Some(why) = wrong_platform(&services, &promotion.build.platforms) {
        return Outcome::Unfit(why);
    }
    // Only a rollback may replace a deployment in progress, so a promotion waits.
    if let Some(busy) = services.iter().find(|one| one.is_in_flight()) {
        let service = &busy.service;
        return Outcome::Problem(format!("a deployment of {service} is in progress: waiting until it ends"));
    }
    Outcome::Prepared(services.into_iter().map(|one| (one.service, one.live)).collect())
}
