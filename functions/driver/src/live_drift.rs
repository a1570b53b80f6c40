//! Looks whether services run the pin, where no rollout is on its way.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::dynamodb::{OperationKey, TableError, uuid_v7};
use stablepin_aws::ecs::{Controller, Ecs, EcsError, ServiceState};
use stablepin_core::application::{Environment as Policy, ServiceName};
use stablepin_core::live_drift::Deviation;
use stablepin_core::records::{Operation, OperationId, Pin, PromotionState, Subject, Way, Work};
use stablepin_core::step::{LiveSeen, Observed, is_known};
use stablepin_core::task_definition::described_digest;

use crate::clock::now;
use crate::live::live;
use crate::snapshot::Home;
use crate::{Deadline, Doors, DriveError, Start, drive};

#[derive(Debug, thiserror::Error)]
pub enum LiveDriftError {
    #[error("what runs could not be read")]
    Ecs(#[from] EcsError),
    #[error("the environment could not be read")]
    Table(#[from] TableError),
    #[error("what runs could not be recorded")]
    Drive(#[from] DriveError),
}

/// How often ECS is asked again, where the environment's record changed meanwhile.
const MOST_LOOKS: usize = 3;

/// Looks at the one service, or at all of the environment. Answers whether something differs.
///
/// A service that runs the revision that its pin was proven with costs a tenth of a call.
pub async fn look(
    doors: &Doors,
    mut subject: Subject,
    only: Option<&ServiceName>,
    deadline: Deadline,
) -> Result<bool, LiveDriftError> {
    for _ in 0..MOST_LOOKS {
        let seen = match (&doors.ecs, subject.policy(), &subject.environment.pin, &subject.environment.slot) {
            (Some(ecs), Some(policy), Some(pin), None) => {
                let services = match policy.is_deployed() {
                    true => services(doors, ecs, &subject, policy, pin, only).await?,
                    false => BTreeMap::new(),
                };
                let environment_version = subject.environment.version;
                LiveSeen { id: OperationId::new(uuid_v7(now())), environment_version, services }
            }
            _ => return Ok(false),
        };
        let differs = seen.services.values().any(Option::is_some);
        if is_known(&subject.environment, subject.policy(), &seen) {
            return Ok(differs);
        }
        let observed = vec![Observed::LiveSeen(seen.clone())];
        subject = drive(doors, Start::Subject(Box::new(subject)), observed, deadline).await?;
        if is_known(&subject.environment, subject.policy(), &seen) {
            return Ok(differs);
        }
        // It changed while ECS was asked: what was seen says nothing of it.
        subject.operation = None;
    }
    Ok(false)
}

async fn services(
    doors: &Doors,
    ecs: &Ecs,
    subject: &Subject,
    policy: &Policy,
    pin: &Pin,
    only: Option<&ServiceName>,
) -> Result<BTreeMap<ServiceName, Option<Deviation>>, LiveDriftError> {
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
            seen.insert(service.clone(), deviation(ecs, policy, pin, service, state).await?);
        }
    }
    if seen.values().any(Option::is_some) {
        let ours = ours(doors, subject).await?;
        for deviation in seen.values_mut() {
            deviation.take_if(|one| one.task_definition.as_ref().is_some_and(|arn| ours.contains(arn)));
        }
    }
    Ok(seen)
}

/// None: the service runs the pin, or nothing is known against that.
async fn deviation(
    ecs: &Ecs,
    policy: &Policy,
    pin: &Pin,
    service: &ServiceName,
    state: Option<&ServiceState>,
) -> Result<Option<Deviation>, EcsError> {
    let Some(state) = state.filter(|state| state.is_active()) else {
        return Ok(Some(Deviation { task_definition: None, digest: None, registered_by: None }));
    };
    // What another controller deploys is not driven from here.
    let (Controller::Ecs, Some(arn), Some(home)) =
        (state.controller, &state.task_definition, Home::of(&state.arn))
    else {
        return Ok(None);
    };
    if pin.revisions.get(service) == Some(arn) {
        return Ok(None);
    }
    let definition = ecs.task_definition(arn).await?;
    let described = described_digest(&definition.described, &home.own(policy));
    let digest = match described.ok().flatten() {
        Some(digest) => Some(digest),
        // Named by a tag, or not at all: what the tasks run decides.
        None => {
            let tasks = live(ecs, service, policy).await?;
            let differs = tasks.keys().flatten().find(|digest| **digest != pin.digest);
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

/// Revisions that the promotion or rollback that holds the environment left there itself. People were told how it ended.
async fn ours(doors: &Doors, subject: &Subject) -> Result<BTreeSet<String>, TableError> {
    let Some(hold) = &subject.environment.hold else { return Ok(BTreeSet::new()) };
    let application = subject.application();
    let mut ours = BTreeSet::new();
    for key in [OperationKey::Promotion(hold.by), OperationKey::Rollback(hold.by)] {
        let found = doors.table.operation(application, key).await?;
        ours.extend(found.iter().flat_map(|(_, operation)| started(operation)));
    }
    Ok(ours)
}

fn started(operation: &Operation) -> impl Iterator<Item = String> + '_ {
    let stays = match &operation.work {
        // Its services are back.
        Work::Promotion(promotion) => promotion.state == PromotionState::Failed,
        Work::Rollback(_) => true,
        Work::Repair(_) | Work::LiveDrift(_) => false,
    };
    let rollouts = [Way::There, Way::Back].into_iter().filter_map(|way| operation.way(way));
    let services = rollouts.filter(move |_| stays).flat_map(|rollout| &rollout.services);
    services.filter_map(|one| one.started.as_ref().map(|started| started.task_definition.clone()))
}
