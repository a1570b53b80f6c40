//! The deployment of a promotion: prepared, deployed, proven and baked, or reverted.

use super::{end, promotion, set_pin};
use crate::application::ServiceName;
use crate::audit::{Actor, Kind};
use crate::one_line::bounded;
use crate::records::{
    Bake, Destination, Hold, Live, Progress, Promotion, PromotionState, Rollout, ServiceRollout, SlotKind,
    Subject,
};
use crate::transition::rollout::{RolloutVerdict, arrived};
use crate::transition::{AuditEntry, Transition};

/// Returns whether the promotion moves services: it has the slot and no pin yet. Only then do
/// observations of services count.
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

/// Begins the rollout: every service can move. What the services run now is kept for a revert.
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
        end(transition, PromotionState::Failed, format!("nothing was touched: {reason}"), Actor::Stablepin);
    }
}

/// Fails a promotion that could not begin within the rollout's timeout. Either the services could
/// not be read, or another deployment did not end.
pub(super) fn fail_if_never_begun(transition: &mut Transition) {
    let after = &transition.change.after;
    let waits =
        after.promotion().is_some_and(|promotion| promotion.rollout.is_none() && promotion.pin.is_none());
    let since = after.environment.slot.as_ref().map(|slot| slot.since);
    let Some((policy, since)) = after.policy().zip(since).filter(|_| waits) else { return };
    if since + policy.verify.timeout > transition.now {
        return;
    }
    let problem = after.operation.as_ref().and_then(|operation| operation.problem.clone());
    let why = problem.unwrap_or_else(|| "nobody knows why".to_owned());
    let reason = format!("nothing was touched: it could not begin in time: {why}");
    end(transition, PromotionState::Failed, reason, Actor::Stablepin);
}

/// Fails the services that take too long, in either direction.
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

/// Ends the promotion because its environment left the configuration. Its services and tags must
/// not be touched any more.
pub(super) fn environment_removed(transition: &mut Transition) {
    let pinned = transition.change.after.promotion().is_some_and(|promotion| promotion.pin.is_some());
    let reason = if pinned {
        "the environment left the configuration before its tags were put"
    } else {
        "the environment left the configuration while it was deployed"
    };
    if !pinned {
        hold(transition, reason);
    }
    end(transition, PromotionState::Failed, reason.to_owned(), Actor::Stablepin);
}

pub(super) fn settle(transition: &mut Transition) {
    let after = &transition.change.after;
    let Some(promotion) = after.promotion().filter(|promotion| promotion.pin.is_none()).cloned() else {
        return;
    };
    if !has_slot(after, &promotion) {
        // The rollback may have ended, and the next promotion begun.
        let rollback = after.environment.slot.as_ref().filter(|slot| slot.kind == SlotKind::Rollback);
        let reason = match (rollback, &after.environment.hold) {
            (Some(slot), _) => {
                format!(
                    "pre-empted by rollback {}: its record says what becomes of the services",
                    slot.operation
                )
            }
            (None, Some(hold)) => {
                format!("pre-empted by a rollback, which has ended. The environment is held: {}", hold.reason)
            }
            (None, None) => {
                "pre-empted by a rollback, which has ended: its record says what became of the services"
                    .to_owned()
            }
        };
        return end(transition, PromotionState::Failed, reason, Actor::Stablepin);
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
        RolloutVerdict::NothingProven => {
            let reason =
                "nothing proven: the desired count is 0 everywhere, so nothing runs that could prove it";
            hold(transition, reason);
            end(transition, PromotionState::Failed, reason.to_owned(), Actor::Stablepin);
        }
        RolloutVerdict::Broken(reason) => go_back(transition, promotion, rollout, reason),
        RolloutVerdict::Taken(reason) => {
            let reason = reason.trim_end_matches('.');
            let reason = format!("{reason}. What runs there now is not ours: it was not touched");
            go_back(transition, promotion, rollout, reason);
        }
    }
}

/// Bakes: every service must stay proven for the configured time, and the endpoints must answer.
/// Then the pin is set.
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

/// Reverts the services, at most once. They go to the pin, or without a pin each to what it ran
/// before.
fn go_back(transition: &mut Transition, promotion: &Promotion, rollout: &Rollout, failure: String) {
    let now = transition.now;
    let Some(timeout) = transition.change.after.policy().map(|policy| policy.verify.timeout) else { return };
    let pin = transition.change.after.environment.pin.clone().filter(|pin| pin.digest != promotion.digest);
    let destination = match &pin {
        Some(pin) => Destination::Digest { digest: pin.digest.clone() },
        None => Destination::Before,
    };
    let must_revert = |service: &&ServiceRollout| match &service.progress {
        // ECS already rolled this service back to the pin.
        Progress::Returned { digest, .. } => {
            pin.as_ref().is_some_and(|pin| digest.as_ref() != Some(&pin.digest))
        }
        // The service already ran this digest before, so there is nothing else to revert to.
        _ if pin.is_none() && service.before.described.as_ref() == Some(&promotion.digest) => false,
        Progress::Failed { .. } => service.started.is_some() || service.if_moved,
        // Another deployment owns this service now.
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
    let to = pin.as_ref().map_or("what ran before".to_owned(), |pin| format!("pin {}", pin.number));
    // AWS's texts end with a full stop, but our sentence continues.
    let failure = bounded(failure.trim_end_matches('.').to_owned());
    if services.is_empty() && !rollout.maybe_applied() {
        return end(
            transition,
            PromotionState::Failed,
            format!("nothing was touched: {failure}"),
            Actor::Stablepin,
        );
    }
    hold(transition, &failure);
    if any_superseded(rollout) && services.is_empty() {
        return end(transition, PromotionState::Failed, failure, Actor::Stablepin);
    }
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
        let (state, reason) = match (ecs && returned, returned) {
            (true, _) => (PromotionState::RolledBack, format!("{failure}. ECS went back by itself, to {to}")),
            (_, true) => (PromotionState::Failed, format!("{failure}. No service was moved")),
            (_, false) => (PromotionState::Failed, format!("{failure}. There is nothing else to go back to")),
        };
        return end(transition, state, reason, Actor::Stablepin);
    }
    transition.audit(AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: Some(PromotionState::InProgress.as_str().to_owned()),
        to: PromotionState::InProgress.as_str().to_owned(),
        reason: Some(format!("going back to {to}: {failure}")),
        actor: Actor::Stablepin,
    });
    if let Some(promotion) = self::promotion(transition) {
        promotion.failure = Some(failure);
        promotion.revert = Some(Rollout::begun(destination, services, now + timeout));
    }
}

/// Returns whether another deployment replaced ours on some service.
fn any_superseded(rollout: &Rollout) -> bool {
    rollout.services.iter().any(|service| matches!(service.progress, Progress::Superseded { .. }))
}

fn back(transition: &mut Transition, promotion: &Promotion, revert: &Rollout) {
    if !revert.is_over() {
        return;
    }
    let failure = promotion.failure.clone().unwrap_or_default();
    match revert.verdict() {
        RolloutVerdict::Going => {}
        RolloutVerdict::NothingProven => {
            let reason = format!("{failure}. Every service is back, but nothing runs that could prove it");
            end(transition, PromotionState::Failed, reason, Actor::Stablepin);
        }
        RolloutVerdict::Arrived => {
            let is_returned =
                |service: &ServiceRollout| matches!(service.progress, Progress::Returned { .. });
            let moved = !revert.services.iter().all(is_returned);
            let there = promotion.rollout.iter().flat_map(|rollout| &rollout.services);
            let by_ecs = there.clone().any(is_returned);
            let taken = promotion.rollout.as_ref().is_some_and(any_superseded);
            let (state, what) = match (taken, moved || by_ecs) {
                (false, true) => (PromotionState::RolledBack, "Every service is back"),
                (false, false) => (PromotionState::Failed, "No service was moved"),
                (true, true) => (PromotionState::Failed, "Every other service is back"),
                (true, false) => (PromotionState::Failed, "No other service was moved"),
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
            end(transition, state, format!("{failure}. {what}"), Actor::Stablepin);
        }
        RolloutVerdict::Broken(reason) | RolloutVerdict::Taken(reason) => {
            let reason = format!("{failure}. Going back did not work: {reason}");
            end(transition, PromotionState::Failed, reason, Actor::Stablepin);
        }
    }
}

/// Sets a hold: automation leaves the environment alone from now on.
fn hold(transition: &mut Transition, reason: &str) {
    let since = transition.now;
    let Some(by) = transition.change.after.promotion().map(|promotion| promotion.id) else { return };
    transition.hold(Hold { since, reason: reason.to_owned(), by });
}
