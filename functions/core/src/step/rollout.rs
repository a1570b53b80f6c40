//! Rollouts: what is heard of each service, what it comes to, and when it takes too long. The same for a promotion
//! on its way, for its way back, and for a rollback.

use jiff::{SignedDuration, Timestamp};

use super::Draft;
use crate::application::ServiceName;
use crate::effect::Seen;
use crate::image::ImageDigest;
use crate::records::{Current, Progress, Rollout, ServiceRollout, Way};

/// A deployment was only just accepted: containers take their time.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(3);
/// It was looked at and is on its way.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// How long ECS may take to go back by itself before we do.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// What a rollout has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
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

/// What was seen of one service. Only called while its operation may move services.
pub(super) fn seen(draft: &mut Draft, way: Way, service: &ServiceName, seen: &Seen) {
    let now = draft.now;
    let Some(rollout) = current(draft, way) else { return };
    let Some(one) = rollout.services.iter_mut().find(|one| one.service == *service) else { return };
    let waits = one.progress == Progress::Waiting;
    if waits != matches!(seen, Seen::Deployed(_)) && !(waits && is_an_end(seen)) || !(waits || moves(one)) {
        return;
    }
    let mut pause = None;
    match seen {
        Seen::Deployed(started) => {
            one.started = Some(started.clone());
            one.progress = Progress::Deployed;
            pause = Some(FIRST_LOOK);
        }
        Seen::Going { seen, paused } => {
            one.seen = Some(seen.clone());
            if matches!(one.progress, Progress::Proven { .. }) {
                // Proven again, it bakes from the beginning.
                one.progress = Progress::Deployed;
                rollout.bake = None;
            }
            rollout.pause(now, *paused);
            pause = Some(NEXT_LOOK);
        }
        Seen::Proven { tasks } => {
            one.progress = Progress::Proven { tasks: *tasks, at: now };
            one.seen = Some(format!("{tasks} running at the digest, seen {now}"));
            rollout.pause(now, false);
        }
        Seen::Unproven => {
            one.progress = Progress::Unproven;
            one.seen = Some("the desired count is 0".to_owned());
        }
        Seen::Returning { reason } => {
            let until = match one.progress {
                Progress::Returning { until, .. } => until,
                _ => now + RETURNS_WITHIN,
            };
            one.progress = Progress::Returning { reason: reason.clone(), until };
            pause = Some(NEXT_LOOK);
        }
        Seen::Returned { reason, digest } => {
            one.progress = Progress::Returned { reason: reason.clone(), digest: digest.clone() };
        }
        Seen::Superseded { reason } => one.progress = Progress::Superseded { reason: reason.clone() },
        Seen::Overtaken if one.again => {
            one.progress = Progress::Superseded { reason: "it was overtaken twice".to_owned() };
        }
        Seen::Overtaken => {
            one.progress = Progress::Waiting;
            one.again = true;
        }
        Seen::Failed { reason } => one.progress = Progress::Failed { reason: reason.clone() },
    }
    if let Some(pause) = pause {
        draft.pause.get_or_insert(pause);
    }
}

/// What ECS calls our deployment. It may not have said so when it accepted it.
pub(super) fn named(draft: &mut Draft, way: Way, service: &ServiceName, arn: &str) {
    let Some(rollout) = current(draft, way) else { return };
    let one = rollout.services.iter_mut().find(|one| one.service == *service && moves(one));
    if let Some(started) = one.and_then(|one| one.started.as_mut()) {
        started.service_deployment.get_or_insert_with(|| arn.to_owned());
    }
}

/// Ends of a service that may come before our deployment does.
fn is_an_end(seen: &Seen) -> bool {
    matches!(seen, Seen::Returned { .. } | Seen::Failed { .. })
}

pub(super) fn probed(draft: &mut Draft, failed: Option<&String>) {
    let now = draft.now;
    if let Some(bake) = current(draft, Way::There).and_then(|rollout| rollout.bake.as_mut()) {
        bake.probed_at = Some(now);
        bake.failed = failed.cloned();
    }
}

/// The rollout that moves services now, if it goes this way.
fn current(draft: &mut Draft, way: Way) -> Option<&mut Rollout> {
    let operation = draft.change.after.operation.as_mut()?;
    operation.rollout().filter(|(now, _)| *now == way)?;
    operation.way_mut(way)
}

/// Our deployment was accepted, and may yet change.
fn moves(one: &ServiceRollout) -> bool {
    match one.progress {
        Progress::Deployed | Progress::Proven { .. } | Progress::Returning { .. } => true,
        Progress::Waiting
        | Progress::Unproven
        | Progress::Returned { .. }
        | Progress::Superseded { .. }
        | Progress::Failed { .. } => false,
    }
}

impl Rollout {
    /// A deployment that waits at a lifecycle hook waits for somebody else: that time is not ours.
    fn pause(&mut self, now: Timestamp, paused: bool) {
        match (self.paused_since, paused) {
            (None, true) => self.paused_since = Some(now),
            (Some(since), false) => {
                self.deadline =
                    self.deadline.saturating_add(now.duration_since(since)).unwrap_or(self.deadline);
                self.paused_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// What takes too long fails.
    pub(super) fn time_out(&mut self, now: Timestamp) {
        let late = self.deadline <= now && self.paused_since.is_none();
        for one in &mut self.services {
            let reason = match &one.progress {
                Progress::Waiting if late => "nothing could be applied in time".to_owned(),
                Progress::Deployed if late => match &one.seen {
                    Some(seen) => format!("not proven in time: {seen}"),
                    None => "not proven in time".to_owned(),
                },
                Progress::Returning { reason, until } if *until <= now => {
                    format!("ECS did not finish going back by itself: {reason}")
                }
                Progress::Waiting
                | Progress::Deployed
                | Progress::Returning { .. }
                | Progress::Proven { .. }
                | Progress::Unproven
                | Progress::Returned { .. }
                | Progress::Superseded { .. }
                | Progress::Failed { .. } => continue,
            };
            one.progress = Progress::Failed { reason };
        }
    }

    /// When it next times out.
    pub(super) fn next_time_out(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.paused_since.is_none().then_some(self.deadline);
        let returning = self.services.iter().filter_map(|one| match &one.progress {
            Progress::Returning { until, .. } => Some(*until),
            _ => None,
        });
        returning.chain(deadline).filter(|at| *at > now).min()
    }

    pub(super) fn verdict(&self) -> Verdict {
        let said = |wanted: &dyn Fn(&ServiceRollout) -> Option<&String>| -> Vec<String> {
            let each = self.services.iter().filter_map(|one| Some((&one.service, wanted(one)?)));
            each.map(|(service, reason)| format!("{service}: {reason}")).collect()
        };
        let taken = said(&|one| match &one.progress {
            Progress::Superseded { reason } => Some(reason),
            _ => None,
        });
        if !taken.is_empty() {
            return Verdict::Taken(taken.join("; "));
        }
        // Never against ECS's own going back: first it is over, or too late.
        if self.services.iter().any(|one| matches!(one.progress, Progress::Returning { .. })) {
            return Verdict::Going;
        }
        let broken = said(&|one| match &one.progress {
            Progress::Failed { reason } => Some(reason),
            // What ECS brought back is where ECS wanted it, and nobody has proven it.
            Progress::Returned { reason, .. } if !one.if_moved => Some(reason),
            _ => None,
        });
        if !broken.is_empty() {
            return Verdict::Broken(broken.join("; "));
        }
        if let Some(failed) = self.bake.as_ref().and_then(|bake| bake.failed.clone()) {
            return Verdict::Broken(failed);
        }
        if self.services.iter().any(|one| matches!(one.progress, Progress::Waiting | Progress::Deployed)) {
            return Verdict::Going;
        }
        let nothing = self.services.iter().all(|one| one.progress == Progress::Unproven);
        if nothing && !self.services.is_empty() { Verdict::NothingProven } else { Verdict::Arrived }
    }

    /// No service is on its way any more.
    pub(super) fn is_over(&self) -> bool {
        self.services.iter().all(|one| match one.progress {
            Progress::Waiting | Progress::Deployed | Progress::Returning { .. } => false,
            Progress::Proven { .. }
            | Progress::Unproven
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => true,
        })
    }

    /// Since when every service is proven.
    pub(super) fn proven_since(&self) -> Option<Timestamp> {
        let at = |one: &ServiceRollout| match one.progress {
            Progress::Proven { at, .. } => Some(at),
            _ => None,
        };
        self.services.iter().filter_map(at).min()
    }

    pub(super) fn applied_anywhere(&self) -> bool {
        self.services.iter().any(|one| one.started.is_some())
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
pub(super) fn arrived(draft: &mut Draft, digest: ImageDigest) {
    let Some(by) = draft.change.after.operation.as_ref().map(|operation| operation.id()) else { return };
    let current = &mut draft.change.after.environment.current;
    let there = current.as_ref().is_some_and(|current| current.digest == digest && current.tagged);
    if !there {
        *current = Some(Current { digest, by, tagged: false });
    }
}
