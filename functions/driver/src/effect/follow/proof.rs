//! What runs, task by task: the digest, and the containers' health.

use std::collections::BTreeSet;

use jiff::Timestamp;
use stablepin_aws::ecs::{Container, Health, Task};
use stablepin_core::image::ImageDigest;
use stablepin_core::records::Started;

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
    for task in tasks.iter().filter(|task| stays(task)) {
        if task.task_definition != wanted.started.task_definition {
            return Proof::Open(format!("{} still runs {}", task.arn, task.task_definition));
        }
        let ours = |container: &&Container| container.image.as_deref().is_some_and(&of_ours);
        if !task.containers.iter().any(|container| ours(&container)) {
            return Proof::Open(format!("ECS shows no container of {} that runs the repository", task.arn));
        }
        for container in task.containers.iter().filter(ours) {
            match (container.running_digest(), &wanted.accepted) {
                (_, None) => {}
                (Some(digest), Some(accepted)) if accepted.contains(&digest) => {}
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

/// It runs, and is to run. What ECS has told to stop may drain for hours: it is on its way out.
pub(super) fn stays(task: &Task) -> bool {
    task.last_status == "RUNNING" && task.desired_status == "RUNNING"
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

#[cfg(test)]
mod tests;
