//! Drift of what runs: found, told once, and over when every service runs the pin again.

use std::collections::BTreeMap;

use super::{AuditEntry, Transition};
use crate::application::{EnvironmentPolicy, ServiceName};
use crate::audit::{Actor, Kind};
use crate::live_drift::{Deviation, LiveDrift};
use crate::records::{DriftReport, Environment, Operation, OperationId, Work};

/// What ECS was seen to run, of the services that were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSeen {
    /// A fresh id, used when a drift begins.
    pub id: OperationId,
    /// The version of the environment's record when ECS was asked. What has changed since may explain what was seen.
    pub environment_version: u64,
    /// None: it runs the pin, or nothing is known against that.
    pub services: BTreeMap<ServiceName, Option<Deviation>>,
}

/// How many services the reason of an audit record names.
const MOST_IN_A_REASON: usize = 10;

/// What differs after this look.
fn differing(
    environment: &Environment,
    policy: Option<&EnvironmentPolicy>,
    seen: &LiveSeen,
) -> BTreeMap<ServiceName, Deviation> {
    // Whoever deploys by themselves goes ahead of the pin: that is no drift.
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

/// Whether the look tells nothing new.
pub fn is_known(environment: &Environment, policy: Option<&EnvironmentPolicy>, seen: &LiveSeen) -> bool {
    let known = open(environment).map(|drift| drift.services.clone()).unwrap_or_default();
    differing(environment, policy, seen) == known
}

/// On a subject without an operation. While a rollout has the slot, what runs is its business.
pub(super) fn seen(transition: &mut Transition, seen: &LiveSeen) {
    let now = transition.now;
    let after = &transition.change.after;
    let environment = &after.environment;
    if environment.slot.is_some() || environment.version != seen.environment_version {
        return;
    }
    let Some(pin) = &environment.pin else { return };
    if is_known(environment, after.policy(), seen) {
        return;
    }
    let again = format!("no service differs from pin {} any more", pin.number);
    let services = differing(environment, after.policy(), seen);
    if services.is_empty() {
        return end(transition, &again);
    }
    let before = open(environment).cloned();
    // What people were told of is not all of it any more.
    let was_told = |drift: &LiveDrift| drift.notified_at.is_some_and(|at| at >= drift.since);
    let is_more =
        |drift: &LiveDrift| services.iter().any(|(service, one)| drift.services.get(service) != Some(one));
    let is_new = before.as_ref().is_none_or(|drift| was_told(drift) && is_more(drift));
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

/// Every service runs the pin.
pub(super) fn end(transition: &mut Transition, why: &str) {
    let now = transition.now;
    let drift = transition.change.after.environment.live_drift.as_mut().filter(|drift| drift.is_open());
    let Some(drift) = drift else { return };
    drift.ended_at = Some(now);
    audit(transition, Some("Detected"), "Ended", Some(why));
}

/// People were told of it.
pub(super) fn notified(transition: &mut Transition) {
    let now = transition.now;
    let told = transition.change.after.operation.as_ref().map(Operation::id);
    let drift = transition.change.after.environment.live_drift.as_mut();
    if let Some(drift) = drift.filter(|drift| Some(drift.id) == told) {
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
