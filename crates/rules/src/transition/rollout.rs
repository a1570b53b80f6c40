//! Rollouts: what is heard of each service, what it comes to, and when it takes too long. The same for a promotion
//! on its way, for its way back, and for a rollback.

use jiff::{SignedDuration, Timestamp};

use super::{Transition, live_drift};
use crate::application::{ServiceName, Verify};
use crate::effect::Observation;
use crate::image::ImageDigest;
use crate::records::{Current, Direction, Pause, Progress, Rollout, ServiceRollout};

/// A deployment was only just accepted: containers take their time.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(3);
/// It was looked at and is on its way.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// How long ECS may take to go back by itself before we do.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How long a pause counts that nobody has seen again.
const PAUSE_COUNTS: SignedDuration = SignedDuration::from_mins(15);
/// How often a bake begins anew. ECS replaces a task now and then, and a service may scale: that is no failure, and each
/// time gets a deadline of its own. What was never proven for as long as one bake, in six times the time, is not healthy;
/// and the next release waits for the slot.
const REBAKES: u32 = 5;

/// What a rollout has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RolloutVerdict {
    Going,
    /// Every service is there, and at least one is proven.
    Arrived,
    /// It is applied, and nothing runs that could prove it.
    NothingProven,
    /// It will not arrive by itself.
    Broken(String),
    /// Somebody else has deployed meanwhile: what runs is theirs.
    Taken(String),
}

/// How often AWS's refusal to move a service is heard before it is believed: a permission that was given a moment ago may
/// not count yet, and some of what AWS says only sounds like a refusal. A rollback believes the first one, since whoever
/// asked for it waits for the answer.
const REFUSALS: u32 = 2;

/// What was seen of one service. Only called while its operation may move services. Returns what is to be tried again.
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
    let one = rollout.services.iter_mut().find(|one| one.service == *service)?;
    let waits = one.progress == Progress::Waiting;
    if waits != is_of_a_call(seen) && !(waits && is_an_end(seen)) || !(waits || moves(one)) {
        return None;
    }
    let mut pause = None;
    one.paused(now, matches!(seen, Observation::Going { paused: true, .. }));
    match seen {
        Observation::Deployed(started) => {
            one.started = Some(started.clone());
            one.progress = Progress::Deployed;
            pause = Some(FIRST_LOOK);
        }
        Observation::Going { seen, .. } => {
            one.seen = Some(seen.clone());
            pause = Some(NEXT_LOOK);
            if matches!(one.progress, Progress::Proven { .. } | Progress::Unproven { .. }) {
                one.progress = Progress::Deployed;
                rollout.bakes_anew(now + timeout);
                // Also when that is not another deadline: then it is the last time.
                rollout.bake = None;
            }
        }
        Observation::Proven { tasks } => {
            let scaled_up = matches!(one.progress, Progress::Unproven { .. });
            one.progress = Progress::Proven { tasks: *tasks, at: now };
            one.seen = Some(format!("{tasks} running at the digest, seen {now}"));
            if scaled_up {
                rollout.bakes_anew(now + timeout);
            }
        }
        Observation::Unproven => {
            one.progress = Progress::Unproven { at: now };
            one.seen = Some("the desired count is 0".to_owned());
        }
        Observation::Returning { reason } => {
            let until = match one.progress {
                Progress::Returning { until, .. } => until,
                _ => now + RETURNS_WITHIN,
            };
            one.progress = Progress::Returning { reason: reason.clone(), until };
            pause = Some(NEXT_LOOK);
        }
        Observation::Returned { reason, digest } => {
            one.progress = Progress::Returned { reason: reason.clone(), digest: digest.clone() };
        }
        Observation::Superseded { reason } => one.progress = Progress::Superseded { reason: reason.clone() },
        Observation::Overtaken if one.again => {
            one.progress = Progress::Superseded { reason: "it was overtaken twice".to_owned() };
        }
        Observation::Overtaken => {
            one.progress = Progress::Waiting;
            one.again = true;
        }
        Observation::Failed { reason } => one.progress = Progress::Failed { reason: reason.clone() },
        Observation::Unheard { problem } => {
            one.unheard = true;
            return Some(problem.clone());
        }
        Observation::Refused { reason } => {
            one.refused += 1;
            if one.refused < most {
                return Some(reason.clone());
            }
            one.progress = Progress::Failed { reason: reason.clone() };
            one.if_moved |= one.unheard;
        }
        Observation::Unused { reason, revision } => {
            one.unused = Some(revision.clone());
            one.progress = Progress::Failed { reason: reason.clone() };
            one.if_moved |= one.unheard;
        }
    }
    if let Some(pause) = pause {
        transition.pause.get_or_insert(pause);
    }
    None
}

/// What a call that moves a service comes to.
fn is_of_a_call(seen: &Observation) -> bool {
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

/// What ECS calls our deployment. It may not have said so when it accepted it.
pub(super) fn named(transition: &mut Transition, direction: Direction, service: &ServiceName, arn: &str) {
    let Some(rollout) = current(transition, direction) else { return };
    let one = rollout.services.iter_mut().find(|one| one.service == *service && moves(one));
    if let Some(started) = one.and_then(|one| one.started.as_mut()) {
        started.service_deployment.get_or_insert_with(|| arn.to_owned());
    }
}

/// Ends of a service that may come before our deployment does.
fn is_an_end(seen: &Observation) -> bool {
    matches!(seen, Observation::Returned { .. } | Observation::Failed { .. })
}

pub(super) fn probed(transition: &mut Transition, failed: Option<&String>) {
    let now = transition.now;
    if let Some(bake) = current(transition, Direction::Forward).and_then(|rollout| rollout.bake.as_mut()) {
        bake.probed_at = Some(now);
        bake.failed = failed.cloned();
    }
}

/// The rollout that moves services now, if it goes this way.
fn current(transition: &mut Transition, direction: Direction) -> Option<&mut Rollout> {
    let operation = transition.change.after.operation.as_mut()?;
    operation.rollout().filter(|(now, _)| *now == direction)?;
    operation.rollout_to_mut(direction)
}

/// Our deployment was accepted, and may yet change.
fn moves(one: &ServiceRollout) -> bool {
    match one.progress {
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
    /// A bake that has begun begins again when every service is proven again, with the time for that.
    fn bakes_anew(&mut self, deadline: Timestamp) {
        if self.bake.is_some() && self.rebaked < REBAKES {
            self.bake = None;
            self.rebaked += 1;
            self.deadline = self.deadline.max(deadline);
        }
    }

    /// Each service has its own: one that waits at a lifecycle hook is none of the others' business.
    fn deadline_of(&self, one: &ServiceRollout) -> Timestamp {
        let later = |at: Timestamp, by: SignedDuration| at.saturating_add(by).unwrap_or(at);
        let deadline = later(self.deadline, one.paused_for);
        match one.pause {
            Some(Pause { since, seen }) => {
                later(deadline, seen.duration_since(since)).max(later(seen, PAUSE_COUNTS))
            }
            None => deadline,
        }
    }

    /// What takes too long fails. `until`: what is proven has to stay so until then, and be seen so after it.
    pub(super) fn time_out(
        &mut self,
        now: Timestamp,
        verify: &Verify,
        until: Option<Timestamp>,
        problem: Option<&str>,
    ) {
        // Whoever looks has had as long for that as for the rollout.
        let unseen = until.filter(|until| *until + verify.timeout <= now);
        let late: Vec<bool> = self.services.iter().map(|one| self.deadline_of(one) <= now).collect();
        for (one, late) in self.services.iter_mut().zip(late) {
            let reason = match &one.progress {
                Progress::Waiting if late => {
                    // Its call may have arrived, and only the answer was lost.
                    one.if_moved = true;
                    let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
                    format!("not known to be applied in time{problem}")
                }
                Progress::Deployed if late => match &one.seen {
                    Some(seen) => format!("not proven in time: {seen}"),
                    None => "not proven in time".to_owned(),
                },
                Progress::Returning { reason, until } if *until <= now => {
                    format!("ECS did not finish going back by itself: {reason}")
                }
                Progress::Proven { at, .. } | Progress::Unproven { at }
                    if unseen.is_some_and(|until| *at < until) =>
                {
                    format!("it could not be looked at again since {at}")
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
            one.progress = Progress::Failed { reason };
        }
        if let (Some(bake), Some(until)) = (&mut self.bake, unseen)
            && !verify.endpoints.is_empty()
            && bake.probed_at.is_none_or(|at| at < until)
        {
            bake.failed.get_or_insert("the endpoints could not be asked again in time".to_owned());
        }
    }

    /// When it next times out.
    pub(super) fn next_time_out(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.services.iter().filter_map(|one| match &one.progress {
            Progress::Waiting | Progress::Deployed => Some(self.deadline_of(one)),
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
            let each = self.services.iter().filter_map(|one| Some((&one.service, wanted(one)?)));
            each.map(|(service, reason)| format!("{service}: {reason}")).collect()
        };
        // Never against ECS's own going back: first it is over, or too late.
        if self.services.iter().any(|one| matches!(one.progress, Progress::Returning { .. })) {
            return RolloutVerdict::Going;
        }
        let taken = said(&|one| match &one.progress {
            Progress::Superseded { reason } => Some(reason),
            _ => None,
        });
        let broken = said(&|one| match &one.progress {
            Progress::Failed { reason } => Some(reason),
            // What ECS brought back is where ECS wanted it, and nobody has proven it.
            Progress::Returned { reason, .. } if !one.if_moved => Some(reason),
            _ => None,
        });
        if !taken.is_empty() {
            return RolloutVerdict::Taken([taken, broken].concat().join("; "));
        }
        if !broken.is_empty() {
            return RolloutVerdict::Broken(broken.join("; "));
        }
        if let Some(failed) = self.bake.as_ref().and_then(|bake| bake.failed.clone()) {
            return RolloutVerdict::Broken(failed);
        }
        if self.services.iter().any(|one| matches!(one.progress, Progress::Waiting | Progress::Deployed)) {
            return RolloutVerdict::Going;
        }
        let nothing = self.services.iter().all(|one| matches!(one.progress, Progress::Unproven { .. }));
        if nothing && !self.services.is_empty() {
            RolloutVerdict::NothingProven
        } else {
            RolloutVerdict::Arrived
        }
    }

    /// No service is on its way any more.
    pub(super) fn is_over(&self) -> bool {
        self.services.iter().all(|one| match one.progress {
            Progress::Waiting | Progress::Deployed | Progress::Returning { .. } => false,
            Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => true,
        })
    }

    /// When the service that was not looked at for longest was last seen where it should be.
    pub(super) fn seen_since(&self) -> Option<Timestamp> {
        let at = |one: &ServiceRollout| match one.progress {
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

    /// The task definition that each service was proven with.
    pub(super) fn revisions(&self) -> std::collections::BTreeMap<ServiceName, String> {
        let proven = self.services.iter().filter(|one| matches!(one.progress, Progress::Proven { .. }));
        proven
            .filter_map(|one| Some((one.service.clone(), one.started.as_ref()?.task_definition.clone())))
            .collect()
    }

    /// For people: how many are proven.
    pub(super) fn proven(&self) -> String {
        match self.services.len() {
            0 => "no services here; pinned".to_owned(),
            1 => "1 service proven".to_owned(),
            n => format!("{n} services proven"),
        }
    }
}

/// The environment runs this digest now, as far as is proven.
pub(super) fn arrived(transition: &mut Transition, digest: ImageDigest) {
    let Some(by) = transition.change.after.operation.as_ref().map(|operation| operation.id()) else { return };
    let current = &mut transition.change.after.environment.current;
    let there = current.as_ref().is_some_and(|current| current.digest == digest && current.tagged);
    if !there {
        *current = Some(Current { digest, by, tagged: false });
    }
    live_drift::end(transition, "a rollout has brought every service where it belongs");
}
