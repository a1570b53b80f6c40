//! Reads what a service runs now and whether it can be deployed, before any write.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::ecs::{Controller, Ecs, EcsError, RawTaskDefinition, RolloutState, ServiceState};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::Live;
use stablepin_rules::task_definition::{self, OwnContainers, TaskDefinitionError};

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("there is no service {0}: correct the environment's services")]
    Missing(ServiceName),
    #[error("{service} is {status}: only an ACTIVE service takes a deployment")]
    NotActive { service: ServiceName, status: String },
    #[error(
        "{0} is deployed by CodeDeploy or an external controller, which Stablepin does not deploy: use that"
    )]
    Controller(ServiceName),
    #[error("{service}")]
    NotOurs { service: ServiceName, source: TaskDefinitionError },
    #[error(
        "{service} cannot replace a task: of {desired} wanted, its deployment configuration keeps at least \
         {least} and allows at most {most}: change minimumHealthyPercent or maximumPercent"
    )]
    Stuck { service: ServiceName, desired: u32, least: u32, most: u32 },
    #[error("the state of {service} could not be read from ECS")]
    Ecs { service: ServiceName, source: EcsError },
}

impl SnapshotError {
    /// Returns whether a later read may succeed without a person's action.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ecs { source, .. } => source.refusal().is_none(),
            Self::Missing(_)
            | Self::NotActive { .. }
            | Self::Controller(_)
            | Self::NotOurs { .. }
            | Self::Stuck { .. } => false,
        }
    }
}

/// A service that can be deployed, as ECS described it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub service: ServiceName,
    pub live: Live,
    pub state: ServiceState,
    pub definition: RawTaskDefinition,
}

/// The account and the region of a service, from its ARN.
pub(crate) struct ServiceLocation {
    account: String,
    region: String,
}

impl ServiceLocation {
    pub(crate) fn of(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (region, account) = (parts.nth(3)?, parts.next()?);
        Some(Self { account: account.to_owned(), region: region.to_owned() })
    }

    /// Returns the service's containers that run the environment's application.
    pub(crate) fn own<'a>(&'a self, policy: &'a EnvironmentPolicy) -> OwnContainers<'a> {
        let (account, region) = (self.account.as_str(), self.region.as_str());
        let (repository, source) = (&policy.repository, &policy.source);
        OwnContainers { account, region, repository, source, named: &policy.containers }
    }
}

pub(crate) async fn read_service(ecs: &Ecs, service: &ServiceName) -> Result<Option<ServiceState>, EcsError> {
    let services = ecs.services(service.cluster(), &[service.service().to_owned()]).await?;
    Ok(services.found.into_iter().next())
}

/// Checks one service before its rollout. Writes nothing.
pub(crate) async fn snapshot(
    ecs: &Ecs,
    service: &ServiceName,
    policy: &EnvironmentPolicy,
) -> Result<Snapshot, SnapshotError> {
    let failed = |source| SnapshotError::Ecs { service: service.clone(), source };
    let described = async {
        let state = read_service(ecs, service).await?;
        let arn = state.as_ref().and_then(|state| state.task_definition.clone());
        let definition = match arn {
            Some(arn) => Some(ecs.task_definition(&arn).await?),
            None => None,
        };
        Ok((state, definition))
    };
    let (described, tasks) = tokio::join!(described, ecs.running(service.cluster(), service.service()));
    let (state, definition) = described.map_err(failed)?;
    let state = state.ok_or_else(|| SnapshotError::Missing(service.clone()))?;
    if !state.is_active() {
        return Err(SnapshotError::NotActive { service: service.clone(), status: state.status });
    }
    if state.controller != Controller::Ecs {
        return Err(SnapshotError::Controller(service.clone()));
    }
    // A service without a task definition has task sets, which another controller deploys.
    let Some(definition) = definition else {
        return Err(SnapshotError::Controller(service.clone()));
    };
    if let Some((least, most)) = stuck(&state) {
        return Err(SnapshotError::Stuck { service: service.clone(), desired: state.desired, least, most });
    }
    let missing = || SnapshotError::Missing(service.clone());
    let location = ServiceLocation::of(&state.arn).ok_or_else(missing)?;
    let own = location.own(policy);
    let not_ours = |source| SnapshotError::NotOurs { service: service.clone(), source };
    let described = task_definition::described_digest(&definition.described, &own).map_err(not_ours)?;
    let mut digests = BTreeSet::new();
    let mut of_definition: BTreeMap<String, BTreeSet<ImageDigest>> = BTreeMap::new();
    for task in tasks.map_err(failed)? {
        for container in task.containers.iter().filter(|container| container.is_one_of(&own)) {
            let Some(digest) = container.running_digest() else { continue };
            if task.task_definition == definition.arn {
                of_definition.entry(container.name.clone()).or_default().insert(digest.clone());
            }
            digests.insert(digest);
        }
    }
    own.agree(&definition.described, &of_definition).map_err(not_ours)?;
    let deployment = state.primary().map(|one| one.id.clone()).unwrap_or_default();
    let live = Live { task_definition: definition.arn.clone(), deployment, digests, described };
    Ok(Snapshot { service: service.clone(), live, state, definition })
}

impl Snapshot {
    /// Returns the reason why an image for these platforms cannot run in this service, or `None` if
    /// no reason is known.
    pub(crate) fn wrong_platform(&self, platforms: &[String]) -> Option<String> {
        task_definition::wrong_platform(&self.definition.described, self.state.on_fargate, platforms)
    }

    /// Returns whether a deployment by any caller is in progress.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.state.primary().is_some_and(|primary| {
            matches!(primary.rollout_state, Some(RolloutState::InProgress | RolloutState::Unknown))
        })
    }
}

/// Returns the fewest and the most tasks that ECS allows, if these limits leave no room to replace
/// a task. ECS rounds the lower limit up and the upper limit down.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
fn stuck(state: &ServiceState) -> Option<(u32, u32)> {
    let desired = u64::from(state.desired);
    let percent = |percent: Option<u32>| percent.map(u64::from);
    let least = (desired * percent(state.minimum_healthy_percent)?).div_ceil(100);
    let most = desired * percent(state.maximum_percent)? / 100;
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let no_room = desired > 0 && !state.daemon && least >= desired && most <= desired;
    no_room.then(|| (count(least), count(most)))
}
