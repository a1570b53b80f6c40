//! The deployment of a promotion, from the first read of the services to the pin or the revert.

use super::copy;
use super::{end, fail, promotion, set_pin};
use crate::application::ServiceName;
use crate::audit::{Actor, Kind};
use crate::one_line::{LONGEST_TEXT, clause};
use crate::records::{
    Aftermath, Bake, Destination, Hold, HoldReason, Live, Progress, Promotion, PromotionReason,
    PromotionState, Rollout, RolloutFailure, ServiceRollout, SlotKind, Subject, revert_goal,
};
use crate::transition::rollout::{RolloutVerdict, arrived};
use crate::transition::{AuditEntry, Transition};

/// Returns whether the promotion is deploying: it has the slot and has not yet set a pin. A
/// promotion that is not deploying ignores observations of services.
pub(in crate::transition) fn moves(subject: &Subject) -> bool {
    subject.promotion().is_some_and(|promotion| {
        promotion.state == PromotionState::InProgress
            && promotion.pin.is_none()
            && has_slot(subject, promotion)
    })
}

fn has_slot(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.slot.as_ref().is_some_and(|slot| slot.operation == promotion.id)
}

/// Begins the rollout, because Stablepin can deploy to every service. Stores what each service runs
/// now, for a later revert.
pub(in crate::transition) fn prepared(transition: &mut Transition, live: &[(ServiceName, Live)]) {
    let now = transition.now;
    let Some(timeout) = transition.change.after.policy().map(|policy| policy.verify.timeout) else { return };
    let Some(promotion) = promotion(transition).filter(|promotion| promotion.rollout.is_none()) else {
        return;
    };
    let waiting =
        |(service, before): &(ServiceName, Live)| ServiceRollout::waiting(service.clone(), before.clone());
    promotion.rollout = Some(Rollout::begun(
        Destination::Digest { digest: promotion.digest.clone() },
        live.iter().map(waiting).collect(),
        now + timeout,
    ));
}

pub(in crate::transition) fn unfit(transition: &mut Transition, reason: &str) {
    if promotion(transition).is_some_and(|promotion| promotion.rollout.is_none()) {
        let failure = RolloutFailure::Reported(clause(reason, LONGEST_TEXT));
        fail(transition, PromotionState::Failed, failure, Aftermath::Untouched);
    }
}

/// Fails a promotion whose rollout did not begin within the timeout, because Stablepin could not
/// read the services or another deployment did not end.
pub(super) fn fail_if_never_begun(transition: &mut Transition) {
    let after = &transition.change.after;
    let waits =
        after.promotion().is_some_and(|promotion| promotion.rollout.is_none() && promotion.pin.is_none());
    // The time of a copy does not count, even if a new application file made the copy needless.
    let copy = after.promotion().and_then(|promotion| promotion.copy.as_ref());
    let copied_at = copy.map(|copy| copy.done_at.unwrap_or(copy.advanced_at));
    let since = copied_at.max(after.environment.slot.as_ref().map(|slot| slot.since));
    let waits = waits && !after.must_copy();
    let Some((policy, since)) = after.policy().zip(since).filter(|_| waits) else { return };
    if since + policy.verify.timeout > transition.now {
        return;
    }
    let problem = after.operation.as_ref().and_then(|operation| operation.problem.clone());
    fail(transition, PromotionState::Failed, RolloutFailure::NotBegun(problem), Aftermath::Untouched);
}

/// Fails the services that have exceeded their deadline, in the revert if it has begun, otherwise
/// in the rollout.
pub(super) fn time_out(transition: &mut Transition) {
    let now = transition.now;
    let Some(verify) = transition.change.after.policy().map(|policy| policy.verify.clone()) else { return };
    let problem = transition.change.after.operation.as_ref().and_then(|operation| operation.problem.clone());
    let Some(promotion) = promotion(transition) else { return };
    if let Some(rollout) = promotion.revert.as_mut().or(promotion.rollout.as_mut()) {
        let until = rollout.bake.as_ref().map(|bake| bake.until);
        rollout.time_out(now, &verify, until, problem.as_deref());
    }
}

/// Ends the promotion because its environment was removed from the configuration. Stablepin must
/// not change the services and tags of a removed environment.
pub(super) fn environment_removed(transition: &mut Transition) {
    let pinned = transition.change.after.promotion().is_some_and(|promotion| promotion.pin.is_some());
    if pinned {
        let reason = PromotionReason::EnvironmentRemoved;
        return end(transition, PromotionState::Failed, reason, Actor::Stablepin);
    }
    hold(transition, RolloutFailure::EnvironmentRemoved);
    let failure = RolloutFailure::EnvironmentRemoved;
    fail(transition, PromotionState::Failed, failure, Aftermath::Unchanged);
}

pub(super) fn settle(transition: &mut Transition) {
    let after = &transition.change.after;
    let Some(promotion) = after.promotion().filter(|promotion| promotion.pin.is_none()).cloned() else {
        return;
    };
    if !has_slot(after, &promotion) {
        // The rollback that pre-empted this promotion may have ended already, and the next
        // promotion may have begun.
        let rollback = after.environment.slot.as_ref().filter(|slot| slot.kind == SlotKind::Rollback);
        let reason = PromotionReason::Preempted {
            rollback: rollback.map(|slot| slot.operation),
            hold: after.environment.hold.as_ref().map(|hold| hold.reason.clone()),
        };
        return end(transition, PromotionState::Failed, reason, Actor::Stablepin);
    }
    if copy::fail_if_frozen(transition, &promotion) {
        return;
    }
    copy::begin(transition);
    let after = &transition.change.after;
    let policy = after.policy().filter(|policy| !policy.is_deployed() && !after.must_copy()).cloned();
    if let Some(policy) = policy.filter(|_| promotion.rollout.is_none()) {
        return set_pin(transition, &policy, Default::default());
    }
    match (&promotion.rollout, &promotion.revert) {
        (None, _) => {}
        (Some(rollout), None) => forward(transition, &promotion, rollout),
        (Some(_), Some(revert)) => back(transition, &promotion, revert),
    }
}

fn forward(transition: &mut Transition, promotion: &Promotion, rollout: &Rollout) {
    match rollout.verdict() {
        RolloutVerdict::Going => {}
        RolloutVerdict::Arrived => bake(transition, promotion, rollout),
        RolloutVerdict::Failed(failure @ RolloutFailure::NothingProven) => {
            hold(transition, failure.clone());
            fail(transition, PromotionState::Failed, failure, Aftermath::Unchanged);
        }
        RolloutVerdict::Failed(failure) => go_back(transition, promotion, rollout, failure),
    }
}

/// Begins or continues the bake: every service must be proven for the configured time, and every
/// endpoint must pass its probes. Sets the pin at the end of the bake.
fn bake(transition: &mut Transition, promotion: &Promotion, rollout: &Rollout) {
    let now = transition.now;
    let Some(policy) = transition.change.after.policy().cloned() else { return };
    let since = rollout.seen_since().unwrap_or(now);
    let bake = rollout.bake.clone().unwrap_or(Bake {
        until: since + policy.verify.bake,
        probed_at: None,
        failed: None,
    });
    let probed = policy.verify.endpoints.is_empty() || bake.probed_at.is_some_and(|at| at >= bake.until);
    let baked = now >= bake.until && since >= bake.until && probed;
    if let Some(rollout) = self::promotion(transition).and_then(|promotion| promotion.rollout.as_mut()) {
        rollout.bake = Some(bake);
    }
    if baked {
        set_pin(transition, &policy, rollout.revisions());
        arrived(transition, promotion.digest.clone());
    }
}

/// Begins the revert, or ends the promotion if no service needs a revert. The services return to
/// the pin. If no pin exists, or if the pin has the promotion's own digest, they return to their
/// previous task definitions. A promotion reverts at most once.
fn go_back(transition: &mut Transition, promotion: &Promotion, rollout: &Rollout, failure: RolloutFailure) {
    let now = transition.now;
    let Some(timeout) = transition.change.after.policy().map(|policy| policy.verify.timeout) else { return };
    let pin = transition.change.after.environment.pin.clone().filter(|pin| pin.digest != promotion.digest);
    let destination = match &pin {
        Some(pin) => Destination::Digest { digest: pin.digest.clone() },
        None => Destination::Before,
    };
    let must_revert = |service: &&ServiceRollout| match &service.progress {
        // If ECS has already rolled the service back to the pin, or if there is no pin to return
        // to, no revert is necessary.
        Progress::Returned { digest, .. } => {
            pin.as_ref().is_some_and(|pin| digest.as_ref() != Some(&pin.digest))
        }
        // The service ran this digest before the promotion, so no other image is known.
        _ if pin.is_none() && service.before.described.as_ref() == Some(&promotion.digest) => false,
        Progress::Failed { .. } => service.started.is_some() || service.if_moved,
        // Another deployment replaced Stablepin's deployment, so Stablepin must not change this
        // service.
        Progress::Superseded { .. } => false,
        Progress::Waiting
        | Progress::Deployed
        | Progress::Proven { .. }
        | Progress::Unproven { .. }
        | Progress::Returning { .. } => true,
    };
    let services: Vec<ServiceRollout> = rollout
        .services
        .iter()
        .filter(must_revert)
        .map(|service_rollout| ServiceRollout {
            if_moved: service_rollout.started.is_none(),
            ..ServiceRollout::waiting(service_rollout.service.clone(), service_rollout.before.clone())
        })
        .collect();
    if services.is_empty() && !rollout.maybe_applied() {
        return fail(transition, PromotionState::Failed, failure, Aftermath::Untouched);
    }
    hold(transition, failure.clone());
    if failure.is_superseded() && services.is_empty() {
        return fail(transition, PromotionState::Failed, failure, Aftermath::Unchanged);
    }
    let pin = pin.map(|pin| pin.number);
    if rollout.applied_anywhere() {
        transition.change.after.environment.exclude_from_previous(promotion.digest.clone());
    }
    if services.is_empty() {
        let returned = rollout.services.iter().all(|service| match &service.progress {
            Progress::Returned { .. } => true,
            Progress::Failed { .. } => service.started.is_none(),
            Progress::Waiting
            | Progress::Deployed
            | Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returning { .. }
            | Progress::Superseded { .. } => false,
        });
        let ecs =
            rollout.services.iter().any(|service| matches!(service.progress, Progress::Returned { .. }));
        let (state, aftermath) = match (ecs && returned, returned) {
            (true, _) => (PromotionState::RolledBack, Aftermath::RevertedByEcs(pin)),
            (_, true) => (PromotionState::Failed, Aftermath::NotMoved),
            (_, false) => (PromotionState::Failed, Aftermath::NoWayBack),
        };
        return fail(transition, state, failure, aftermath);
    }
    transition.audit(AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: Some(PromotionState::InProgress.as_str().to_owned()),
        to: PromotionState::InProgress.as_str().to_owned(),
        reason: Some(format!("rolling back to {}: {failure}", revert_goal(pin))),
        actor: Actor::Stablepin,
    });
    if let Some(promotion) = self::promotion(transition) {
        promotion.failure = Some(failure);
        promotion.revert = Some(Rollout::begun(destination, services, now + timeout));
    }
}

fn back(transition: &mut Transition, promotion: &Promotion, revert: &Rollout) {
    if !revert.is_over() {
        return;
    }
    let Some(failure) = promotion.failure.clone() else { return };
    match revert.verdict() {
        RolloutVerdict::Going => {}
        RolloutVerdict::Failed(RolloutFailure::NothingProven) => {
            fail(transition, PromotionState::Failed, failure, Aftermath::RevertedUnproven);
        }
        RolloutVerdict::Arrived => {
            let is_returned =
                |service: &ServiceRollout| matches!(service.progress, Progress::Returned { .. });
            let moved = !revert.services.iter().all(ServiceRollout::is_unmoved);
            let there = promotion.rollout.iter().flat_map(|rollout| &rollout.services);
            let by_ecs = there.clone().any(is_returned);
            let taken = failure.is_superseded();
            let (state, aftermath) = match (taken, moved || by_ecs) {
                (false, true) => (PromotionState::RolledBack, Aftermath::Reverted),
                (true, true) => (PromotionState::Failed, Aftermath::Reverted),
                (_, false) => (PromotionState::Failed, Aftermath::NotMoved),
            };
            if let Destination::Digest { digest } = &revert.destination
                && moved
                && !taken
            {
                arrived(transition, digest.clone());
            }
            if !moved && !by_ecs && !taken {
                transition.unhold(promotion.id, None);
            }
            fail(transition, state, failure, aftermath);
        }
        RolloutVerdict::Failed(revert) => {
            let aftermath = Aftermath::RevertFailed(revert);
            fail(transition, PromotionState::Failed, failure, aftermath);
        }
    }
}

/// Sets a hold. Until its release, automation does not change the environment.
fn hold(transition: &mut Transition, failure: RolloutFailure) {
    let since = transition.now;
    let Some(by) = transition.change.after.promotion().map(|promotion| promotion.id) else { return };
    transition.hold(Hold { since, reason: HoldReason::ReleaseFailed(failure), by });
}
