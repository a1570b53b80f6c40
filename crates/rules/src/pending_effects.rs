//! Effects that a subject's record leaves to do. They are derived from the record, never stored.

use crate::application::EnvironmentPolicy;
use crate::approval::address_changed;
use crate::approval::is_unreachable;
use crate::audit::Actor;
use crate::effect::Effect;
use crate::name::ApproverName;
use crate::records::{
    Direction, Lease, Notice, Operation, Progress, Promotion, PromotionState, Repair, Rollback,
    RollbackState, Rollout, SlotKind, Subject, Work, look_again,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// The failed attempts after which a notification is given up.
pub(crate) const MAX_NOTIFY_FAILURES: u32 = 12;

/// The most links that are replaced per approver.
const MOST_LINKS: u8 = 3;

/// Returns the effects that this holder carries out now. Empty before `wake_at`, or while another
/// holder has the lease.
pub fn pending_effects(now: Timestamp, subject: &Subject, holder: Uuid) -> Vec<Effect> {
    let Some(operation) = &subject.operation else { return Vec::new() };
    let awake = operation.wake_at.is_some_and(|at| at <= now);
    if !awake || leased_to_another(now, operation, holder) {
        return Vec::new();
    }
    remaining_effects(now, subject)
}

/// Returns whether another holder has the lease now.
pub fn leased_to_another(now: Timestamp, operation: &Operation, holder: Uuid) -> bool {
    operation.lease.as_ref().is_some_and(|Lease { holder: other, until }| *other != holder && *until > now)
}

/// Takes the lease for the effects that are carried out now, or returns it if there are none.
/// Another holder's lease stays. While a promotion moves services, the slot records the lease's
/// end, because a rollback that takes the slot reads nothing else.
pub fn take_lease(now: Timestamp, subject: &mut Subject, lease: Lease, carried_out: &[Effect]) {
    let Some(operation) = &mut subject.operation else { return };
    if leased_to_another(now, operation, lease.holder) {
        return;
    }
    let moves = carried_out.iter().any(|effect| matches!(effect, Effect::Deploy(..)));
    // The previous holder was interrupted, so the calls that it began may still arrive.
    let cut_off = operation.lease.as_ref().is_some_and(|had| had.holder != lease.holder);
    if cut_off
        && moves
        && let Some((direction, _)) = operation.rollout()
        && let Some(rollout) = operation.rollout_to_mut(direction)
    {
        let waiting = rollout
            .services
            .iter_mut()
            .filter(|service_rollout| service_rollout.progress == Progress::Waiting);
        waiting.for_each(|service_rollout| service_rollout.unheard = true);
    }
    if let Some(slot) = &mut subject.environment.slot
        && slot.kind == SlotKind::Promotion
        && slot.operation == operation.id()
    {
        slot.moving_until = moves.then_some(lease.until);
    }
    operation.lease = (!carried_out.is_empty()).then_some(lease);
}

/// Returns the effects that remain, whoever carries them out.
pub(crate) fn remaining_effects(now: Timestamp, subject: &Subject) -> Vec<Effect> {
    let Some(operation) = &subject.operation else { return Vec::new() };
    match &operation.work {
        Work::Promotion(promotion) => promotion_effects(now, subject, operation, promotion),
        Work::Rollback(rollback) => rollback_effects(now, subject, operation, rollback),
        Work::Repair(repair) => repair_effects(subject, operation, repair),
        Work::LiveDrift(_) => drift_notice(now, subject, operation).into_iter().collect(),
    }
}

fn promotion_effects(
    now: Timestamp,
    subject: &Subject,
    operation: &Operation,
    promotion: &Promotion,
) -> Vec<Effect> {
    let untagged = subject.build.iter().filter(|build| !build.tagged).cloned().map(Effect::TagBuild);
    let pending_effects = match promotion.state {
        PromotionState::Pending => {
            let naming: Vec<_> = untagged.collect();
            // A mail names the build tag, so it waits until the tag is final.
            if naming.is_empty() { question_effects(now, subject, operation, promotion) } else { naming }
        }
        PromotionState::InProgress if promotion.pin.is_some() => {
            let untagged = untagged.filter(|_| promotion.untaggable().is_none());
            untagged.chain(stable_tag(subject)).chain(current_tag(subject, operation)).collect()
        }
        PromotionState::InProgress => {
            let going_back = promotion.failure.is_some() && !operation.notified.contains(&Notice::GoingBack);
            let rollout = match operation.rollout() {
                None => vec![Effect::Prepare],
                Some((direction, rollout)) => {
                    let until = rollout.bake.as_ref().map(|bake| bake.until);
                    rollout_effects(now, subject, direction, rollout, until)
                }
            };
            // The notice has its own schedule, so that the revert never waits for it.
            let telling = next_notification_at(operation).is_some_and(|at| at <= now);
            let notice = (going_back && telling).then_some(Effect::Notify(Notice::GoingBack));
            rollout.into_iter().chain(untagged).chain(notice).collect()
        }
        PromotionState::Failed | PromotionState::RolledBack => current_tag(subject, operation)
            .into_iter()
            .chain(ended_notice(operation))
            .chain(family_restorations(subject, operation))
            .collect(),
        PromotionState::Completed => {
            tag_taken_notice(operation).into_iter().chain(family_restorations(subject, operation)).collect()
        }
        PromotionState::Cancelled => Vec::new(),
    };
    let telling = next_notification_at(operation).is_some_and(|at| at <= now);
    pending_effects.into_iter().chain(vote_confirmations(promotion).filter(|_| telling)).collect()
}

/// Returns the time of the next notification attempt. None after it was given up.
fn next_notification_at(operation: &Operation) -> Option<Timestamp> {
    (operation.notify_failures < MAX_NOTIFY_FAILURES).then(|| operation.notify_at.unwrap_or(Timestamp::MIN))
}

/// Returns when the next open notification of this promotion is due.
pub(crate) fn notification_due_at(subject: &Subject) -> Option<Timestamp> {
    let operation = subject.operation.as_ref()?;
    let promotion = subject.promotion()?;
    let unread = promotion.state == PromotionState::Pending
        && promotion.unreachable.is_none()
        && !promotion.asked.is_empty()
        && subject.policy().is_some_and(|policy| !crate::approval::approved(subject, policy, promotion));
    (unread || vote_confirmations(promotion).next().is_some())
        .then(|| next_notification_at(operation))
        .flatten()
}

/// Confirms each vote by link to its approver, so that misuse is noticed.
fn vote_confirmations(promotion: &Promotion) -> impl Iterator<Item = Effect> {
    let by_link = promotion.votes.iter().filter(|(name, vote)| {
        matches!(vote.actor, Actor::Link { .. }) && !promotion.vote_confirmations.contains(*name)
    });
    by_link.map(|(name, _)| Effect::ConfirmVote(name.clone()))
}

/// Returns whether this promotion is the newest of those that wait for their approvers to be asked.
pub(crate) fn is_next(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.waiting.last().is_some_and(|next| next.promotion == promotion.id)
}

/// Returns whether this promotion is the newest that was offered to the environment.
pub(crate) fn is_newest(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.latest.as_ref().is_some_and(|latest| latest.promotion == promotion.id)
}

/// Returns when undecided approvers get their one reminder: when a quarter of the time is left, but
/// at most a day before the end. Only the newest build has a reminder; older ones may still be
/// approved.
pub(crate) fn reminder(subject: &Subject, promotion: &Promotion) -> Option<Timestamp> {
    let newest = is_newest(subject, promotion) && !promotion.asked.is_empty();
    let left = promotion.expires_at.duration_since(promotion.opened_at) / 4;
    newest.then(|| promotion.expires_at - left.min(SignedDuration::from_hours(24)))
}

/// Returns the effects of a promotion that waits for approval.
fn question_effects(
    now: Timestamp,
    subject: &Subject,
    operation: &Operation,
    promotion: &Promotion,
) -> Vec<Effect> {
    let Some(policy) =
        subject.policy().filter(|policy| !crate::approval::approved(subject, policy, promotion))
    else {
        return Vec::new();
    };
    let asked = approval_requests(now, subject, policy, promotion);
    // Subscriptions are checked when approvers are asked.
    let asks = !asked.is_empty() || !promotion.asked.is_empty();
    let looks = asks
        && promotion.unreachable.is_none()
        && next_notification_at(operation).is_some_and(|at| at <= now);
    let notices = [
        (Notice::Unreachable, is_unreachable(subject, policy, promotion)),
        (Notice::MailRefused, promotion.mail_refused.is_some()),
    ];
    // The notifications may be refused for the same reason, so that these are given up too.
    let is_pending =
        |notice: &Notice| operation.failures < MAX_NOTIFY_FAILURES && !operation.notified.contains(notice);
    let notices = notices.into_iter().filter(|(notice, holds)| *holds && is_pending(notice));
    let notices = notices.map(|(notice, _)| Effect::Notify(notice));
    asked.into_iter().chain(looks.then_some(Effect::CheckSubscriptions)).chain(notices).collect()
}

fn approval_requests(
    now: Timestamp,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
) -> Vec<Effect> {
    let begun = !promotion.asked.is_empty() || !promotion.votes.is_empty();
    let turn = promotion.ask_at.is_none_or(|at| begun || (at <= now && is_next(subject, promotion)));
    let refused = promotion.mail_refused.as_ref().filter(|refused| now < refused.again_at());
    let unasked = |name: &&ApproverName| match promotion.asked.get(*name) {
        _ if promotion.votes.contains_key(*name) => false,
        _ if refused.is_some_and(|refused| refused.approvers.contains(*name)) => false,
        _ if crate::approval::is_own(subject, policy, promotion, name) => false,
        None => turn,
        Some(asked) if address_changed(subject, name, asked) => asked.before < MOST_LINKS,
        // Only the reader of the old link can have tried the codes, and does not get the new link.
        Some(asked) if asked.burnt => asked.before < MOST_LINKS,
        Some(asked) => reminder(subject, promotion).is_some_and(|at| asked.at < at && at <= now),
    };
    policy.approval.approvers.iter().filter(unasked).cloned().map(Effect::Ask).collect()
}

/// Returns the effect for the environment's current pin, whoever set it. If two promotions race,
/// the later pin wins the tag.
fn stable_tag(subject: &Subject) -> Option<Effect> {
    subject.environment.pin.clone().map(Effect::TagStable)
}

/// Returns the effect for the current tag, unless a later operation has changed what is live.
fn current_tag(subject: &Subject, operation: &Operation) -> Option<Effect> {
    let current = subject.environment.current.as_ref()?;
    (current.by == operation.id() && !current.tagged).then(|| Effect::TagCurrent(current.digest.clone()))
}

/// Returns the repairs of task definition families while no rollout has the slot. A rollout
/// registers revisions itself, and an older operation must not register one after it.
fn family_restorations(subject: &Subject, operation: &Operation) -> impl Iterator<Item = Effect> {
    let is_free = subject.environment.slot.is_none();
    operation.families.iter().filter(move |_| is_free).cloned().map(Effect::RestoreFamily)
}

fn ended_notice(operation: &Operation) -> Option<Effect> {
    (!operation.notified.contains(&Notice::Ended)).then_some(Effect::Notify(Notice::Ended))
}

/// Returns the notice that a tag of the pin or its build could not be put.
fn tag_taken_notice(operation: &Operation) -> Option<Effect> {
    let is_due = operation.unput_tag().is_some() && !operation.notified.contains(&Notice::TagTaken);
    is_due.then_some(Effect::Notify(Notice::TagTaken))
}

/// Returns the effects that put the moved tag back: the stable tag, or the tag of the live digest.
fn repair_effects(subject: &Subject, operation: &Operation, repair: &Repair) -> Vec<Effect> {
    if repair.repaired_at.is_some() {
        return tag_taken_notice(operation).into_iter().collect();
    }
    let environment = &subject.environment;
    let shown = environment.applied == environment.pin.as_ref().map(|pin| pin.number);
    let stable = stable_tag(subject).filter(|_| !shown && environment.tag_taken.is_none());
    // No rollback needs the tag of the live digest, so the tries are limited.
    let current = current_tag(subject, operation).filter(|_| operation.failures < MAX_NOTIFY_FAILURES);
    stable.into_iter().chain(current).collect()
}

/// Returns the notice of a live drift: once for each drift, and at most once an hour.
fn drift_notice(now: Timestamp, subject: &Subject, operation: &Operation) -> Option<Effect> {
    let pending_effects = drift_notice_at(subject).is_some_and(|at| at <= now);
    (pending_effects && !operation.notified.contains(&Notice::LiveDrift))
        .then_some(Effect::Notify(Notice::LiveDrift))
}

/// Returns when people are notified of the drift that this operation reports. None after the drift
/// has ended.
pub(crate) fn drift_notice_at(subject: &Subject) -> Option<Timestamp> {
    let drift = subject.environment.live_drift.as_ref().filter(|drift| drift.is_open())?;
    let operation = subject.operation.as_ref()?;
    let reported = operation.id() == drift.id && !operation.notified.contains(&Notice::LiveDrift);
    reported.then(|| drift.notify_at())
}

fn rollback_effects(
    now: Timestamp,
    subject: &Subject,
    operation: &Operation,
    rollback: &Rollback,
) -> Vec<Effect> {
    match rollback.state {
        RollbackState::Requested | RollbackState::InProgress => {}
        RollbackState::Completed => {
            let tags = current_tag(subject, operation).into_iter().chain(tag_taken_notice(operation));
            return tags.chain(family_restorations(subject, operation)).collect();
        }
        RollbackState::Incomplete | RollbackState::Failed => {
            return ended_notice(operation)
                .into_iter()
                .chain(family_restorations(subject, operation))
                .collect();
        }
    }
    let backup = rollback
        .backup
        .iter()
        .filter(|backup| !backup.tried)
        .map(|backup| Effect::TagBackup { tag: backup.tag.clone(), digest: backup.digest.clone() });
    let tag = rollback.pin.and_then(|_| stable_tag(subject));
    let services = match rollback.pin {
        Some(_) => Vec::new(),
        None => {
            rollout_effects(now, subject, Direction::Forward, &rollback.rollout, rollback.preempted_until)
        }
    };
    services.into_iter().chain(tag).chain(backup).collect()
}

/// Returns the effects of a rollout. Services that have arrived are observed until `until`, and
/// once after it.
fn rollout_effects(
    now: Timestamp,
    subject: &Subject,
    direction: Direction,
    rollout: &Rollout,
    until: Option<Timestamp>,
) -> Vec<Effect> {
    let again = |seen: Timestamp| until.is_some_and(|until| look_again(until, now, seen));
    let mut pending_effects: Vec<Effect> = Vec::new();
    for service_rollout in &rollout.services {
        match &service_rollout.progress {
            Progress::Waiting => {
                pending_effects.push(Effect::Deploy(direction, service_rollout.service.clone()))
            }
            Progress::Deployed | Progress::Returning { .. } => {
                pending_effects.push(Effect::Follow(direction, service_rollout.service.clone()))
            }
            Progress::Proven { at, .. } | Progress::Unproven { at } if again(*at) => {
                pending_effects.push(Effect::Follow(direction, service_rollout.service.clone()))
            }
            Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => {}
        }
    }
    let endpoints = subject.policy().is_some_and(|policy| !policy.verify.endpoints.is_empty());
    if let Some(bake) = &rollout.bake
        && endpoints
        && bake.probed_at.is_none_or(again)
    {
        pending_effects.push(Effect::Probe);
    }
    pending_effects
}
