//! Proves that each running task uses the digest and that its containers are healthy.

use std::collections::BTreeSet;

use jiff::Timestamp;
use stablepin_aws::ecs::{Container, Health, Task};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::Started;
use stablepin_rules::task_definition::ContainerRole;

pub(super) struct WantedTasks<'a> {
    pub(super) started: &'a Started,
    pub(super) desired: u32,
    /// The digests that a container may report. With `None`, a container may report any digest.
    pub(super) accepted: Option<BTreeSet<ImageDigest>>,
    /// The time of the first proof, if there was one. A task that became unhealthy or exited after
    /// this time is a failure.
    pub(super) proven_at: Option<Timestamp>,
    /// The roles of the containers in the target task definition. A container that AWS adds has no
    /// role.
    pub(super) roles: &'a [ContainerRole],
    /// True if the service uses a Classic Load Balancer. For such a service, ECS does not report
    /// container health. "Container health checks aren't supported for tasks that are part of a
    /// service that's configured to use a Classic Load Balancer".
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
    pub(super) classic_load_balancer: bool,
}

impl WantedTasks<'_> {
    fn role(&self, container: &Container) -> Option<&ContainerRole> {
        self.roles.iter().find(|role| role.name == container.name)
    }

    fn is_essential(&self, container: &Container) -> bool {
        self.role(container).is_none_or(|role| role.essential)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// The number of proven tasks. Each proven task has the target task definition and the digest,
    /// and is healthy.
    Running(u32),
    Open(String),
    Wrong(String),
}

pub(super) fn prove(
    wanted: &WantedTasks<'_>,
    tasks: &[Task],
    stopped: &[Task],
    is_ours: impl Fn(&Container) -> bool,
) -> Proof {
    if let Some(reason) = exited(wanted, stopped) {
        return Proof::Wrong(reason);
    }
    let mut proven = 0;
    for task in tasks.iter().filter(|task| stays(task)) {
        if task.task_definition != wanted.started.task_definition {
            return Proof::Open(format!("{} still runs {}", task.arn, task.task_definition));
        }
        if !task.containers.iter().any(&is_ours) {
            return Proof::Open(format!("ECS shows no container of {} that runs the repository", task.arn));
        }
        for container in task.containers.iter().filter(|container| is_ours(container)) {
            if let Some(proof) = objection(wanted, task, container) {
                return proof;
            }
        }
        match health(wanted, task) {
            Health::Healthy => {}
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

/// Returns the reason why the container is not proven to run an accepted digest, or `None` if the
/// container is proven.
fn objection(wanted: &WantedTasks<'_>, task: &Task, container: &Container) -> Option<Proof> {
    let digest = container.running_digest();
    let accepted = |digest: &ImageDigest| wanted.accepted.as_ref().is_none_or(|all| all.contains(digest));
    if let Some(other) = digest.as_ref().filter(|digest| !accepted(digest)) {
        let (name, task) = (&container.name, &task.arn);
        return Some(Proof::Wrong(format!("container {name} of {task} runs {other}")));
    }
    let unknown = || Proof::Open(format!("ECS does not say yet which digest {} runs", task.arn));
    let is_unknown = digest.is_none() && wanted.accepted.is_some();
    ended(wanted, task, container).or_else(|| is_unknown.then(unknown))
}

/// Returns the reason why the container does not run, or `None` if it runs or has done its work.
///
/// A nonessential container that exits with 0 has done its work. An example is a migration that
/// other containers wait for with `SUCCESS` or `COMPLETE`. If such a container exits with another
/// code, ECS keeps the task and does not replace it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html>
fn ended(wanted: &WantedTasks<'_>, task: &Task, container: &Container) -> Option<Proof> {
    let what = format!("container {} of {}", container.name, task.arn);
    match (container.last_status.as_deref(), container.exit_code) {
        (Some("RUNNING"), _) => return None,
        (Some("STOPPED"), Some(0)) if !wanted.is_essential(container) => return None,
        (Some("STOPPED"), _) => {}
        (_, _) => return Some(Proof::Open(format!("{what} has not started yet"))),
    }
    let code = container.exit_code.map_or("ended".to_owned(), |code| format!("exited with {code}"));
    let why = container.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let said = format!("{what} {code}{why}");
    let restarts = wanted.role(container).is_some_and(|role| role.restarts);
    // When an essential container ends, ECS stops its task and starts a new task.
    let comes_again = restarts || container.exit_code.is_none();
    let comes_again = comes_again || wanted.is_essential(container) && wanted.proven_at.is_none();
    Some(if comes_again { Proof::Open(said) } else { Proof::Wrong(said) })
}

/// Returns a task's health, judged by its essential containers that have a health check. If none of
/// these containers reports health, the health status of the task decides. If no container has a
/// health check, ECS always reports `UNKNOWN` for the task.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
fn health(wanted: &WantedTasks<'_>, task: &Task) -> Health {
    let unhealthy = || task.containers.iter().filter(|one| one.health == Health::Unhealthy);
    let is_reported = unhealthy().next().is_some();
    if unhealthy().any(|one| wanted.is_essential(one)) || (task.health == Health::Unhealthy && !is_reported) {
        return Health::Unhealthy;
    }
    let is_healthy = |role: &ContainerRole| {
        task.containers.iter().any(|one| one.name == role.name && one.health == Health::Healthy)
    };
    let mut deciding = wanted.roles.iter().filter(|role| role.essential && role.health_check);
    let is_known = task.health == Health::Healthy || wanted.classic_load_balancer;
    if is_known || deciding.all(is_healthy) { Health::Healthy } else { Health::Unknown }
}

/// Returns whether the task is running and ECS is not stopping it. While ECS stops a task, the task
/// may drain for hours.
pub(super) fn stays(task: &Task) -> bool {
    task.last_status == "RUNNING" && task.desired_status == "RUNNING"
}

/// Returns the failure reason if a task of the target task definition has exited since the first
/// proof. ECS replaces such a task without a report. If the task has no health check, only the list
/// of stopped tasks shows the exit.
fn exited(wanted: &WantedTasks<'_>, stopped: &[Task]) -> Option<String> {
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
