//! Live drift: services do not run the pin. Stablepin notifies people once for each drift. The
//! drift ends when every service runs the pin again.

use std::collections::{BTreeMap, BTreeSet};

use super::{AuditEntry, Transition};
use crate::application::{EnvironmentPolicy, ServiceName};
use crate::audit::{Actor, Kind};
use crate::live_drift::{Deviation, LiveDrift};
use crate::operation_id::OperationId;
use crate::records::{DriftReport, Environment, Operation, Work};

/// An observation of what some services run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSeen {
    /// The id for a new drift, if this observation opens one.
    pub id: OperationId,
    /// The version of the environment's record when Stablepin read the services from ECS. If the
    /// record has changed since, Stablepin ignores the observation, because the change may explain
    /// what was observed.
    pub environment_version: u64,
    /// The deviation of each service. None: the service runs the pin, or its state is unknown.
    pub services: BTreeMap<ServiceName, Option<Deviation>>,
    /// The services that no longer have the task definition of the last operation.
    pub moved_on: BTreeSet<ServiceName>,
}

/// A service's task definition, and how the service differs from the pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    pub task_definition: Option<String>,
    /// The deviation from the pin. None: the service runs the pin, or its state is unknown.
    pub deviation: Option<Deviation>,
}

impl LiveSeen {
    /// Returns the observation of these services. A service with the task definition from the last
    /// operation has no deviation, because that operation has already notified people.
    pub fn new(
        id: OperationId,
        environment: &Environment,
        observed: BTreeMap<ServiceName, ObservedService>,
    ) -> Self {
        let mut moved_on = BTreeSet::new();
        let mut services = BTreeMap::new();
        for (service, ObservedService { task_definition, deviation }) in observed {
            let left = environment.left.get(&service);
            let stays = left.is_some() && left == task_definition.as_ref();
            if left.is_some() && !stays && task_definition.is_some() {
                moved_on.insert(service.clone());
            }
            services.insert(service, deviation.filter(|_| !stays));
        }
        Self { id, environment_version: environment.version, services, moved_on }
    }
}

/// The most services that the reason in an audit record names.
const MOST_IN_A_REASON: usize = 10;

/// Returns the services that differ from the pin, according to the open drift and this observation.
fn differing(
    environment: &Environment,
    policy: Option<&EnvironmentPolicy>,
    seen: &LiveSeen,
) -> BTreeMap<ServiceName, Deviation> {
    // If the team deploys without Stablepin, services may run a newer build than the pin. Such a
    // difference is no drift.
    let Some(policy) = policy.filter(|policy| policy.is_deployed()) else { return BTreeMap::new() };
    let mut services = open(environment).map(|drift| drift.services.clone()).unwrap_or_default();
    for (service, deviation) in &seen.services {
        match deviation {
            Some(deviation) => services.insert(service.clone(), deviation.cut()),
            None => services.remove(service),
        };
    }
    services.retain(|service, _| policy.services.contains(service));
    services
}

fn open(environment: &Environment) -> Option<&LiveDrift> {
    environment.live_drift.as_ref().filter(|drift| drift.is_open())
}

/// Returns whether the observation would change nothing in the environment's record.
pub fn is_known(environment: &Environment, policy: Option<&EnvironmentPolicy>, seen: &LiveSeen) -> bool {
    let forgets = environment.left.keys().any(|service| seen.moved_on.contains(service));
    !forgets && is_known_drift(environment, policy, seen)
}

fn is_known_drift(environment: &Environment, policy: Option<&EnvironmentPolicy>, seen: &LiveSeen) -> bool {
    let known = open(environment).map(|drift| drift.services.clone()).unwrap_or_default();
    differing(environment, policy, seen) == known
}

/// Records an observation. The subject must not contain an operation. Ignores the observation while
/// a rollout has the slot, and if the environment's record has changed since the observation.
pub(super) fn seen(transition: &mut Transition, seen: &LiveSeen) {
    let now = transition.now;
    let environment = &mut transition.change.after.environment;
    if environment.slot.is_some() || environment.version != seen.environment_version {
        return;
    }
    // If a service later has this task definition again, a caller other than Stablepin has deployed
    // it, and the service has drifted.
    environment.left.retain(|service, _| !seen.moved_on.contains(service));
    let after = &transition.change.after;
    let environment = &after.environment;
    let Some(pin) = &environment.pin else { return };
    if is_known_drift(environment, after.policy(), seen) {
        return;
    }
    let again = format!("no service differs from pin {} any more", pin.number);
    let services = differing(environment, after.policy(), seen);
    if services.is_empty() {
        return end(transition, &again);
    }
    let before = open(environment).cloned();
    // If services have drifted further since the notification, people need another notification.
    let was_notified = |drift: &LiveDrift| drift.notified_at.is_some_and(|at| at >= drift.since);
    let is_more = |drift: &LiveDrift| {
        services.iter().any(|(service, deviation)| drift.services.get(service) != Some(deviation))
    };
    let is_new = before.as_ref().is_none_or(|drift| was_notified(drift) && is_more(drift));
    let drift = match before {
        Some(before) if is_new => LiveDrift { id: seen.id, since: now, services, ..before },
        Some(before) => LiveDrift { services, ..before },
        None => {
            let notified_at = environment.live_drift.as_ref().and_then(|drift| drift.notified_at);
            LiveDrift { id: seen.id, since: now, services, ended_at: None, notified_at }
        }
    };
    let from = open(environment).map(|_| "Detected");
    if is_new {
        let report = DriftReport { id: drift.id, detected_at: now };
        transition.change.after.operation = Some(Operation::new(Work::LiveDrift(report), now));
    }
    transition.change.after.environment.live_drift = Some(drift);
    audit(transition, from, "Detected", None);
}

/// Ends the drift.
pub(super) fn end(transition: &mut Transition, why: &str) {
    let now = transition.now;
    let drift = transition.change.after.environment.live_drift.as_mut().filter(|drift| drift.is_open());
    let Some(drift) = drift else { return };
    drift.ended_at = Some(now);
    audit(transition, Some("Detected"), "Ended", Some(why));
}

/// Records that people were notified of the drift.
pub(super) fn notified(transition: &mut Transition) {
    let now = transition.now;
    let notified = transition.change.after.operation.as_ref().map(Operation::id);
    let drift = transition.change.after.environment.live_drift.as_mut();
    if let Some(drift) = drift.filter(|drift| Some(drift.id) == notified) {
        drift.notified_at = Some(now);
    }
}

fn audit(transition: &mut Transition, from: Option<&str>, to: &str, why: Option<&str>) {
    let environment = &transition.change.after.environment;
    let Some(drift) = &environment.live_drift else { return };
    let Some(pin) = &environment.pin else { return };
    let services = drift.words();
    let more = services.len().saturating_sub(MOST_IN_A_REASON);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let services = services[..services.len().min(MOST_IN_A_REASON)].join("; ");
    let found = || format!("{services}{more}; pin {} is {}", pin.number, pin.digest);
    let entry = AuditEntry {
        kind: Kind::LiveDrift,
        id: Some(drift.id),
        digest: Some(pin.digest.clone()),
        from: from.map(str::to_owned),
        to: to.to_owned(),
        reason: Some(why.map_or_else(found, str::to_owned)),
        actor: Actor::Stablepin,
    };
    transition.audit(entry);
}
