//! Promotions. A push or a signed request opens a promotion, approvers vote on it, and success sets
//! a pin.

mod copy;
mod decide;
pub(super) mod deploy;
mod opening;
mod readiness;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{AuditEntry, LONGEST_PAUSE, NewPin, Transition};
use crate::application::{EnvironmentPolicy, ServiceName};
use crate::approval::{approved, decided_by, is_own};
use crate::audit::{Actor, Kind};
use crate::caller::{Caller, keep_pusher};
use crate::conditions::{Condition, held, is_blocked, reports_due_at, unmet};
use crate::containing_index::ContainingIndex;
use crate::name::ApproverName;
use crate::one_line::{LONGEST_TEXT, clause};
use crate::pending_effects::reminder;
use crate::pin_number::PinNumber;
use crate::records::{
    Aftermath, ApprovalRequest, Blocker, Environment, Promotion, PromotionReason, PromotionState, Question,
    RefusedBuildTag, RefusedMail, RolloutFailure, Slot, SlotKind, Subject, TokenHash, Work,
};

pub(super) use copy::{copied, copy_failed, copying};
pub use decide::{Decision, Form, may_decide};
pub(super) use decide::{decide, withdraw, wrong_code};
pub use opening::{Opening, joined};
pub(super) use opening::{build_tag, open};
pub(super) use readiness::{
    checks_read, checks_reported, earlier_pin_read, pin_changed, run_named, validated,
};

/// Records that ECR refused the build tag. Returns whether the refusal is handled. After the second
/// refusal, a pending promotion fails, because the approval mail names the build tag, and a pinned
/// promotion completes without the tag.
pub(super) fn build_tag_refused(transition: &mut Transition, reason: &str) -> bool {
    let at = transition.now;
    let Some(promotion) = promotion(transition).filter(|one| !one.state.is_terminal()) else { return false };
    let times = promotion.build_tag_refused.as_ref().map_or(1, |refused| refused.times.saturating_add(1));
    let refused = RefusedBuildTag { times, reason: clause(reason, LONGEST_TEXT), at };
    let is_lasting = refused.is_lasting();
    promotion.build_tag_refused = Some(refused);
    if promotion.state != PromotionState::Pending || !is_lasting {
        return promotion.untaggable().is_some();
    }
    let failure = RolloutFailure::Reported(clause(reason, LONGEST_TEXT));
    fail(transition, PromotionState::Failed, failure, Aftermath::Untouched);
    true
}

pub(super) fn asked(transition: &mut Transition, approver: &ApproverName, token: &TokenHash, mail: &str) {
    let at = transition.now;
    let after = &mut transition.change.after;
    let first =
        after.promotion().filter(|promotion| promotion.ask_at.is_some() && promotion.asked.is_empty());
    if let Some((promotion, occurrence)) = first.map(|promotion| (promotion.id, promotion.occurrence.clone()))
    {
        after.environment.asked.push(Question { at, promotion });
        // Waiting promotions with an older push do not request approval any more.
        after.environment.waiting.retain(|waiting| waiting.occurrence > occurrence);
    }
    if let Some(promotion) = promotion(transition) {
        if let Some(refused) = &mut promotion.mail_refused {
            refused.approvers.remove(approver);
        }
        promotion.mail_refused.take_if(|refused| refused.approvers.is_empty());
        let before = match promotion.asked.get(approver) {
            Some(asked) if asked.token == *token => return,
            Some(asked) => asked.before.saturating_add(1),
            None => 0,
        };
        let mail = Some(mail.to_owned());
        promotion.asked.insert(
            approver.clone(),
            ApprovalRequest { token: token.clone(), at, burnt: false, before, mail },
        );
    }
}

/// Records that SNS refused a mail, if a previous attempt failed too. Returns false if the refusal
/// counts as a temporary problem.
pub(super) fn mail_refused(transition: &mut Transition, approver: &ApproverName, reason: &str) -> bool {
    let at = transition.now;
    // Several refusals in one attempt count as one failure.
    let this = u32::from(transition.failed);
    let again = transition.change.after.operation.as_ref().is_some_and(|operation| operation.failures > this);
    let pending = |one: &&mut Promotion| one.state == PromotionState::Pending;
    let Some(promotion) = promotion(transition).filter(pending) else { return true };
    let refused = promotion.mail_refused.as_ref();
    let known = refused.is_some_and(|refused| refused.at == at || refused.approvers.contains(approver));
    if !again && !known {
        return false;
    }
    let mut approvers = promotion.mail_refused.take().map(|refused| refused.approvers).unwrap_or_default();
    approvers.insert(approver.clone());
    promotion.mail_refused = Some(RefusedMail { approvers, reason: clause(reason, LONGEST_TEXT), at });
    true
}

/// Removes the refused mails of approvers who need no mail any more: they have voted, are no longer
/// approvers of the environment, or must not approve their own build.
fn forget_refused_mails(transition: &mut Transition) {
    let after = &transition.change.after;
    let (Some(policy), Some(promotion)) = (after.policy(), after.promotion()) else { return };
    let Some(mut refused) = promotion.mail_refused.clone() else { return };
    refused.approvers.retain(|name| {
        policy.approval.approvers.contains(name)
            && !promotion.votes.contains_key(name)
            && !is_own(after, policy, promotion, name)
    });
    if let Some(promotion) = self::promotion(transition) {
        promotion.mail_refused = Some(refused).filter(|refused| !refused.approvers.is_empty());
    }
}

/// Records a pusher that CloudTrail reported after the promotion was opened. With the four-eyes
/// rule, an approval by this pusher does not count any more.
pub(super) fn attribute(transition: &mut Transition, caller: &Caller) {
    let open = |promotion: &&mut Promotion| !promotion.state.is_terminal();
    let Some(promotion) = promotion(transition).filter(open) else { return };
    if !keep_pusher(&mut promotion.pushers, &caller.arn) {
        return;
    }
    audit_news(transition, "who pushed it, as CloudTrail recorded", caller.actor());
}

/// Records news about the promotion that does not change the promotion's state.
fn audit_news(transition: &mut Transition, reason: &str, actor: Actor) {
    let Some(promotion) = transition.change.after.promotion() else { return };
    let state = promotion.state.as_str().to_owned();
    let entry = AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: Some(state.clone()),
        to: state,
        reason: Some(reason.to_owned()),
        actor,
    };
    transition.audit(entry);
}

/// Cancels a promotion if its image belongs to an image index of the same release. A promotion with
/// a vote or a signed request continues, because a pusher must not be able to cancel votes or
/// requests by pushing an image index.
pub(super) fn contained(transition: &mut Transition, index: &ContainingIndex) {
    let Some(promotion) = transition.change.after.promotion() else { return };
    let unanswered = promotion.state == PromotionState::Pending
        && promotion.votes.is_empty()
        && promotion.asked_by.is_none();
    let same_release = promotion.digest != index.digest && index.includes_push(promotion.occurrence.at);
    if unanswered && same_release {
        let reason = PromotionReason::PartOfIndex(index.clone());
        end(transition, PromotionState::Cancelled, reason, Actor::Push);
    }
}

pub(super) fn tick(transition: &mut Transition) {
    match transition.change.after.promotion().map(|promotion| promotion.state) {
        Some(PromotionState::Pending) => expire(transition),
        Some(PromotionState::InProgress) if transition.change.after.policy().is_none() => {
            deploy::environment_removed(transition)
        }
        Some(PromotionState::InProgress) => {
            copy::fail_if_stalled(transition);
            deploy::fail_if_never_begun(transition);
            deploy::time_out(transition);
        }
        Some(
            PromotionState::Completed
            | PromotionState::Failed
            | PromotionState::RolledBack
            | PromotionState::Cancelled,
        )
        | None => {}
    }
}

fn expire(transition: &mut Transition) {
    let now = transition.now;
    let after = &transition.change.after;
    let Some(promotion) = after.promotion() else { return };
    let reason = match after.policy() {
        None => PromotionReason::EnvironmentRemoved,
        Some(policy) => {
            let unmet = unmet(now, after, policy, promotion);
            if let Some(pin) = superseded(&after.environment, promotion) {
                PromotionReason::Superseded(pin)
            } else if promotion.expires_at > now {
                return;
            } else if unmet.iter().any(|one| promotion.ready_at.is_none() || !one.is_repeated_read()) {
                PromotionReason::Expired(still_unmet(after, unmet))
            } else if !approved(after, policy, promotion) {
                PromotionReason::Expired(Blocker::Decision)
            } else if !unmet.is_empty() && failures(after) >= MOST_FAILED_READS {
                PromotionReason::Expired(still_unmet(after, unmet))
            } else if let Some(freeze) = &after.environment.freeze {
                let reason = freeze.reason.clone();
                PromotionReason::Expired(Blocker::Freeze(reason))
            } else if let Some(hold) = held(after, policy, promotion) {
                let reason = hold.reason.clone();
                PromotionReason::Expired(Blocker::Hold(reason))
            } else {
                // An approved promotion waits for a repeated read, which ends after too many
                // failures, or for another operation, which has its own deadline.
                return;
            }
        }
    };
    let waited_for_conditions = matches!(reason, PromotionReason::Expired(Blocker::Conditions { .. }));
    let state = if waited_for_conditions { PromotionState::Failed } else { PromotionState::Cancelled };
    end(transition, state, reason, Actor::Stablepin);
}

/// The number of failed reads after which an approved promotion that has expired fails.
const MOST_FAILED_READS: u32 = 5;

fn failures(subject: &Subject) -> u32 {
    subject.operation.as_ref().map_or(0, |operation| operation.failures)
}

/// Returns the conditions that an expired promotion waited for, with the last error of a read.
fn still_unmet(subject: &Subject, unmet: Vec<Condition>) -> Blocker {
    let problem = subject.operation.as_ref().and_then(|operation| operation.problem.clone());
    let unmet = unmet.iter().map(ToString::to_string).collect();
    Blocker::Conditions { unmet, problem: problem.map(|problem| clause(&problem, LONGEST_TEXT)) }
}

pub(super) fn settle(transition: &mut Transition) {
    if let Some(build) = transition.change.after.build.clone()
        && let Some(promotion) = promotion(transition)
    {
        promotion.build = build;
    }
    match transition.change.after.promotion().map(|promotion| promotion.state) {
        Some(PromotionState::Pending) => {
            forget_refused_mails(transition);
            readiness::fail_on_a_check(transition);
            readiness::begin_to_ask(transition);
            begin(transition);
        }
        Some(PromotionState::InProgress) => deploy::settle(transition),
        Some(
            PromotionState::Completed
            | PromotionState::Failed
            | PromotionState::RolledBack
            | PromotionState::Cancelled,
        )
        | None => {}
    }
    readiness::note_conditions(transition);
}

/// The time after which a promotion that waits to request approval checks again whether it is next.
const CHECK_TURN_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Begins an approved promotion if nothing blocks it, and cancels a superseded promotion. Takes the
/// slot for a copy or a deployment. If the environment needs neither, sets the pin at once.
fn begin(transition: &mut Transition) {
    let Some(policy) = transition.change.after.policy().cloned() else { return };
    let is_open = |one: &&Promotion| !one.state.is_terminal();
    let Some(promotion) = transition.change.after.promotion().filter(is_open).cloned() else { return };
    if let Some(pin) = superseded(&transition.change.after.environment, &promotion) {
        let reason = PromotionReason::Superseded(pin);
        return end(transition, PromotionState::Cancelled, reason, Actor::Stablepin);
    }
    let after = &transition.change.after;
    let free = !is_blocked(after, &policy, &promotion);
    let is_ready = unmet(transition.now, after, &policy, &promotion).is_empty();
    if !is_ready || !approved(after, &policy, &promotion) || !free {
        return;
    }
    let actor = decided_by(after, &policy, &promotion).0;
    transition.release(&actor);
    let environment = &mut transition.change.after.environment;
    let must_copy = policy.repository != promotion.build.repository;
    if policy.is_deployed() || must_copy {
        environment.slot = Some(Slot {
            operation: promotion.id,
            kind: SlotKind::Promotion,
            digest: promotion.digest.clone(),
            since: transition.now,
            moving_until: None,
        });
    }
    move_to(transition, PromotionState::InProgress, None, actor);
    if must_copy {
        copy::begin(transition);
    } else if !policy.is_deployed() {
        set_pin(transition, &policy, Default::default());
    }
}

/// Sets the pin for an approved promotion. If Stablepin deploys to the environment, the services
/// must be proven first.
pub(super) fn set_pin(
    transition: &mut Transition,
    policy: &EnvironmentPolicy,
    revisions: BTreeMap<ServiceName, String>,
) {
    let Some(promotion) = transition.change.after.promotion().cloned() else { return };
    let build = promotion.build.clone();
    let (actor, reason) = decided_by(&transition.change.after, policy, &promotion);
    transition.pin(NewPin {
        digest: promotion.digest.clone(),
        build_tag: build.build_tag,
        commit: build.commit,
        size_bytes: build.size_bytes,
        platforms: build.platforms,
        by: promotion.id,
        reason: Some(reason.unwrap_or_else(|| "promotion approved".to_owned())),
        actor,
        revisions,
    });
    transition.free_slot(promotion.id);
    // A record from an older version of Stablepin may contain an uncorrected event time.
    let occurrence = promotion.occurrence.placed(transition.now);
    let environment = &mut transition.change.after.environment;
    environment.watermark =
        Some(environment.watermark.take().map_or(occurrence.clone(), |mark| mark.max(occurrence)));
    let number = environment.pin.as_ref().map(|pin| pin.number);
    if let Some(promotion) = self::promotion(transition) {
        promotion.pin = number;
    }
}

pub(super) fn stable_tagged(transition: &mut Transition) {
    let tagged = transition.change.after.build.as_ref().is_none_or(|build| build.tagged);
    let Some(promotion) = transition.change.after.promotion() else { return };
    let untaggable = promotion.untaggable();
    if promotion.state == PromotionState::InProgress
        && let Some(pin) = promotion.pin
        && (tagged || untaggable.is_some())
    {
        let taken = transition.change.after.environment.tag_taken.clone();
        let reason = PromotionReason::Pinned { pin, without: untaggable.into_iter().chain(taken).collect() };
        end(transition, PromotionState::Completed, reason, Actor::Stablepin);
    }
}

pub(super) fn next_look(now: Timestamp, promotion: &Promotion, subject: &Subject) -> Option<Timestamp> {
    match promotion.state {
        PromotionState::Pending => {
            let waiting = subject.policy().is_some_and(|policy| approved(subject, policy, promotion));
            let soon = now + SignedDuration::from_mins(1);
            // The promotion requests approval when no promotion with a newer push waits any more.
            let waits = subject.environment.waiting.iter().any(|waiting| waiting.promotion == promotion.id);
            let again = |at| if at > now { at } else { now + CHECK_TURN_EVERY };
            let asking = promotion.ask_at.filter(|_| waits).map(again);
            let mailing = promotion.mail_refused.as_ref().map(RefusedMail::again_at).filter(|at| *at > now);
            let expiry = asking.into_iter().chain(mailing).fold(promotion.expires_at, Timestamp::min);
            let unmet = subject.policy().map(|policy| unmet(now, subject, policy, promotion));
            if let Some(unmet) = unmet.filter(|unmet| !unmet.is_empty()) {
                let condition = reports_due_at(promotion, &unmet).map(|at| at.max(now));
                return Some(condition.into_iter().fold(expiry, Timestamp::min));
            }
            let reminder = reminder(subject, promotion).filter(|at| *at > now);
            // An approved promotion may wait for a rollback to end, even after the promotion's
            // expiry.
            Some(if let Some(reminder) = reminder.filter(|_| !waiting) {
                reminder.min(expiry)
            } else if waiting && expiry > now {
                soon.min(expiry)
            } else if waiting {
                soon
            } else {
                expiry
            })
        }
        // The pin is set and only its tags are pending. The pauses between failed attempts grow.
        PromotionState::InProgress if promotion.pin.is_some() => Some(now + LONGEST_PAUSE),
        PromotionState::InProgress => {
            let soon = now + SignedDuration::from_mins(1);
            let rollout = promotion.revert.as_ref().or(promotion.rollout.as_ref());
            let times = rollout.map(|rollout| {
                let baked = rollout.bake.as_ref().map(|bake| bake.until).filter(|at| *at > now);
                rollout.next_time_out(now).into_iter().chain(baked)
            });
            Some(times.into_iter().flatten().fold(soon, Timestamp::min))
        }
        PromotionState::Completed
        | PromotionState::Failed
        | PromotionState::RolledBack
        | PromotionState::Cancelled => None,
    }
}

/// Returns the current pin if a later push has already been pinned.
fn superseded(environment: &Environment, promotion: &Promotion) -> Option<PinNumber> {
    let mark = environment.watermark.as_ref()?;
    let pin = environment.pin.as_ref()?;
    (promotion.occurrence < *mark).then_some(pin.number)
}

pub(super) fn end(transition: &mut Transition, state: PromotionState, reason: PromotionReason, actor: Actor) {
    move_to(transition, state, Some(reason), actor);
}

fn fail(transition: &mut Transition, state: PromotionState, failure: RolloutFailure, aftermath: Aftermath) {
    end(transition, state, PromotionReason::Failed { failure, aftermath }, Actor::Stablepin);
}

pub(super) fn move_to(
    transition: &mut Transition,
    state: PromotionState,
    reason: Option<PromotionReason>,
    actor: Actor,
) {
    let Some(promotion) = promotion(transition) else { return };
    let from = promotion.state;
    if from == state {
        return;
    }
    promotion.state = state;
    promotion.reason = reason;
    let entry = AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: Some(from.as_str().to_owned()),
        to: state.as_str().to_owned(),
        reason: promotion.reason.as_ref().map(ToString::to_string),
        actor,
    };
    let id = promotion.id;
    if state.is_terminal() {
        transition.free_slot(id);
        transition.leave_services();
        transition.change.after.environment.waiting.retain(|waiting| waiting.promotion != id);
    }
    transition.change.after.environment.asked.retain(|question| question.promotion != id);
    // Failures in the previous state do not count in the new state.
    if let Some(operation) = &mut transition.change.after.operation {
        operation.failures = 0;
    }
    if let Some(latest) = &mut transition.change.after.environment.latest
        && latest.promotion == id
    {
        latest.open = false;
    }
    transition.audit(entry);
}

pub(super) fn promotion(transition: &mut Transition) -> Option<&mut Promotion> {
    match &mut transition.change.after.operation.as_mut()?.work {
        Work::Promotion(promotion) => Some(promotion),
        Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
    }
}
