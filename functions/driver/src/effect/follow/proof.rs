//! What runs, task by task: the digest, the containers' health, the target groups' view.

use std::collections::BTreeSet;

use jiff::Timestamp;
use stablepin_aws::ecs::{Container, Health, ServiceState, Task};
use stablepin_aws::elb::{Elb, TargetState};
use stablepin_core::effect::Outcome;
use stablepin_core::image::ImageDigest;
use stablepin_core::records::Started;

use crate::effect::problem;

pub(super) struct Wanted<'a> {
    pub(super) started: &'a Started,
    pub(super) desired: u32,
    /// Digests that a container may report; none: whatever its task definition names.
    pub(super) accepted: Option<BTreeSet<ImageDigest>>,
    /// It was proven then, and must have stayed so.
    pub(super) proven_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// So many tasks of our task definition, all carrying the digest, all healthy.
    Running(u32),
    Open(String),
    Wrong(String),
}

pub(super) fn prove(
    wanted: &Wanted<'_>,
    tasks: &[Task],
    stopped: &[Task],
    of_ours: impl Fn(&str) -> bool,
) -> Proof {
    if let Some(reason) = exited(wanted, stopped) {
        return Proof::Wrong(reason);
    }
    let mut proven = 0;
    // What ECS has told to stop may drain for hours: it is on its way out.
    let staying = |task: &&Task| task.last_status == "RUNNING" && task.desired_status == "RUNNING";
    for task in tasks.iter().filter(staying) {
        if task.task_definition != wanted.started.task_definition {
            return Proof::Open(format!("{} still runs {}", task.arn, task.task_definition));
        }
        let ours = |container: &&Container| container.image.as_deref().is_some_and(&of_ours);
        if !task.containers.iter().any(|container| ours(&container)) {
            return Proof::Open(format!("ECS shows no container of {} that runs the repository", task.arn));
        }
        for container in task.containers.iter().filter(ours) {
            match (&container.digest, &wanted.accepted) {
                (_, None) => {}
                (Some(digest), Some(accepted)) if accepted.contains(digest) => {}
                (Some(digest), Some(_)) => {
                    let (name, task) = (&container.name, &task.arn);
                    return Proof::Wrong(format!("container {name} of {task} runs {digest}"));
                }
                (None, Some(_)) => {
                    return Proof::Open(format!("ECS does not say yet which digest {} runs", task.arn));
                }
            }
        }
        match task.health {
            Health::Healthy => {}
            Health::Unknown if !wanted.started.health_checked => {}
            Health::Unknown => return Proof::Open(format!("the health of {} is not known yet", task.arn)),
            Health::Unhealthy if wanted.proven_at.is_some() => {
                return Proof::Wrong(format!("{} became unhealthy", task.arn));
            }
            Health::Unhealthy => return Proof::Open(format!("{} is unhealthy", task.arn)),
        }
        proven += 1;
    }
    if proven < wanted.desired {
        return Proof::Open(format!("{proven} of {} tasks proven", wanted.desired));
    }
    Proof::Running(proven)
}

/// ECS starts another task and says nothing when one ends by itself: without a health check nobody else notices.
fn exited(wanted: &Wanted<'_>, stopped: &[Task]) -> Option<String> {
    let since = wanted.proven_at?;
    let ended = |task: &&Task| {
        task.task_definition == wanted.started.task_definition
            && task.stopped_at.is_some_and(|at| at > since)
            && matches!(task.stop_code.as_deref(), Some("EssentialContainerExited" | "TaskFailedToStart"))
    };
    let task = stopped.iter().find(ended)?;
    let why = task.stopped_reason.as_deref().unwrap_or("no reason given");
    let codes: Vec<_> = task
        .containers
        .iter()
        .filter_map(|container| Some(format!("{} exited with {}", container.name, container.exit_code?)))
        .collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    Some(format!("a task ended after it had been proven: {why}{codes}"))
}

/// Every task that a target group knows by its address is healthy there. In network modes without addresses of
/// their own, as many targets as tasks.
pub(super) async fn in_target_groups(
    elb: &Elb,
    state: &ServiceState,
    tasks: &[Task],
    proven: u32,
) -> Result<Proof, Outcome> {
    for group in &state.target_groups {
        let targets = elb.targets(group).await.map_err(|error| problem(&error))?;
        let addresses: Vec<&String> = tasks
            .iter()
            .filter(|task| task.last_status == "RUNNING" && task.desired_status == "RUNNING")
            .flat_map(|task| &task.addresses)
            .collect();
        let name = group.rsplit(':').next().unwrap_or(group);
        if addresses.is_empty() {
            let healthy = targets.iter().filter(|target| target.state == TargetState::Healthy).count();
            if healthy < proven as usize {
                return Ok(Proof::Open(format!("{healthy} of {proven} targets of {name} are healthy")));
            }
            continue;
        }
        for address in addresses {
            let target = targets.iter().find(|target| target.id == *address);
            match target {
                Some(target) if target.state == TargetState::Healthy => {}
                // A group that the deployment does not use now has none of its tasks.
                Some(target) => {
                    let why =
                        target.description.as_deref().or(target.reason.as_deref()).unwrap_or("no reason");
                    return Ok(Proof::Open(format!("{address} is not healthy in {name}: {why}")));
                }
                None if targets.iter().any(|target| target.state == TargetState::Healthy) => {
                    return Ok(Proof::Open(format!("{address} is not in {name} yet")));
                }
                None => {}
            }
        }
    }
    Ok(Proof::Running(proven))
}
