//! Observes Stablepin's deployment, and proves that the running tasks use the digest. Only this
//! proof counts as success. A steady state, a deployment by another caller, or a rollback by ECS is
//! no success.

mod own_deployment;
mod proof;
mod standing;
mod target_groups;

use jiff::Timestamp;
use stablepin_aws::ecs::{Ecs, EcsError, ServiceState, Task};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::effect::{Observation, Outcome};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Direction, Progress, ServiceRollout, Started, Subject};
use stablepin_rules::task_definition::{container_roles, described_digest};

use self::own_deployment::own_deployment;
use self::proof::{Proof, WantedTasks};
use self::standing::DeploymentState;
use super::problem;
use crate::Clients;
use crate::clock::now;
use crate::errors::chain;
use crate::live::digests_of;
use crate::snapshot::{ServiceLocation, read_service};

pub(super) async fn follow(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    direction: Direction,
    service: &ServiceName,
) -> Outcome {
    let rollout = subject.operation.as_ref().and_then(|operation| operation.rollout_to(direction));
    let found = rollout.and_then(|rollout| {
        let one = rollout.services.iter().find(|one| one.service == *service)?;
        Some((rollout.destination.digest(), one, one.started.as_ref()?))
    });
    let (Some(ecs), Some((to, rollout, started))) = (&clients.ecs, found) else {
        return Outcome::Problem(format!("{service} has no deployment to follow"));
    };
    let followed = Followed { clients, ecs, subject, policy, to, rollout, started };
    match followed.look().await {
        Ok((seen, service_deployment)) => {
            Outcome::Followed { direction, service: service.clone(), seen, service_deployment }
        }
        Err(outcome) => outcome,
    }
}

/// A deployment of Stablepin, and the data that is needed to follow the deployment.
struct Followed<'a> {
    clients: &'a Clients,
    ecs: &'a Ecs,
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    to: Option<&'a ImageDigest>,
    rollout: &'a ServiceRollout,
    started: &'a Started,
}

impl Followed<'_> {
    /// Returns the observation, and the ARN of the service deployment if ECS has one.
    async fn look(&self) -> Result<(Observation, Option<String>), Outcome> {
        let (ecs, service) = (self.ecs, &self.rollout.service);
        let stopped = async {
            match self.baking() {
                Some(_) => ecs.stopped(service.cluster(), service.service()).await,
                None => Ok(Vec::new()),
            }
        };
        let (state, tasks, stopped, ours) = tokio::join!(
            read_service(ecs, service),
            ecs.running(service.cluster(), service.service()),
            stopped,
            own_deployment(ecs, service, self.started),
        );
        let ours = ours.map_err(|error| problem(&error))?;
        let arn = ours.as_ref().map(|ours| ours.deployment.arn.clone());
        let state = match state {
            Ok(Some(state)) => state,
            Ok(None) => {
                let reason = "the service no longer exists".to_owned();
                return Ok((Observation::Failed { reason }, arn));
            }
            Err(error) => return Err(problem(&error)),
        };
        let seen =
            match standing::read_state(now(), &state, self.started, &self.rollout.before, ours.as_ref()) {
                DeploymentState::Finished => self.prove(&state, tasks, stopped).await?,
                DeploymentState::Going { seen, paused } => Observation::Going { seen, paused },
                DeploymentState::Failed(reason) => Observation::Failed { reason },
                DeploymentState::Returning(reason) => Observation::Returning { reason },
                DeploymentState::Returned(reason) => {
                    let digest = described(ecs, &state, self.policy).await?;
                    Observation::Returned { reason, digest }
                }
                DeploymentState::Superseded(reason) => {
                    let late = self.subject.rollback().and_then(|rollback| rollback.preempted.as_ref());
                    if late.is_some() && late == described(ecs, &state, self.policy).await?.as_ref() {
                        Observation::Overtaken
                    } else {
                        Observation::Superseded { reason }
                    }
                }
            };
        Ok((seen, arn))
    }

    /// Returns the time of the first proof, or `None` before the first proof.
    fn baking(&self) -> Option<Timestamp> {
        let Progress::Proven { at, .. } = self.rollout.progress else { return None };
        Some(at)
    }

    async fn prove(
        &self,
        state: &ServiceState,
        tasks: Result<Vec<Task>, EcsError>,
        stopped: Result<Vec<Task>, EcsError>,
    ) -> Result<Observation, Outcome> {
        if state.desired == 0 {
            return Ok(Observation::Unproven);
        }
        let Some(location) = ServiceLocation::of(&state.arn) else {
            return Ok(Observation::Failed { reason: format!("{} is not the ARN of a service", state.arn) });
        };
        let tasks = tasks.map_err(|error| problem(&error))?;
        let stopped = stopped.map_err(|error| problem(&error))?;
        let own = location.own(self.policy);
        let accepted = match self.to.or(self.rollout.before.described.as_ref()) {
            Some(digest) => {
                let all = digests_of(&self.clients.ecr, &self.policy.repository, digest).await;
                Some(all.map_err(|error| problem(&error))?)
            }
            // The task definition from before the rollout names its image by a tag, so no digest is
            // known. Only the task definition of the tasks can be checked.
            None => None,
        };
        let (started, proven_at) = (self.started, self.baking());
        let definition = self.ecs.task_definition(&started.task_definition).await;
        let definition = definition.map_err(|error| problem(&error))?;
        let wanted = WantedTasks {
            started,
            desired: state.desired,
            accepted,
            proven_at,
            roles: &container_roles(&definition.described),
            classic_load_balancer: state.classic_load_balancer,
        };
        let proof = proof::prove(&wanted, &tasks, &stopped, |container| container.is_one_of(&own));
        let proof = match (proof, &self.clients.verify) {
            (Proof::Running(count), Some(verify)) => {
                target_groups::prove(&verify.elb, &state.registrations, &tasks, count).await?
            }
            (proof, _) => proof,
        };
        Ok(match proof {
            Proof::Running(tasks) => Observation::Proven { tasks },
            Proof::Open(seen) => Observation::Going { seen, paused: false },
            Proof::Wrong(reason) => Observation::Failed { reason },
        })
    }
}

/// Returns the digest in the service's current task definition.
async fn described(
    ecs: &Ecs,
    state: &ServiceState,
    policy: &EnvironmentPolicy,
) -> Result<Option<ImageDigest>, Outcome> {
    let (Some(arn), Some(location)) = (&state.task_definition, ServiceLocation::of(&state.arn)) else {
        return Ok(None);
    };
    let definition = ecs.task_definition(arn).await.map_err(|error| problem(&error))?;
    match described_digest(&definition.described, &location.own(policy)) {
        Ok(digest) => Ok(digest),
        Err(error) => {
            tracing::warn!("the task definition {arn} has no image of the repository: {}", chain(&error));
            Ok(None)
        }
    }
}
