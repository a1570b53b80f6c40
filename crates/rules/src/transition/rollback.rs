//! Rollbacks. A person requests a rollback, and Stablepin deploys the target to the services. The
//! rollback completes when every service is proven to run the target.

use jiff::{SignedDuration, Timestamp};

use super::rollout::{RolloutVerdict, arrived};
use super::{AuditEntry, LONGEST_PAUSE, NewPin, Transition};
use crate::application::ServiceName;
use crate::audit::{Actor, Kind};
use crate::build_tag::BackupTag;
use crate::image::ImageDigest;
use crate::one_line::reason;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::records::{
    Backup, Destination, Hold, HoldReason, LeftBehind, Operation, Rollback, RollbackReason, RollbackState,
    Rollout, RolloutFailure, ServiceRollout, Slot, SlotKind, Subject, Target, Work,
};
use crate::refusal::Refusal;
use crate::target::{intended, live, ready};

/// The longest time that one observation takes. If an observation ends more than this time after a
/// call, the observation began after the call.
const LONGEST_OBSERVATION: SignedDuration = SignedDuration::from_secs(20);

/// A rollback request with a resolved and checked target. Stablepin has not yet changed a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    pub id: OperationId,
    pub to: String,
    pub target: Target,
    /// The number of the current pin when the target was resolved. If another pin is current now,
    /// `to` may mean another target.
    pub resolved_at: PinNumber,
    pub reason: Option<String>,
    pub actor: Actor,
    /// The services to roll back, each with what the service runs now.
    pub services: Vec<ServiceRollout>,
}

impl RollbackRequest {
    /// Returns whether every service already has the target, in its task definition and its running
    /// tasks. An environment without services counts as running its pin.
    fn already_live(&self, pinned: &ImageDigest) -> bool {
        let target = &self.target.digest;
        if self.services.is_empty() {
            return pinned == target;
        }
        self.services.iter().all(|rollout| {
            let running = rollout.before.digests.iter().all(|digest| digest == target);
            rollout.before.described.as_ref() == Some(target) && running
        })
    }
}

pub(super) fn open(transition: &mut Transition, request: &RollbackRequest) -> Result<(), Refusal> {
    let now = transition.now;
    let policy = transition.change.after.policy().ok_or(Refusal::NoSuchEnvironment)?.clone();
    let name = transition.change.after.name.clone();
    let environment = &mut transition.change.after.environment;
    let pin = ready(environment)?.clone();
    if pin.number != request.resolved_at {
        return Err(Refusal::PinMoved { from: request.resolved_at, to: pin.number });
    }
    // A promotion in the slot is about to change what is live, so the rollback must stop the
    // promotion even if the target is live now.
    if environment.slot.is_none() && request.already_live(&pin.digest) {
        return Err(Refusal::AlreadyLive { pin: request.target.pin, digest: request.target.digest.clone() });
    }
    let live = live(&request.services, Some(&pin.digest));
    let backup = match live.first() {
        Some(digest) if live.len() == 1 && !request.services.is_empty() => {
            Some(Backup { tag: BackupTag::new(name, now).tag(), digest: digest.clone(), tried: false })
        }
        _ => None,
    };
    // The rollback replaces the promotion, but ECS may still execute calls of the promotion.
    let slot = environment.slot.take();
    let moving_until = slot.as_ref().and_then(|slot| slot.moving_until).filter(|until| *until > now);
    let preempted = slot.map(|slot| slot.digest);
    environment.slot = Some(Slot {
        operation: request.id,
        kind: SlotKind::Rollback,
        digest: request.target.digest.clone(),
        since: now,
        moving_until: None,
    });
    let rollback = Rollback {
        id: request.id,
        target: request.target.clone(),
        to: request.to.clone(),
        asked_by: request.actor.clone(),
        ask_reason: request.reason.as_deref().and_then(reason),
        requested_at: now,
        state: RollbackState::Requested,
        reason: None,
        rollout: Rollout::begun(
            Destination::Digest { digest: request.target.digest.clone() },
            request.services.clone(),
            now + policy.verify.timeout,
        ),
        held_before: environment.hold.clone(),
        preempted,
        preempted_until: moving_until.map(|until| until + LONGEST_OBSERVATION),
        backup,
        pin: None,
    };
    let entry = AuditEntry {
        kind: Kind::Rollback,
        id: Some(rollback.id),
        digest: Some(rollback.target.digest.clone()),
        from: None,
        to: RollbackState::Requested.as_str().to_owned(),
        reason: rollback.ask_reason.clone(),
        actor: request.actor.clone(),
    };
    let reason = HoldReason::Rollback(rollback.target.pin);
    let hold = Hold { since: now, reason, by: rollback.id };
    transition.change.after.operation = Some(Operation::new(Work::Rollback(rollback), now));
    transition.audit(entry);
    transition.hold(hold);
    Ok(())
}

/// Returns whether the rollback is deploying. A rollback that is not deploying ignores observations
/// of services.
pub(super) fn moves(subject: &Subject) -> bool {
    subject.rollback().is_some_and(|rollback| !rollback.state.is_terminal() && rollback.pin.is_none())
}

pub(super) fn backup_tried(transition: &mut Transition) {
    if let Some(backup) = rollback(transition).and_then(|rollback| rollback.backup.as_mut()) {
        backup.tried = true;
    }
}

pub(super) fn tick(transition: &mut Transition) {
    let now = transition.now;
    let verify = transition.change.after.policy().map(|policy| policy.verify.clone());
    let problem = transition.change.after.operation.as_ref().and_then(|operation| operation.problem.clone());
    let Some(rollback) = rollback(transition) else { return };
    if rollback.state.is_terminal() {
        return;
    }
    if let Some(verify) = verify {
        rollback.rollout.time_out(now, &verify, rollback.preempted_until, problem.as_deref());
        return;
    }
    let is_unheard = rollback.rollout.services.iter().any(|service| service.unheard);
    let applied = rollback.rollout.maybe_applied() || is_unheard;
    let state = if applied { RollbackState::Incomplete } else { RollbackState::Failed };
    let reason = RollbackReason::Failed(RolloutFailure::EnvironmentRemoved);
    move_to(transition, state, Some(reason));
}

pub(super) fn settle(transition: &mut Transition) {
    let now = transition.now;
    let Some(rollback) = rollback(transition) else { return };
    let begun = rollback.rollout.services.is_empty() || rollback.rollout.applied_anywhere();
    if rollback.state == RollbackState::Requested && begun {
        exclude_left_digests(transition);
        move_to(transition, RollbackState::InProgress, None);
    }
    let Some(rollback) = self::rollback(transition) else { return };
    if rollback.state.is_terminal() || rollback.pin.is_some() {
        return;
    }
    // If one service cannot roll back, Stablepin still rolls back the other services.
    if !rollback.rollout.is_over() || may_be_overtaken(now, rollback) {
        // Shows the failure of a service even while other services are still in progress.
        rollback.reason = match rollback.rollout.verdict() {
            RolloutVerdict::Failed(failure) => Some(RollbackReason::Failed(failure)),
            RolloutVerdict::Going | RolloutVerdict::Arrived => None,
        };
        return;
    }
    let verdict = rollback.rollout.verdict();
    let applied = rollback.rollout.maybe_applied();
    if applied && rollback.state == RollbackState::Requested {
        exclude_left_digests(transition);
    }
    match verdict {
        RolloutVerdict::Going => {}
        RolloutVerdict::Arrived => complete(transition),
        RolloutVerdict::Failed(failure) if applied => {
            move_to(transition, RollbackState::Incomplete, Some(RollbackReason::Failed(failure)));
        }
        RolloutVerdict::Failed(failure) => end_untouched(transition, failure),
    }
}

/// Ends a rollback that changed nothing, and restores the hold from before the rollback. If a
/// pre-empted promotion may have changed a service, the rollback's own hold is kept instead.
fn end_untouched(transition: &mut Transition, failure: RolloutFailure) {
    let services = transition.change.after.policy().map(|policy| policy.services.clone()).unwrap_or_default();
    let Some(rollback) = rollback(transition) else { return };
    let before = rollback.held_before.take();
    let is_whole = names_all(&services, rollback);
    let (id, pin, left) = (rollback.id, rollback.target.pin, left_behind(rollback, is_whole));
    let reason = RollbackReason::NothingTouched { failure, left: left.clone() };
    move_to(transition, RollbackState::Failed, Some(reason));
    let Some(left) = left else { return transition.unhold(id, before) };
    let hold = transition.change.after.environment.hold.as_mut();
    if let Some(hold) = hold.filter(|hold| hold.by == id) {
        hold.reason = HoldReason::RollbackRefused { pin, left };
    }
}

/// Returns the changes that the pre-empted promotion left on the services. None if no promotion was
/// pre-empted, or if that promotion certainly changed no service.
fn left_behind(rollback: &Rollback, is_whole: bool) -> Option<LeftBehind> {
    let digest = rollback.preempted.as_ref()?;
    let services = &rollback.rollout.services;
    let moved = services.iter().filter(|one| one.before.described.as_ref() == Some(digest));
    let moved: Vec<ServiceName> = moved.map(|one| one.service.clone()).collect();
    let is_running = |one: &ServiceRollout| one.before.digests.contains(digest);
    let is_late = rollback.preempted_until.is_some();
    let certain = moved.is_empty() && is_whole && !is_late && !services.iter().any(is_running);
    (!certain).then(|| LeftBehind { digest: digest.clone(), moved, is_whole, is_late })
}

/// Returns whether the rollback includes all of these services.
fn names_all(services: &[ServiceName], rollback: &Rollback) -> bool {
    let named = |service: &ServiceName| rollback.rollout.services.iter().any(|one| one.service == *service);
    services.iter().all(named)
}

/// Returns whether the pre-empted promotion may still deploy to a service, or may have deployed to
/// a service since the last observation. The rollback keeps the slot until both are impossible.
fn may_be_overtaken(now: Timestamp, rollback: &Rollback) -> bool {
    rollback
        .preempted_until
        .is_some_and(|until| now < until || rollback.rollout.seen_since().is_some_and(|seen| seen < until))
}

/// Excludes from `previous` the digests that the rollback replaces.
fn exclude_left_digests(transition: &mut Transition) {
    let Some(rollback) = rollback(transition) else { return };
    let (services, target) = (rollback.rollout.services.clone(), rollback.target.digest.clone());
    let environment = &mut transition.change.after.environment;
    for digest in intended(&services, environment.pin.as_ref().map(|pin| &pin.digest)) {
        environment.exclude_from_previous(digest);
    }
    environment.allow_as_previous(&target);
}

/// Completes a rollback after every service has reached the target. If the rollback sets a new pin,
/// the rollback completes only after Stablepin has tried to put the stable tag.
fn complete(transition: &mut Transition) {
    let services = transition.change.after.policy().map(|policy| policy.services.clone()).unwrap_or_default();
    let Some(rollback) = rollback(transition) else { return };
    // A rollback of only some services does not change the environment's pin.
    let whole = names_all(&services, rollback);
    let proven = rollback.rollout.services.len();
    let new_pin = NewPin {
        digest: rollback.target.digest.clone(),
        build_tag: rollback.target.build_tag.clone(),
        commit: rollback.target.commit.clone(),
        size_bytes: rollback.target.size_bytes,
        platforms: rollback.target.platforms.clone(),
        by: rollback.id,
        reason: Some(HoldReason::Rollback(rollback.target.pin).to_string()),
        actor: rollback.asked_by.clone(),
        revisions: rollback.rollout.revisions(),
    };
    if whole && !services.is_empty() {
        arrived(transition, new_pin.digest.clone());
    }
    let current = transition.change.after.environment.pin.as_ref().map(|pin| pin.digest.clone());
    let is_pinned = current.as_ref() == Some(&new_pin.digest);
    if is_pinned || !whole {
        let reason = RollbackReason::Proven {
            services: proven,
            digest: new_pin.digest,
            pin: None,
            is_partial: !is_pinned,
            without: None,
        };
        return move_to(transition, RollbackState::Completed, Some(reason));
    }
    transition.pin(new_pin);
    let environment = &mut transition.change.after.environment;
    // The services need no more work, so the next operation may take the slot. Only the stable tag
    // is pending.
    environment.slot = None;
    let number = environment.pin.as_ref().map(|pin| pin.number);
    if let Some(rollback) = self::rollback(transition) {
        rollback.pin = number;
    }
}

pub(super) fn stable_tagged(transition: &mut Transition) {
    let after = &transition.change.after;
    let Some(rollback) = after.rollback() else { return };
    if let Some(pin) = rollback.pin
        && !rollback.state.is_terminal()
    {
        let reason = RollbackReason::Proven {
            services: rollback.rollout.services.len(),
            digest: rollback.target.digest.clone(),
            pin: Some(pin),
            is_partial: false,
            without: after.environment.tag_taken.clone(),
        };
        move_to(transition, RollbackState::Completed, Some(reason));
    }
}

pub(super) fn next_look(now: Timestamp, rollback: &Rollback) -> Option<Timestamp> {
    if rollback.state.is_terminal() {
        return None;
    }
    if rollback.pin.is_some() {
        return Some(now + LONGEST_PAUSE);
    }
    // Pauses of a rollback are short, because people are waiting for production to recover.
    let soon = now + SignedDuration::from_mins(1);
    let times = rollback.rollout.next_time_out(now).into_iter().chain(rollback.preempted_until);
    Some(times.filter(|at| *at > now).fold(soon, Timestamp::min))
}

fn move_to(transition: &mut Transition, state: RollbackState, reason: Option<RollbackReason>) {
    let Some(rollback) = rollback(transition) else { return };
    let from = rollback.state;
    if from == state {
        return;
    }
    rollback.state = state;
    rollback.reason = reason;
    let entry = AuditEntry {
        kind: Kind::Rollback,
        id: Some(rollback.id),
        digest: Some(rollback.target.digest.clone()),
        from: Some(from.as_str().to_owned()),
        to: state.as_str().to_owned(),
        reason: rollback.reason.as_ref().map(ToString::to_string),
        actor: Actor::Stablepin,
    };
    let id = rollback.id;
    if state.is_terminal() {
        transition.free_slot(id);
        transition.leave_services();
    }
    transition.audit(entry);
}

fn rollback(transition: &mut Transition) -> Option<&mut Rollback> {
    match &mut transition.change.after.operation.as_mut()?.work {
        Work::Promotion(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        Work::Rollback(rollback) => Some(rollback),
    }
}
