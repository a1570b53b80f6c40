//! Proves tasks behind load balancers: each task must be healthy in all target groups of its
//! service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use stablepin_aws::ecs::{Registration, Task};
use stablepin_aws::elb::{Elb, Target, TargetState};
use stablepin_rules::effect::Outcome;

use super::proof::{Proof, stays};
use crate::effect::problem;

/// The targets of each target group, by the target group's ARN.
type TargetsByGroup = BTreeMap<String, Vec<Target>>;

/// Proves that the tasks are healthy in the service's target groups, if the service has any target
/// group. `proven` is the number of tasks that all other checks have proven.
pub(super) async fn prove(
    elb: &Elb,
    registrations: &[Registration],
    tasks: &[Task],
    proven: u32,
) -> Result<Proof, Outcome> {
    let mut targets = TargetsByGroup::new();
    for group in registrations.iter().flat_map(|registration| &registration.groups) {
        if !targets.contains_key(group) {
            targets.insert(group.clone(), elb.targets(group).await.map_err(|error| problem(&error))?);
        }
    }
    Ok(match judge(registrations, &targets, tasks) {
        Ok(()) => Proof::Running(proven),
        Err(open) => Proof::Open(open),
    })
}

/// Checks the tasks. The error names the first target that is not healthy yet.
fn judge(registrations: &[Registration], targets: &TargetsByGroup, tasks: &[Task]) -> Result<(), String> {
    for registration in registrations {
        let mut without_addresses = Vec::new();
        for task in tasks.iter().filter(|task| stays(task)) {
            if task.addresses.is_empty() {
                without_addresses.push(task);
            } else {
                by_address(registration, targets, task)?;
            }
        }
        by_port(registration, targets, &without_addresses)?;
    }
    Ok(())
}

/// Checks a task of network mode `awsvpc`: its target has the task's address and the container's
/// own port. A target group has one IP version only, so it contains one of a task's two addresses.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html#target-group-ip-address-type>
fn by_address(registration: &Registration, targets: &TargetsByGroup, task: &Task) -> Result<(), String> {
    let is_its = |target: &&Target| {
        let here = target.port.is_none() || registration.port.is_none() || target.port == registration.port;
        here && task.addresses.iter().any(|address| is_same(address, &target.id))
    };
    let its: Vec<&Target> = targets_of(registration, targets).filter(is_its).collect();
    if its.iter().any(|target| target.state == TargetState::Healthy) {
        return Ok(());
    }
    let name = name(registration);
    Err(match its.first() {
        Some(target) => {
            let why = target.description.as_deref().or(target.reason.as_deref()).unwrap_or("no reason");
            format!("{} is not healthy in {name}: {why}", target.id)
        }
        None => format!("{} is not in {name} yet", task.addresses.join(" or ")),
    })
}

/// Checks tasks of other network modes: their targets are container instances, at ports of the
/// host. Finding the instance of each task would need a further call to ECS. Instead, each port
/// must have at least as many healthy targets as tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html>
fn by_port(registration: &Registration, targets: &TargetsByGroup, tasks: &[&Task]) -> Result<(), String> {
    let mut wanted: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    for task in tasks {
        *wanted.entry(host_port(registration, task)).or_default() += 1;
    }
    for (port, tasks) in wanted {
        let here = |target: &&Target| port.is_none() || target.port.is_none() || target.port == port;
        let healthy = targets_of(registration, targets)
            .filter(here)
            .filter(|target| target.state == TargetState::Healthy)
            .count();
        if healthy < tasks {
            let at = port.map(|port| format!(" at port {port}")).unwrap_or_default();
            return Err(format!("{healthy} of {tasks} targets of {}{at} are healthy", name(registration)));
        }
    }
    Ok(())
}

/// Returns the port on the host, or `None` if ECS does not name the port.
fn host_port(registration: &Registration, task: &Task) -> Option<u16> {
    let named = |name: &String| registration.container.as_ref().is_none_or(|container| container == name);
    let containers = task.containers.iter().filter(|container| named(&container.name));
    let mut bindings = containers.flat_map(|container| &container.bindings);
    bindings.find(|binding| registration.port == Some(binding.container_port)).map(|one| one.host_port)
}

/// Returns the targets in the target group and in its alternate group. A blue/green deployment has
/// its tasks in one of these two groups.
fn targets_of<'a>(
    registration: &'a Registration,
    targets: &'a TargetsByGroup,
) -> impl Iterator<Item = &'a Target> {
    registration.groups.iter().filter_map(|group| targets.get(group)).flatten()
}

/// Returns whether two addresses are the same. An IPv6 address has several spellings.
fn is_same(address: &str, other: &str) -> bool {
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    address == other || parsed(address).is_some_and(|address| parsed(other) == Some(address))
}

/// Returns the names of the target groups, for people.
fn name(registration: &Registration) -> String {
    let names: Vec<_> = registration.groups.iter().map(|arn| arn.rsplit(':').next().unwrap_or(arn)).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests;
