//! Checks that services run the pin, while no rollout is in progress.

use std::collections::BTreeMap;

use stablepin_aws::dynamodb::{TableError, uuid_v7};
use stablepin_aws::ecr::EcrError;
use stablepin_aws::ecs::{Controller, Ecs, EcsError, ServiceState};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::live_drift::Deviation;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Pin, Subject};
use stablepin_rules::task_definition::described_digest;
use stablepin_rules::transition::{Input, LiveSeen, ObservedService, is_known};

use crate::clock::now;
use crate::live::{digests_of, live};
use crate::snapshot::ServiceLocation;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

#[derive(Debug, thiserror::Error)]
pub enum LiveDriftError {
    #[error("the running images could not be read")]
    Ecs(#[from] EcsError),
    #[error("the pin's image could not be read")]
    Ecr(#[from] EcrError),
    #[error("the environment could not be read")]
    Table(#[from] TableError),
    #[error("the live drift could not be recorded")]
    Reconcile(#[from] ReconcileError),
}

/// The most times that one check reads ECS, if other writers keep changing the environment's
/// record.
const MOST_LOOKS: usize = 3;

/// Checks one service or all services of the environment. Returns whether a checked service differs
/// from the pin.
///
/// ECS describes up to ten services per call. A service that still has the task definition with
/// which the pin was proven needs no further call.
pub async fn look(
    clients: &Clients,
    mut subject: Subject,
    only: Option<&ServiceName>,
    deadline: Deadline,
) -> Result<bool, LiveDriftError> {
    for _ in 0..MOST_LOOKS {
        let seen = match (&clients.ecs, subject.policy(), &subject.environment.pin, &subject.environment.slot)
        {
            (Some(ecs), Some(policy), Some(pin), None) => {
                let services = match policy.is_deployed() {
                    true => services(clients, ecs, policy, pin, only).await?,
                    false => BTreeMap::new(),
                };
                LiveSeen::new(OperationId::new(uuid_v7(now())), &subject.environment, services)
            }
            _ => return Ok(false),
        };
        let differs = seen.services.values().any(Option::is_some);
        if is_known(&subject.environment, subject.policy(), &seen) {
            return Ok(differs);
        }
        let observed = vec![Input::LiveSeen(seen.clone())];
        subject = reconcile(clients, Source::Subject(Box::new(subject)), observed, deadline).await?;
        if is_known(&subject.environment, subject.policy(), &seen) {
            return Ok(differs);
        }
        // The environment's record changed during the read of ECS, so the observation may be out of
        // date. The loop reads ECS again.
        subject.operation = None;
    }
    Ok(false)
}

async fn services(
    clients: &Clients,
    ecs: &Ecs,
    policy: &EnvironmentPolicy,
    pin: &Pin,
    only: Option<&ServiceName>,
) -> Result<BTreeMap<ServiceName, ObservedService>, LiveDriftError> {
    let mut of_cluster: BTreeMap<&str, Vec<&ServiceName>> = BTreeMap::new();
    for service in policy.services.iter().filter(|service| only.is_none_or(|only| only == *service)) {
        of_cluster.entry(service.cluster()).or_default().push(service);
    }
    let mut seen = BTreeMap::new();
    for (cluster, services) in of_cluster {
        let names: Vec<String> = services.iter().map(|service| service.service().to_owned()).collect();
        let described = ecs.services(cluster, &names).await?;
        for service in services {
            let state = described.found.iter().find(|state| state.name == service.service());
            let deviation = deviation(clients, ecs, policy, pin, service, state).await?;
            // ECS still describes a deleted service, with its last task definition. Such a service
            // counts as a service without a task definition.
            let active = state.filter(|state| state.is_active());
            let task_definition = active.and_then(|state| state.task_definition.clone());
            seen.insert(service.clone(), ObservedService { task_definition, deviation });
        }
    }
    Ok(seen)
}

/// Returns the service's difference from the pin, or `None` if no difference is known.
async fn deviation(
    clients: &Clients,
    ecs: &Ecs,
    policy: &EnvironmentPolicy,
    pin: &Pin,
    service: &ServiceName,
    state: Option<&ServiceState>,
) -> Result<Option<Deviation>, LiveDriftError> {
    let Some(state) = state.filter(|state| state.is_active()) else {
        return Ok(Some(Deviation { task_definition: None, digest: None, registered_by: None }));
    };
    // Stablepin does not check services that another controller deploys.
    let (Controller::Ecs, Some(arn), Some(location)) =
        (state.controller, &state.task_definition, ServiceLocation::of(&state.arn))
    else {
        return Ok(None);
    };
    if pin.revisions.get(service) == Some(arn) {
        return Ok(None);
    }
    let definition = ecs.task_definition(arn).await?;
    let described = described_digest(&definition.described, &location.own(policy));
    let digest = match described.ok().flatten() {
        Some(digest) => Some(digest),
        // The task definition names no digest of the repository, so the digests of the running
        // tasks decide.
        None => {
            let tasks = live(ecs, service, policy).await?;
            // If the pin is an image index, a task may report the digest of the image for its
            // platform. Such a task runs the pin.
            let pinned = digests_of(&clients.ecr, &policy.repository, &pin.digest).await?;
            let differs = tasks.keys().flatten().find(|digest| !pinned.contains(*digest));
            let unknown = tasks.keys().any(Option::is_none);
            match (differs, tasks.is_empty()) {
                (Some(digest), _) => Some(digest.clone()),
                (None, true) if state.running > 0 => None,
                (None, false) if !unknown => Some(pin.digest.clone()),
                (None, _) => return Ok(None),
            }
        }
    };
    if digest.as_ref() == Some(&pin.digest) {
        return Ok(None);
    }
    let by = definition.described.get("registeredBy").and_then(|by| by.as_str()).map(str::to_owned);
    Ok(Some(Deviation { task_definition: Some(arn.clone()), digest, registered_by: by }))
}
