//! The transitions of a rollout: observations of each service, the verdict, and the timeout.
//! Promotions, reverts and rollbacks use them.

use jiff::{SignedDuration, Timestamp};

use super::{Transition, live_drift};
use crate::application::{ServiceName, Verify};
use crate::effect::Observation;
use crate::image::ImageDigest;
use crate::one_line::bounded;
use crate::records::{Current, Direction, Pause, Progress, Rollout, RolloutFailure, ServiceRollout};

/// The time from an accepted deployment to Stablepin's first observation. Containers need time to
/// start.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(3);
/// The time between two observations while a deployment is in progress.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// The longest time that Stablepin waits for ECS's own rollback to end.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// The time for which the last observation of a pause is valid.
const PAUSE_COUNTS: SignedDuration = SignedDuration::from_mins(15);
/// The most times that a bake restarts with a new deadline, for example after ECS replaced a task.
/// The next promotion waits for the slot meanwhile. A service that does not stay proven in six
/// bakes counts as unhealthy.
const REBAKES: u32 = 5;

/// The verdict on a whole rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RolloutVerdict {
    Going,
    /// Every service has reached its goal. At least one service is proven, or the rollout has no
    /// service.
    Arrived,
    /// The rollout cannot succeed any more.
    Failed(RolloutFailure),
}

/// The number of refusals after which the rollout of a service fails. ECS may refuse the first
/// attempt because a new permission is not yet effective, or because of a temporary error. In a
/// rollback, one refusal is enough, because a person is waiting.
const REFUSALS: u32 = 2;

/// Records an observation of one service. The caller must check that the operation may deploy to
/// services. Returns a problem if the reconciler must repeat the call.
pub(super) fn seen(
    transition: &mut Transition,
    direction: Direction,
    service: &ServiceName,
    seen: &Observation,
) -> Option<String> {
    let now = transition.now;
    let timeout = transition.change.after.policy().map(|policy| policy.verify.timeout).unwrap_or_default();
    let most = if transition.change.after.rollback().is_some() { 1 } else { REFUSALS };
    let rollout = current(transition, direction)?;
    let service_rollout =
        rollout.services.iter_mut().find(|service_rollout| service_rollout.service == *service)?;
    let waits = service_rollout.progress == Progress::Waiting;
    if waits != is_call_answer(seen) && !(waits && is_end(seen)) || !(waits || moves(service_rollout)) {
        return None;
    }
    let mut pause = None;
    service_rollout.paused(now, matches!(seen, Observation::Going { paused: true, .. }));
    match seen {
        Observation::Deployed(started) => {
            service_rollout.started = Some(started.clone());
            service_rollout.progress = Progress::Deployed;
            pause = Some(FIRST_LOOK);
        }
        Observation::Going { seen, .. } => {
            service_rollout.seen = Some(seen.clone());
            pause = Some(NEXT_LOOK);
            if matches!(service_rollout.progress, Progress::Proven { .. } | Progress::Unproven { .. }) {
                service_rollout.progress = Progress::Deployed;
                rollout.restart_bake(now + timeout);
                // The bake restarts even if the limit is reached. `restart_bake` limits only how
                // often the bake gets a new deadline.
                rollout.bake = None;
            }
        }
        Observation::Proven { tasks } => {
            let scaled_up = matches!(service_rollout.progress, Progress::Unproven { .. });
            service_rollout.progress = Progress::Proven { tasks: *tasks, at: now };
            service_rollout.seen = Some(format!("{tasks} running at the digest, seen {now}"));
            if scaled_up {
                rollout.restart_bake(now + timeout);
            }
        }
        Observation::Unproven => {
            service_rollout.progress = Progress::Unproven { at: now };
            service_rollout.seen = Some("the desired count is 0".to_owned());
        }
        Observation::Returning { reason } => {
            let until = if let Progress::Returning { until, .. } = service_rollout.progress {
                until
            } else {
                now + RETURNS_WITHIN
            };
            service_rollout.progress = Progress::Returning { reason: reason.clone(), until };
            pause = Some(NEXT_LOOK);
        }
        Observation::Returned { reason, digest } => {
            service_rollout.progress = Progress::Returned { reason: reason.clone(), digest: digest.clone() };
        }
        Observation::Superseded { reason } => {
            service_rollout.progress = Progress::Superseded { reason: reason.clone() }
        }
        Observation::Overtaken if service_rollout.again => {
            let reason = "other deployments replaced it twice".to_owned();
            service_rollout.progress = Progress::Superseded { reason };
        }
        Observation::Overtaken => {
            service_rollout.progress = Progress::Waiting;
            service_rollout.again = true;
        }
        Observation::Failed { reason } => {
            service_rollout.progress = Progress::Failed { reason: reason.clone() }
        }
        Observation::Unheard { problem } => {
            service_rollout.unheard = true;
            return Some(problem.clone());
        }
        Observation::Refused { reason } => {
            service_rollout.refused += 1;
            if service_rollout.refused < most {
                return Some(reason.clone());
            }
            service_rollout.progress = Progress::Failed { reason: reason.clone() };
            service_rollout.if_moved |= service_rollout.unheard;
        }
        Observation::Unused { reason, revision } => {
            service_rollout.unused = Some(revision.clone());
            service_rollout.progress = Progress::Failed { reason: reason.clone() };
            service_rollout.if_moved |= service_rollout.unheard;
        }
    }
    if let Some(pause) = pause {
        transition.pause.get_or_insert(pause);
    }
    None
}

/// Returns whether this observation is the result of the call that deploys to a service.
fn is_call_answer(seen: &Observation) -> bool {
    match seen {
        Observation::Deployed(_)
        | Observation::Unheard { .. }
        | Observation::Refused { .. }
        | Observation::Unused { .. } => true,
        Observation::Going { .. }
        | Observation::Proven { .. }
        | Observation::Unproven
        | Observation::Returning { .. }
        | Observation::Returned { .. }
        | Observation::Superseded { .. }
        | Observation::Overtaken
        | Observation::Failed { .. } => false,
    }
}

/// Records the ARN of Stablepin's service deployment. When ECS accepts a deployment, it may not yet
/// report the ARN.
pub(super) fn record_deployment_arn(
    transition: &mut Transition,
    direction: Direction,
    service: &ServiceName,
    arn: &str,
) {
    let Some(rollout) = current(transition, direction) else { return };
    let service_rollout = rollout
        .services
        .iter_mut()
        .find(|service_rollout| service_rollout.service == *service && moves(service_rollout));
    if let Some(started) = service_rollout.and_then(|service_rollout| service_rollout.started.as_mut()) {
        started.service_deployment.get_or_insert_with(|| arn.to_owned());
    }
}

/// Returns whether this observation ends the rollout of a service that still waits for its
/// deployment.
fn is_end(seen: &Observation) -> bool {
    matches!(seen, Observation::Returned { .. } | Observation::Failed { .. })
}

pub(super) fn probed(transition: &mut Transition, failed: Option<&String>) {
    let now = transition.now;
    if let Some(bake) = current(transition, Direction::Forward).and_then(|rollout| rollout.bake.as_mut()) {
        bake.probed_at = Some(now);
        bake.failed = failed.cloned();
    }
}

/// Returns the rollout that now deploys to services. None if it has another direction.
fn current(transition: &mut Transition, direction: Direction) -> Option<&mut Rollout> {
    let operation = transition.change.after.operation.as_mut()?;
    operation.rollout().filter(|(now, _)| *now == direction)?;
    operation.rollout_to_mut(direction)
}

/// Returns whether ECS has accepted Stablepin's deployment and the progress may still change.
fn moves(service: &ServiceRollout) -> bool {
    match service.progress {
        Progress::Deployed
        | Progress::Proven { .. }
        | Progress::Unproven { .. }
        | Progress::Returning { .. } => true,
        Progress::Waiting
        | Progress::Returned { .. }
        | Progress::Superseded { .. }
        | Progress::Failed { .. } => false,
    }
}

impl ServiceRollout {
    fn paused(&mut self, now: Timestamp, paused: bool) {
        if paused {
            self.pause.get_or_insert(Pause { since: now, seen: now }).seen = now;
        } else if let Some(pause) = self.pause.take() {
            self.paused_for = self.paused_for.saturating_add(now.duration_since(pause.since));
        }
    }
}

impl Rollout {
    /// Restarts a bake that has begun, with a new deadline, at most [`REBAKES`] times. The new bake
    /// begins when every service is proven.
    fn restart_bake(&mut self, deadline: Timestamp) {
        if self.bake.is_some() && self.rebaked < REBAKES {
            self.bake = None;
            self.rebaked += 1;
            self.deadline = self.deadline.max(deadline);
        }
    }

    /// Returns the deadline of one service. A pause of ECS at a lifecycle hook extends only the
    /// deadline of the paused service.
    fn deadline_of(&self, service: &ServiceRollout) -> Timestamp {
        let later = |at: Timestamp, by: SignedDuration| at.saturating_add(by).unwrap_or(at);
        let deadline = later(self.deadline, service.paused_for);
        match service.pause {
            Some(Pause { since, seen }) => {
                later(deadline, seen.duration_since(since)).max(later(seen, PAUSE_COUNTS))
            }
            None => deadline,
        }
    }

    /// Fails the services that have exceeded their deadline. If `until` is given, Stablepin must
    /// observe every service once more after `until`. A service without that observation fails
    /// after the timeout.
    pub(super) fn time_out(
        &mut self,
        now: Timestamp,
        verify: &Verify,
        until: Option<Timestamp>,
        problem: Option<&str>,
    ) {
        // The observation after `until` has the same timeout as the whole rollout.
        let unseen = until.filter(|until| *until + verify.timeout <= now);
        let late: Vec<bool> = self.services.iter().map(|service| self.deadline_of(service) <= now).collect();
        for (service, late) in self.services.iter_mut().zip(late) {
            let reason = match &service.progress {
                Progress::Waiting if late => {
                    // The call may have reached ECS, even if Stablepin did not receive its
                    // response.
                    service.if_moved = true;
                    let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                    format!("not confirmed to be applied in time{problem}")
                }
                Progress::Deployed if late => match &service.seen {
                    Some(seen) => format!("not proven in time: {seen}"),
                    None => "not proven in time".to_owned(),
                },
                Progress::Returning { reason, until } if *until <= now => {
                    format!("ECS did not finish its rollback: {reason}")
                }
                Progress::Proven { at, .. } | Progress::Unproven { at }
                    if unseen.is_some_and(|until| *at < until) =>
                {
                    format!("it could not be checked again since {at}")
                }
                Progress::Waiting
                | Progress::Deployed
                | Progress::Returning { .. }
                | Progress::Proven { .. }
                | Progress::Unproven { .. }
                | Progress::Returned { .. }
                | Progress::Superseded { .. }
                | Progress::Failed { .. } => continue,
            };
            service.progress = Progress::Failed { reason };
        }
        if let (Some(bake), Some(until)) = (&mut self.bake, unseen)
            && !verify.endpoints.is_empty()
            && bake.probed_at.is_none_or(|at| at < until)
        {
            bake.failed.get_or_insert("the endpoints could not be probed again in time".to_owned());
        }
    }

    /// Returns the next time at which a service will exceed its deadline.
    pub(super) fn next_time_out(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.services.iter().filter_map(|service| match &service.progress {
            Progress::Waiting | Progress::Deployed => Some(self.deadline_of(service)),
            Progress::Returning { until, .. } => Some(*until),
            Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => None,
        });
        times.filter(|at| *at > now).min()
    }

    pub(super) fn verdict(&self) -> RolloutVerdict {
        let said = |wanted: &dyn Fn(&ServiceRollout) -> Option<&String>| -> Vec<String> {
            let each = self
                .services
                .iter()
                .filter_map(|service_rollout| Some((&service_rollout.service, wanted(service_rollout)?)));
            each.map(|(service, reason)| format!("{service}: {reason}")).collect()
        };
        // The rollout has no verdict while ECS rolls a service back by itself. So a revert begins
        // only after ECS has finished, or after the time limit.
        if self.services.iter().any(|service| matches!(service.progress, Progress::Returning { .. })) {
            return RolloutVerdict::Going;
        }
        let taken = said(&|service| {
            let Progress::Superseded { reason } = &service.progress else { return None };
            Some(reason)
        });
        let broken = said(&|service| match &service.progress {
            Progress::Failed { reason } => Some(reason),
            // If Stablepin has started no deployment, the service is unchanged, so the revert has
            // nothing to do there. Otherwise ECS rolled Stablepin's deployment back.
            Progress::Returned { reason, .. } => (!service.is_unmoved()).then_some(reason),
            Progress::Waiting
            | Progress::Deployed
            | Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returning { .. }
            | Progress::Superseded { .. } => None,
        });
        if !taken.is_empty() {
            let reason = bounded([taken, broken].concat().join("; "));
            return RolloutVerdict::Failed(RolloutFailure::Superseded(reason));
        }
        if !broken.is_empty() {
            let reason = bounded(broken.join("; "));
            return RolloutVerdict::Failed(RolloutFailure::Reported(reason));
        }
        if let Some(reason) = self.bake.as_ref().and_then(|bake| bake.failed.clone()) {
            return RolloutVerdict::Failed(RolloutFailure::Reported(reason));
        }
        if self
            .services
            .iter()
            .any(|service| matches!(service.progress, Progress::Waiting | Progress::Deployed))
        {
            return RolloutVerdict::Going;
        }
        let nothing =
            self.services.iter().all(|service| matches!(service.progress, Progress::Unproven { .. }));
        if nothing && !self.services.is_empty() {
            RolloutVerdict::Failed(RolloutFailure::NothingProven)
        } else {
            RolloutVerdict::Arrived
        }
    }

    /// Returns whether every service has a final result.
    pub(super) fn is_over(&self) -> bool {
        self.services.iter().all(|service| match service.progress {
            Progress::Waiting | Progress::Deployed | Progress::Returning { .. } => false,
            Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => true,
        })
    }

    /// Returns the earliest of the times at which Stablepin last observed the services that have
    /// reached their goal. None if no service has reached its goal.
    pub(super) fn seen_since(&self) -> Option<Timestamp> {
        let at = |service: &ServiceRollout| match service.progress {
            Progress::Proven { at, .. } | Progress::Unproven { at } => Some(at),
            Progress::Waiting
            | Progress::Deployed
            | Progress::Returning { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => None,
        };
        self.services.iter().filter_map(at).min()
    }

    /// Returns the task definition with which each service was proven.
    pub(super) fn revisions(&self) -> std::collections::BTreeMap<ServiceName, String> {
        let proven =
            self.services.iter().filter(|service| matches!(service.progress, Progress::Proven { .. }));
        proven
            .filter_map(|service_rollout| {
                Some((
                    service_rollout.service.clone(),
                    service_rollout.started.as_ref()?.task_definition.clone(),
                ))
            })
            .collect()
    }
}

/// Records that the environment is proven to run this digest, and ends a live drift.
pub(super) fn arrived(transition: &mut Transition, digest: ImageDigest) {
    let Some(by) = transition.change.after.operation.as_ref().map(|operation| operation.id()) else { return };
    let current = &mut transition.change.after.environment.current;
    let there = current.as_ref().is_some_and(|current| current.digest == digest && current.tagged);
    if !there {
        *current = Some(Current { digest, by, tagged: false });
    }
    live_drift::end(transition, "a rollout moved every service to its target");
}
