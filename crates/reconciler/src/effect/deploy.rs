//! Starts the deployment of one ECS service. The new task definition is a copy of the current task
//! definition. Only the image of the containers that run the environment's repository changes.

use jiff::Timestamp;
use serde_json::Value;
use stablepin_aws::ecs::{
    Controller, Ecs, EcsError, RawTaskDefinition, ServiceDeploymentStatus, ServiceState, Started as Begun,
};
use stablepin_aws::failed_call::PassRoleDenial;
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::effect::{Observation, Outcome};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Destination, Direction, Live, ServiceRollout, Started, Subject, Work};
use stablepin_rules::task_definition::{self, Clone};

use super::{SHOWN_WITHIN, problem, words};
use crate::Clients;
use crate::clock::now;
use crate::snapshot::{ServiceLocation, Snapshot, read_service};

/// Deploys one service, forward or as a revert. `known` is the service, if it was just read and
/// nothing was written since.
pub(super) async fn deploy(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    direction: Direction,
    service: &ServiceName,
    known: Option<&Snapshot>,
) -> Outcome {
    let rollout = subject.operation.as_ref().and_then(|operation| operation.rollout_to(direction));
    let found = rollout
        .and_then(|rollout| Some((rollout, rollout.services.iter().find(|one| one.service == *service)?)));
    let (Some(ecs), Some((whole, rollout))) = (&clients.ecs, found) else {
        return Outcome::Problem("this function deploys no services".to_owned());
    };
    let attempt = DeploymentAttempt {
        ecs,
        subject,
        policy,
        direction,
        rollout,
        since: whole.deadline - policy.verify.timeout,
    };
    match attempt.deploy(&whole.destination, known).await {
        Ok(Some(seen)) => Outcome::Service(direction, service.clone(), seen),
        Ok(None) => Outcome::Problem(format!(
            "it is not certain yet that {service} was not changed: ECS may show a change late, so Stablepin \
             reads it again"
        )),
        Err(error) => failed_call(direction, service, &error),
    }
}

/// Converts a failed call to ECS to an outcome. A refusal by AWS ends the attempt. A call without a
/// response may have succeeded, so it does not count as a refusal.
fn failed_call(direction: Direction, service: &ServiceName, error: &EcsError) -> Outcome {
    let seen = match error.refusal() {
        Some(refusal) => {
            let words = words(error);
            let reason = match refusal.pass_role_denial() {
                Some(PassRoleDenial::NotAllowed) => {
                    format!("its role is not in the stack's parameter PassRoleArns: {words}")
                }
                Some(PassRoleDenial::Policy(policy)) => format!("{policy} denies passing its role: {words}"),
                Some(PassRoleDenial::Unexplained) => {
                    format!("its role may be missing in the stack's parameter PassRoleArns: {words}")
                }
                None => words,
            };
            Observation::Refused { reason }
        }
        None if error.may_have_moved() => Observation::Unheard { problem: words(error) },
        None => return problem(error),
    };
    Outcome::Service(direction, service.clone(), seen)
}

/// An attempt to start the deployment of one service in one direction.
struct DeploymentAttempt<'a> {
    ecs: &'a Ecs,
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    direction: Direction,
    rollout: &'a ServiceRollout,
    /// The time when Stablepin decided to deploy in this direction.
    since: Timestamp,
}

/// An existing deployment of the target task definition. No record says that Stablepin started this
/// deployment.
enum DeploymentInPlace {
    /// A deployment that Stablepin follows as its own. The text is the ARN of the service
    /// deployment, if ECS reports the ARN.
    Going(Option<String>),
    /// An ECS rollback that failed, or that is slower than Stablepin allows. An ordinary request
    /// for the same task definition would start no deployment.
    Stuck,
}

fn failed(reason: String) -> Observation {
    Observation::Failed { reason }
}

impl DeploymentAttempt<'_> {
    /// Starts the deployment. Returns `None` while the responses of ECS may still be out of date.
    async fn deploy(
        &self,
        destination: &Destination,
        known: Option<&Snapshot>,
    ) -> Result<Option<Observation>, EcsError> {
        let (state, definition) = match known {
            Some(snapshot) => (snapshot.state.clone(), snapshot.definition.clone()),
            None => match self.read().await? {
                Ok(found) => found,
                Err(seen) => return Ok(Some(seen)),
            },
        };
        let Some(location) = ServiceLocation::of(&state.arn) else {
            return Ok(Some(failed(format!("{} is not the ARN of a service", state.arn))));
        };
        if self.rollout.if_moved
            && let Some(seen) = self.not_moved(&location, &definition)
        {
            return Ok((now() >= self.since + SHOWN_WITHIN).then_some(seen));
        }
        let seen = match destination {
            Destination::Digest { digest } => self.to_digest(&state, &definition, &location, digest).await?,
            Destination::Before => self.to_before(&state).await?,
        };
        Ok(Some(seen))
    }

    async fn read(&self) -> Result<Result<(ServiceState, RawTaskDefinition), Observation>, EcsError> {
        let Some(state) = read_service(self.ecs, &self.rollout.service).await? else {
            return Ok(Err(failed("the service no longer exists".to_owned())));
        };
        let arn = state.task_definition.clone().filter(|_| state.controller == Controller::Ecs);
        let Some(arn) = arn else {
            return Ok(Err(failed("ECS no longer controls its deployments".to_owned())));
        };
        let definition = self.ecs.task_definition(&arn).await?;
        Ok(Ok((state, definition)))
    }

    /// Checks whether a call without a response has deployed the promotion's digest after all. If
    /// the service does not have this digest, returns the observation that the service was not
    /// changed.
    fn not_moved(&self, location: &ServiceLocation, definition: &RawTaskDefinition) -> Option<Observation> {
        let promoted = match &self.subject.operation.as_ref()?.work {
            Work::Promotion(promotion) => &promotion.digest,
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => return None,
        };
        let described = task_definition::described_digest(&definition.described, &location.own(self.policy));
        let described = described.ok().flatten();
        (described.as_ref() != Some(promoted)).then(|| Observation::Returned {
            reason: "it was not moved".to_owned(),
            digest: described.clone(),
        })
    }

    async fn to_digest(
        &self,
        state: &ServiceState,
        definition: &RawTaskDefinition,
        location: &ServiceLocation,
        digest: &ImageDigest,
    ) -> Result<Observation, EcsError> {
        let clone = task_definition::at_digest(
            &definition.described,
            &definition.tags,
            &location.own(self.policy),
            digest,
        );
        let clone = match clone {
            Ok(clone) => clone,
            Err(error) => return Ok(failed(error.to_string())),
        };
        // An earlier attempt was interrupted after it had started this deployment, or the service
        // already had this image. In both cases, Stablepin follows the existing deployment as its
        // own.
        if let Some(primary) = state.primary()
            && clone.already
            && primary.task_definition == definition.arn
        {
            match self.deployment_in_place(state, &definition.arn).await? {
                DeploymentInPlace::Going(arn) => {
                    return Ok(started(&primary.id, arn, &definition.arn, &clone.request));
                }
                DeploymentInPlace::Stuck if definition.status == "ACTIVE" => {
                    return self.start_anew(state, &definition.arn, &clone.request).await;
                }
                DeploymentInPlace::Stuck => {}
            }
        }
        if let Some(seen) = self.is_taken(state) {
            return Ok(seen);
        }
        let revision = match self.find_same_revision(&clone, definition, location, digest).await? {
            Some(revision) => revision,
            None => {
                let registered = self.ecs.register(&clone.request).await?;
                let same = task_definition::same_but_image(
                    &definition.described,
                    &registered.described,
                    &clone.containers,
                );
                if let Err(paths) = same {
                    let reason = format!(
                        "ECS registered {} with other differences than the image, so it is not used: {}",
                        registered.arn,
                        paths.join(", ")
                    );
                    return Ok(Observation::Unused { reason, revision: registered.arn });
                }
                registered.arn
            }
        };
        self.start(state, &revision, &clone.request).await
    }

    /// Finds an existing revision with the same content: a revision of the rollback's target or of
    /// the pin, or the revision that ran before the operation. Reusing a revision saves a
    /// registration, which ECS throttles more than any other call.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html>
    async fn find_same_revision(
        &self,
        clone: &Clone,
        definition: &RawTaskDefinition,
        location: &ServiceLocation,
        digest: &ImageDigest,
    ) -> Result<Option<String>, EcsError> {
        let environment = &self.subject.environment;
        let of_pin = environment.pin.as_ref().filter(|pin| pin.digest == *digest);
        let of_target = self.subject.rollback().map(|rollback| &rollback.target.revisions);
        let before = &self.rollout.before;
        let candidate = of_target
            .and_then(|revisions| revisions.get(&self.rollout.service))
            .or_else(|| of_pin.and_then(|pin| pin.revisions.get(&self.rollout.service)))
            .or_else(|| (before.described.as_ref() == Some(digest)).then_some(&before.task_definition));
        let Some(arn) = candidate else { return Ok(None) };
        // ECS returns an error for a deleted revision. Such a revision cannot be deployed.
        let Ok(found) = self.ecs.task_definition(arn).await else { return Ok(None) };
        let own = location.own(self.policy);
        let has_digest = match self.direction {
            Direction::Forward => task_definition::at_digest(&found.described, &found.tags, &own, digest)
                .is_ok_and(|at| at.already),
            // The pin may be older than the environment's own repository, which then does not have
            // the pin's image.
            Direction::Revert => task_definition::described_digest(&found.described, &own)
                .is_ok_and(|described| described.as_ref() == Some(digest)),
        };
        let same = found.status == "ACTIVE"
            && has_digest
            && task_definition::same_but_image(&definition.described, &found.described, &clone.containers)
                .is_ok();
        Ok(same.then_some(found.arn))
    }

    /// Deploys the task definition that the service had before the operation. If that task
    /// definition was deregistered meanwhile, deploys a copy of it.
    async fn to_before(&self, state: &ServiceState) -> Result<Observation, EcsError> {
        let before = self.ecs.task_definition(&self.rollout.before.task_definition).await?;
        let in_place = state.primary().filter(|primary| primary.task_definition == before.arn);
        if let Some(primary) = in_place {
            match self.deployment_in_place(state, &before.arn).await? {
                DeploymentInPlace::Going(arn) => {
                    return Ok(started(&primary.id, arn, &before.arn, &before.described));
                }
                DeploymentInPlace::Stuck if before.status == "ACTIVE" => {
                    return self.start_anew(state, &before.arn, &before.described).await;
                }
                DeploymentInPlace::Stuck => {}
            }
        }
        // An earlier attempt deployed a copy and was then interrupted.
        if before.status != "ACTIVE"
            && let Some(primary) = state.primary()
            && let copy = self.ecs.task_definition(&primary.task_definition).await?
            && task_definition::same_but_image(&before.described, &copy.described, &[]).is_ok()
        {
            return Ok(started(&primary.id, None, &copy.arn, &copy.described));
        }
        if let Some(seen) = self.is_taken(state) {
            return Ok(seen);
        }
        if before.status == "ACTIVE" {
            return self.start(state, &before.arn, &before.described).await;
        }
        let request = match task_definition::copy(&before.described, &before.tags) {
            Ok(request) => Value::Object(request),
            Err(error) => return Ok(failed(error.to_string())),
        };
        let registered = self.ecs.register(&request).await?;
        self.start(state, &registered.arn, &request).await
    }

    /// Returns a failure if another caller has deployed the service: in a forward rollout, since
    /// Stablepin read the service, and in a revert, since Stablepin's own deployment. A promotion
    /// must not replace that caller's deployment. A rollback replaces any deployment.
    fn is_taken(&self, state: &ServiceState) -> Option<Observation> {
        let operation = self.subject.operation.as_ref()?;
        let Work::Promotion(_) = &operation.work else { return None };
        let taken = match self.direction {
            Direction::Forward => {
                let before = &self.rollout.before.deployment;
                !before.is_empty() && state.primary().is_some_and(|primary| primary.id != *before)
            }
            Direction::Revert => {
                let mut forward = operation.rollout_to(Direction::Forward)?.services.iter();
                let ours = forward.find(|one| one.service == self.rollout.service)?.started.as_ref()?;
                is_anothers(state, ours, &self.rollout.before)
            }
        };
        let other = state.primary().filter(|_| taken)?;
        let (id, definition) = (&other.id, &other.task_definition);
        Some(failed(format!(
            "somebody else started a deployment meanwhile, {id} of {definition}: ours was not started"
        )))
    }

    /// Returns the state of the current deployment, which already has this task definition.
    async fn deployment_in_place(
        &self,
        state: &ServiceState,
        definition: &str,
    ) -> Result<DeploymentInPlace, EcsError> {
        let Some(arn) = &state.service_deployment else { return Ok(DeploymentInPlace::Going(None)) };
        let Some(current) = self.ecs.service_deployment(arn).await? else {
            return Ok(DeploymentInPlace::Going(None));
        };
        let (back, stuck) = match current.status {
            ServiceDeploymentStatus::RollbackFailed => (true, true),
            // The revert starts only after the time limit for an ECS rollback. An ECS rollback that
            // is still in progress after this limit is stuck.
            ServiceDeploymentStatus::RollbackRequested | ServiceDeploymentStatus::RollbackInProgress => {
                (true, self.direction == Direction::Revert)
            }
            ServiceDeploymentStatus::RollbackSuccessful => (true, false),
            ServiceDeploymentStatus::Pending
            | ServiceDeploymentStatus::InProgress
            | ServiceDeploymentStatus::Successful
            | ServiceDeploymentStatus::StopRequested
            | ServiceDeploymentStatus::Stopped
            | ServiceDeploymentStatus::Unknown(_) => (false, false),
        };
        let brings = match current.rollback.filter(|_| back) {
            Some(rollback) => rollback.service_revision,
            None => current.target_revision,
        };
        let brings = match brings {
            Some(revision) => self.ecs.service_revision(&revision).await?,
            None => None,
        };
        // ECS may still name the previous service deployment. In this case, the ARN of the current
        // service deployment is not known yet.
        if brings.is_none_or(|revision| revision.task_definition != definition) {
            return Ok(DeploymentInPlace::Going(None));
        }
        Ok(if stuck { DeploymentInPlace::Stuck } else { DeploymentInPlace::Going(Some(arn.clone())) })
    }

    async fn start(
        &self,
        state: &ServiceState,
        revision: &str,
        definition: &Value,
    ) -> Result<Observation, EcsError> {
        let service = &self.rollout.service;
        let begun = self.ecs.start(service.cluster(), service.service(), revision).await?;
        Ok(Self::begun(state, begun, revision, definition))
    }

    async fn start_anew(
        &self,
        state: &ServiceState,
        revision: &str,
        definition: &Value,
    ) -> Result<Observation, EcsError> {
        let service = &self.rollout.service;
        let begun = self.ecs.start_anew(service.cluster(), service.service(), revision).await?;
        Ok(Self::begun(state, begun, revision, definition))
    }

    fn begun(state: &ServiceState, begun: Begun, revision: &str, definition: &Value) -> Observation {
        // The response may still name the previous service deployment. This ARN is then omitted.
        let arn = begun.service_deployment.filter(|arn| state.service_deployment.as_ref() != Some(arn));
        started(&begun.deployment.id, arn, revision, definition)
    }
}

/// Returns whether another caller has deployed the service. Stablepin's own deployment does not
/// count, even if it failed. The ECS rollback after such a failure does not count, either.
fn is_anothers(state: &ServiceState, ours: &Started, before: &Live) -> bool {
    match (&state.service_deployment, &ours.service_deployment) {
        // A rollback by ECS keeps the ARN of the service deployment.
        (Some(now), Some(ours)) => now != ours,
        // An ECS without service deployments rolls back with a new deployment of the previous task
        // definition.
        (_, None) | (None, _) => state
            .primary()
            .is_some_and(|one| one.id != ours.deployment && one.task_definition != before.task_definition),
    }
}

fn started(
    deployment: &str,
    service_deployment: Option<String>,
    task_definition: &str,
    definition: &Value,
) -> Observation {
    Observation::Deployed(Started {
        deployment: deployment.to_owned(),
        service_deployment,
        task_definition: task_definition.to_owned(),
        health_checked: task_definition::is_health_checked(definition),
        at: now(),
    })
}

#[cfg(test)]
mod tests;
