//! Looks how our deployment is doing, and proves the digest on the tasks that run. Nothing else counts as
//! success: not a steady state, not another deployment's.

use std::collections::BTreeSet;

use stablepin_aws::ecr::ImageId;
use stablepin_aws::ecs::{Container, DeploymentStatus, RolloutState, ServiceState, Task};
use stablepin_core::application::{Environment as Policy, ServiceName};
use stablepin_core::effect::Outcome;
use stablepin_core::image::{ImageDigest, ImageReference};
use stablepin_core::manifest::Manifest;
use stablepin_core::records::{Progress, Subject};

use super::problem;
use crate::Doors;
use crate::snapshot::{Home, one};

pub(super) async fn follow(
    doors: &Doors,
    subject: &Subject,
    policy: &Policy,
    service: &ServiceName,
) -> Outcome {
    let (Some(ecs), Some(rollback)) = (&doors.ecs, subject.rollback()) else {
        return Outcome::Problem("this function drives no services".to_owned());
    };
    let rollout = rollback.services.iter().find(|rollout| rollout.service == *service);
    let Some(Progress::Deployed { deployment, task_definition }) = rollout.map(|rollout| &rollout.progress)
    else {
        return Outcome::Problem(format!("{service} has no deployment to follow"));
    };
    let going = |seen: String| Outcome::Going { service: service.clone(), seen };
    let failed = |reason: String| Outcome::ServiceFailed { service: service.clone(), reason };

    let (state, tasks) = tokio::join!(one(ecs, service), ecs.running(service.cluster(), service.service()));
    let (state, tasks) = match (state, tasks) {
        (Ok(Some(state)), Ok(tasks)) => (state, tasks),
        (Ok(None), _) => return failed("the service is not there any more".to_owned()),
        (Err(error), _) | (_, Err(error)) => return problem(&error),
    };
    let ours = state.deployments.iter().find(|one| one.id == *deployment);
    let Some(ours) = ours.filter(|one| one.status == DeploymentStatus::Primary) else {
        return failed(replaced(&state, deployment));
    };
    match ours.rollout_state {
        Some(RolloutState::Completed) => {}
        Some(RolloutState::Failed) => {
            let reason = ours.rollout_reason.clone().unwrap_or_else(|| "ECS gave no reason".to_owned());
            return failed(format!("ECS ended the deployment: {reason}"));
        }
        // A state that is newer than we are is no end.
        Some(RolloutState::InProgress | RolloutState::Unknown) | None => {
            return going(format!("{} of {} tasks running", ours.running, ours.desired));
        }
    }
    if state.desired == 0 {
        return failed("the desired count is 0: nothing runs, so nothing is proven".to_owned());
    }
    let Some(home) = Home::of(&state.arn) else {
        return failed(format!("{} is not the ARN of a service", state.arn));
    };
    let accepted = match accepted(doors, policy, &rollback.target.digest).await {
        Ok(accepted) => accepted,
        Err(outcome) => return outcome,
    };
    let of_ours =
        |image: &str| ImageReference::parse(image).is_of(&home.account, &home.region, &policy.repository);
    match prove(&tasks, task_definition, &accepted, of_ours) {
        Proof::Wrong(reason) => failed(reason),
        Proof::Open(seen) => going(seen),
        Proof::Running(count) if count < state.desired => {
            going(format!("{count} of {} tasks proven", state.desired))
        }
        Proof::Running(count) => Outcome::Proven { service: service.clone(), tasks: count },
    }
}

fn replaced(state: &ServiceState, deployment: &str) -> String {
    match state.primary() {
        Some(other) => format!("deployment {} took the place of ours, {deployment}", other.id),
        None => format!("our deployment {deployment} is not there any more"),
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

enum Proof {
    /// Tasks of our task definition whose containers all carry the digest.
    Running(u32),
    Open(String),
    Wrong(String),
}

fn prove(
    tasks: &[Task],
    task_definition: &str,
    accepted: &BTreeSet<ImageDigest>,
    of_ours: impl Fn(&str) -> bool,
) -> Proof {
    let mut proven = 0;
    // What ECS has told to stop may drain for hours: it is on its way out.
    let staying = |task: &&Task| task.last_status == "RUNNING" && task.desired_status == "RUNNING";
    for task in tasks.iter().filter(staying) {
        if task.task_definition != task_definition {
            return Proof::Open(format!("{} still runs {}", task.arn, task.task_definition));
        }
        let ours = |container: &&Container| container.image.as_deref().is_some_and(&of_ours);
        for container in task.containers.iter().filter(ours) {
            match &container.digest {
                Some(digest) if accepted.contains(digest) => {}
                Some(digest) => {
                    return Proof::Wrong(format!(
                        "container {} of {} runs {digest}",
                        container.name, task.arn
                    ));
                }
                None => {
                    return Proof::Open(format!("ECS does not say yet which digest {} runs", task.arn));
                }
            }
        }
        proven += 1;
    }
    Proof::Running(proven)
}
