//! Looks how our deployment is doing, and proves the digest on the tasks that run. Nothing else counts as
//! success: not a steady state, not another deployment's, not one that ECS has rolled back.

mod proof;
mod standing;
mod target_groups;

use std::collections::BTreeSet;

use stablepin_aws::ecr::ImageId;
use stablepin_aws::ecs::{Ecs, ServiceDeployment, ServiceState};
use stablepin_core::application::{Environment as Policy, ServiceName};
use stablepin_core::effect::{Outcome, Seen};
use stablepin_core::image::{ImageDigest, ImageReference};
use stablepin_core::manifest::Manifest;
use stablepin_core::records::{Progress, ServiceRollout, Started, Subject, Way};
use stablepin_core::task_definition::described_digest;

use self::proof::{Proof, Wanted};
use self::standing::Standing;
use super::problem;
use crate::Doors;
use crate::errors::chain;
use crate::snapshot::{Home, one};

pub(super) async fn follow(
    doors: &Doors,
    subject: &Subject,
    policy: &Policy,
    way: Way,
    service: &ServiceName,
) -> Outcome {
    let rollout = subject.operation.as_ref().and_then(|operation| operation.way(way));
    let found = rollout.and_then(|rollout| {
        let one = rollout.services.iter().find(|one| one.service == *service)?;
        Some((rollout.destination.digest(), one, one.started.as_ref()?))
    });
    let (Some(ecs), Some((to, rollout, started))) = (&doors.ecs, found) else {
        return Outcome::Problem(format!("{service} has no deployment to follow"));
    };
    let looked = look(doors, ecs, subject, policy, to, rollout, started).await;
    match looked {
        Ok(seen) => Outcome::Service(way, service.clone(), seen),
        Err(outcome) => outcome,
    }
}

async fn look(
    doors: &Doors,
    ecs: &Ecs,
    subject: &Subject,
    policy: &Policy,
    to: Option<&ImageDigest>,
    rollout: &ServiceRollout,
    started: &Started,
) -> Result<Seen, Outcome> {
    let service = &rollout.service;
    let baking = match rollout.progress {
        Progress::Proven { at, .. } => Some(at),
        _ => None,
    };
    let stopped = async {
        match baking {
            Some(_) => ecs.stopped(service.cluster(), service.service()).await,
            None => Ok(Vec::new()),
        }
    };
    let (state, tasks, stopped, ours) = tokio::join!(
        one(ecs, service),
        ecs.running(service.cluster(), service.service()),
        stopped,
        own(ecs, service, started),
    );
    let state = match state {
        Ok(Some(state)) => state,
        Ok(None) => {
            return Ok(Seen::Failed { reason: "the service is not there any more".to_owned() });
        }
        Err(error) => return Err(problem(&error)),
    };
    let ours = ours.map_err(|error| problem(&error))?;
    match standing::of(&state, started, &rollout.before, ours.as_ref()) {
        Standing::Finished => {}
        Standing::Going { seen, paused } => return Ok(Seen::Going { seen, paused }),
        Standing::Failed(reason) => return Ok(Seen::Failed { reason }),
        Standing::Returning(reason) => return Ok(Seen::Returning { reason }),
        Standing::Returned(reason) => {
            let digest = described(ecs, &state, policy).await?;
            return Ok(Seen::Returned { reason, digest });
        }
        Standing::Superseded(reason) => {
            let late = subject.rollback().and_then(|rollback| rollback.preempted.as_ref());
            if late.is_some() && late == described(ecs, &state, policy).await?.as_ref() {
                return Ok(Seen::Overtaken);
            }
            return Ok(Seen::Superseded { reason });
        }
    }
    if state.desired == 0 {
        return Ok(Seen::Unproven);
    }
    let Some(home) = Home::of(&state.arn) else {
        return Ok(Seen::Failed { reason: format!("{} is not the ARN of a service", state.arn) });
    };
    let tasks = tasks.map_err(|error| problem(&error))?;
    let stopped = stopped.map_err(|error| problem(&error))?;
    let of_ours =
        |image: &str| ImageReference::parse(image).is_of(&home.account, &home.region, &policy.repository);
    let accepted = match to.or(rollout.before.described.as_ref()) {
        Some(digest) => Some(accepted(doors, policy, digest).await?),
        // It was named by a tag before: its own task definition is all that there is to prove.
        None => None,
    };
    let wanted = Wanted { started, desired: state.desired, accepted, proven_at: baking };
    let proof = proof::prove(&wanted, &tasks, &stopped, of_ours);
    let proof = match (proof, &doors.verify) {
        (Proof::Running(count), Some(verify)) => {
            target_groups::prove(&verify.elb, &state.registrations, &tasks, count).await?
        }
        (proof, _) => proof,
    };
    Ok(match proof {
        Proof::Running(tasks) => Seen::Proven { tasks },
        Proof::Open(seen) => Seen::Going { seen, paused: false },
        Proof::Wrong(reason) => Seen::Failed { reason },
    })
}

/// Our service deployment, where ECS tells of such.
async fn own(
    ecs: &Ecs,
    service: &ServiceName,
    started: &Started,
) -> Result<Option<ServiceDeployment>, stablepin_aws::ecs::EcsError> {
    if let Some(arn) = &started.service_deployment {
        return ecs.service_deployment(arn).await;
    }
    for listed in ecs.newest_service_deployments(service.cluster(), service.service()).await? {
        // Clocks differ; a minute is no deployment's time.
        let before = listed.created_at.is_some_and(|at| at < started.at - jiff::SignedDuration::from_mins(1));
        if before {
            break;
        }
        let Some(revision) = &listed.target_revision else { continue };
        let revision = ecs.service_revision(revision).await?;
        if revision.is_some_and(|revision| revision.task_definition == started.task_definition) {
            return ecs.service_deployment(&listed.arn).await;
        }
    }
    Ok(None)
}

/// The digest that the service's task definition names now.
async fn described(ecs: &Ecs, state: &ServiceState, policy: &Policy) -> Result<Option<ImageDigest>, Outcome> {
    let (Some(arn), Some(home)) = (&state.task_definition, Home::of(&state.arn)) else { return Ok(None) };
    let definition = ecs.task_definition(arn).await.map_err(|error| problem(&error))?;
    match described_digest(&definition.described, &home.account, &home.region, &policy.repository) {
        Ok(digest) => Ok(digest),
        Err(error) => {
            tracing::warn!("the task definition {arn} names no image of ours: {}", chain(&error));
            Ok(None)
        }
    }
}

/// The digest, and for an index its children: a task may report the one for its platform.
async fn accepted(
    doors: &Doors,
    policy: &Policy,
    digest: &ImageDigest,
) -> Result<BTreeSet<ImageDigest>, Outcome> {
    let found = doors.ecr.image(&policy.repository, &[ImageId::Digest(digest.clone())]).await;
    let mut accepted = BTreeSet::from([digest.clone()]);
    match found {
        Ok(found) => {
            for manifest in found {
                if let Ok(Manifest::Index(index)) = manifest.parse() {
                    accepted.extend(index.children.into_iter().map(|child| child.digest));
                }
            }
            Ok(accepted)
        }
        Err(error) => Err(problem(&error)),
    }
}
