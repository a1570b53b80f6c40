//! Pending effects of a subject. They are computed from the subject's records. No effect is stored.

use crate::application::{EnvironmentPolicy, Latest};
use crate::approval::address_changed;
use crate::approval::is_unreachable;
use crate::audit::Actor;
use crate::conditions::{Condition, is_due, unmet};
use crate::effect::Effect;
use crate::image::ImageDigest;
use crate::name::ApproverName;
use crate::records::{
    Direction, Lease, Notice, Operation, Progress, Promotion, PromotionReason, PromotionState, Repair,
    Rollback, RollbackState, Rollout, SlotKind, Subject, Work, look_again,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// The number of failed attempts after which Stablepin gives up a notification.
pub(crate) const MAX_NOTIFY_FAILURES: u32 = 12;

/// The most links that an approver gets after the first link, because the address changed or too
/// many wrong codes disabled the link. A reminder's link counts too, but is never left out.
const MOST_LINKS: u8 = 3;

/// Returns the effects that this holder must carry out now. Empty before `wake_at`, and while
/// another holder has the lease.
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
    operation.lease_at(now).is_some_and(|lease| lease.holder != holder)
}

/// Gives this holder the lease for the effects that it carries out now, or ends the lease if there
/// are no such effects. Does nothing while another holder has the lease. While a promotion deploys,
/// its slot also records the end of the lease, for a rollback that replaces the promotion.
pub fn take_lease(now: Timestamp, subject: &mut Subject, lease: Lease, carried_out: &[Effect]) {
    let Some(operation) = &mut subject.operation else { return };
    if leased_to_another(now, operation, lease.holder) {
        return;
    }
    let moves = carried_out.iter().any(|effect| matches!(effect, Effect::Deploy(..)));
    // Another holder had the lease and was interrupted, so calls of that holder may still reach
    // AWS.
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

/// Returns all pending effects, independent of the lease.
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
            let unmet = unmet_conditions(now, subject, promotion);
            let reads = condition_effects(now, subject, promotion, &unmet);
            let is_pushed = promotion.pushed_tag.is_some() && is_newest(subject, promotion);
            let pushed = is_pushed.then_some(&promotion.digest);
            let latest = latest_tag(subject, Latest::Push, pushed);
            // The approval mail names the build tag, so Stablepin sends no mail before the build
            // tag is final.
            let first: Vec<_> = untagged.chain(reads).collect();
            let asks = first.is_empty() && unmet.is_empty();
            let then = if asks { question_effects(now, subject, operation, promotion) } else { first };
            then.into_iter().chain(latest).collect::<Vec<_>>()
        }
        PromotionState::InProgress if promotion.pin.is_some() => {
            let untagged = untagged.filter(|_| promotion.untaggable().is_none());
            let tags = current_tag(subject, operation).into_iter().chain(latest_pin_tag(subject));
            untagged.chain(stable_tag(subject)).chain(tags).collect()
        }
        PromotionState::InProgress => {
            let going_back = promotion.failure.is_some() && !operation.notified.contains(&Notice::GoingBack);
            let is_undeployed = subject.policy().is_some_and(|policy| !policy.is_deployed());
            let rollout = match operation.rollout() {
                None if subject.must_copy() => vec![Effect::Copy],
                None if is_undeployed => Vec::new(),
                None => vec![Effect::Prepare],
                Some((direction, rollout)) => {
                    let until = rollout.bake.as_ref().map(|bake| bake.until);
                    rollout_effects(now, subject, direction, rollout, until)
                }
            };
            // The notice has its own schedule, so that the revert never waits for the notice.
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
            let tags = tag_taken_notice(operation).into_iter().chain(latest_pin_tag(subject));
            tags.chain(family_restorations(subject, operation)).collect()
        }
        PromotionState::Cancelled => rejected_notice(operation, promotion).into_iter().collect(),
    };
    let telling = next_notification_at(operation).is_some_and(|at| at <= now);
    pending_effects.into_iter().chain(vote_confirmations(promotion).filter(|_| telling)).collect()
}

fn unmet_conditions(now: Timestamp, subject: &Subject, promotion: &Promotion) -> Vec<Condition> {
    subject.policy().map(|policy| unmet(now, subject, policy, promotion)).unwrap_or_default()
}

/// Returns the reads that show whether the unmet conditions are met now.
fn condition_effects(
    now: Timestamp,
    subject: &Subject,
    promotion: &Promotion,
    unmet: &[Condition],
) -> Vec<Effect> {
    let Some(policy) = subject.policy() else { return Vec::new() };
    let earlier = policy.after.clone().map(Effect::ReadEarlierPin);
    let effects = unmet.iter().filter(|one| is_due(now, promotion, one) || **one == Condition::Valid);
    let effects = effects.flat_map(|condition| match condition {
        Condition::Valid => vec![Effect::Inspect],
        Condition::Passed(_) => vec![Effect::ReadChecks],
        Condition::PinnedIn(_) | Condition::Soaked { .. } => earlier.iter().cloned().collect(),
        Condition::Reread => std::iter::once(Effect::ReadChecks).chain(earlier.clone()).collect(),
    });
    let mut effects: Vec<Effect> = effects.collect();
    effects.sort_by_key(|effect| matches!(effect, Effect::ReadEarlierPin(_)));
    // One read returns every check.
    effects.dedup();
    effects
}

/// Returns the earliest time of the next notification attempt. None after Stablepin gave up.
fn next_notification_at(operation: &Operation) -> Option<Timestamp> {
    (operation.notify_failures < MAX_NOTIFY_FAILURES).then(|| operation.notify_at.unwrap_or(Timestamp::MIN))
}

/// Returns when the promotion's next vote confirmation or subscription check is due. None if
/// nothing is pending, or if Stablepin gave up.
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

/// Returns the pending confirmations of votes by link. Each confirmation goes to the link's
/// approver, so that the approver notices a vote by another person.
fn vote_confirmations(promotion: &Promotion) -> impl Iterator<Item = Effect> {
    let by_link = promotion.votes.iter().filter(|(name, vote)| {
        matches!(vote.actor, Actor::Link { .. }) && !promotion.vote_confirmations.contains(*name)
    });
    by_link.map(|(name, _)| Effect::ConfirmVote(name.clone()))
}

/// Returns whether this promotion has the newest push among the promotions that wait to request
/// approval.
pub(crate) fn is_next(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.waiting.last().is_some_and(|next| next.promotion == promotion.id)
}

/// Returns whether this promotion belongs to the newest push of the environment.
pub(crate) fn is_newest(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.latest.as_ref().is_some_and(|latest| latest.promotion == promotion.id)
}

/// Returns the time of the single reminder to approvers who have not voted. At this time, a quarter
/// of the promotion's time is left, but at most a day. Only the newest build gets a reminder,
/// although approvers may still approve older builds.
pub(crate) fn reminder(subject: &Subject, promotion: &Promotion) -> Option<Timestamp> {
    let newest = is_newest(subject, promotion) && !promotion.asked.is_empty();
    let began = promotion.ready_at.unwrap_or(promotion.opened_at);
    let left = promotion.expires_at.duration_since(began) / 4;
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
    // Stablepin checks the subscriptions when it requests approval.
    let asks = !asked.is_empty() || !promotion.asked.is_empty();
    let looks = asks
        && promotion.unreachable.is_none()
        && next_notification_at(operation).is_some_and(|at| at <= now);
    let notices = [
        (Notice::Unreachable, is_unreachable(subject, policy, promotion)),
        (Notice::MailRefused, promotion.mail_refused.is_some()),
    ];
    // Every attempt to notify may fail, so Stablepin stops after many failures.
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
        // Too many wrong codes disabled the link. The approver gets a new link, which the person
        // who tried the codes does not see.
        Some(asked) if asked.burnt => asked.before < MOST_LINKS,
        Some(asked) => reminder(subject, promotion).is_some_and(|at| asked.at < at && at <= now),
    };
    policy.approval.approvers.iter().filter(unasked).cloned().map(Effect::Ask).collect()
}

/// Returns the effect that puts the stable tag on the current pin, even if another operation set
/// the pin. If two promotions set pins at the same time, the stable tag finally shows the newer
/// pin.
fn stable_tag(subject: &Subject) -> Option<Effect> {
    subject.environment.pin.clone().map(Effect::TagStable)
}

/// Returns the effect that puts the tag `{environment}-current`. None if Stablepin has already
/// tried to put the tag, or if another operation has changed the live digest.
fn current_tag(subject: &Subject, operation: &Operation) -> Option<Effect> {
    let current = subject.environment.current.as_ref()?;
    (current.by == operation.id() && !current.tagged).then(|| Effect::TagCurrent(current.digest.clone()))
}

/// Returns the effect that puts the tag `latest` on the environment's pin.
fn latest_pin_tag(subject: &Subject) -> Option<Effect> {
    latest_tag(subject, Latest::Pin, subject.environment.pin.as_ref().map(|pin| &pin.digest))
}

/// Returns the effect that puts the tag `latest` on the digest. None if Stablepin's last attempt
/// was for the same digest. Only the environment whose name is in the build tags decides the tag's
/// digest.
fn latest_tag(subject: &Subject, setting: Latest, wanted: Option<&ImageDigest>) -> Option<Effect> {
    let application = &subject.configuration.application;
    let follows = application.latest == setting && application.build_environment == subject.name;
    let digest =
        wanted.filter(|digest| follows && subject.environment.latest_tag.as_ref() != Some(digest))?;
    // Pins are in the environment's repository, and pushes in the application's repository.
    let repository = match setting {
        Latest::Pin => subject.policy()?.repository.clone(),
        Latest::Push | Latest::Off => application.repository.clone(),
    };
    Some(Effect::TagLatest { repository, digest: digest.clone() })
}

/// Returns the repairs of task definition families. Empty while any operation has the slot, because
/// that operation's rollout registers newer revisions itself.
fn family_restorations(subject: &Subject, operation: &Operation) -> impl Iterator<Item = Effect> {
    let is_free = subject.environment.slot.is_none();
    operation.families.iter().filter(move |_| is_free).cloned().map(Effect::RestoreFamily)
}

fn ended_notice(operation: &Operation) -> Option<Effect> {
    (!operation.notified.contains(&Notice::Ended)).then_some(Effect::Notify(Notice::Ended))
}

/// Returns the notice that an approver rejected the promotion. If a promotion is cancelled for
/// another reason, no person waits for its result, so there is no notice.
fn rejected_notice(operation: &Operation, promotion: &Promotion) -> Option<Effect> {
    let is_rejected = matches!(promotion.reason, Some(PromotionReason::Rejected { .. }));
    ended_notice(operation).filter(|_| is_rejected)
}

/// Returns the pending notice that ECR did not accept a tag of the pin or of its build.
fn tag_taken_notice(operation: &Operation) -> Option<Effect> {
    let is_due = operation.unput_tag().is_some() && !operation.notified.contains(&Notice::TagTaken);
    is_due.then_some(Effect::Notify(Notice::TagTaken))
}

/// Returns the effects that put a moved or deleted tag on the right digest again: the stable tag,
/// or the tag of the live digest.
fn repair_effects(subject: &Subject, operation: &Operation, repair: &Repair) -> Vec<Effect> {
    if repair.repaired_at.is_some() {
        return tag_taken_notice(operation).into_iter().collect();
    }
    let environment = &subject.environment;
    let shown = environment.applied == environment.pin.as_ref().map(|pin| pin.number);
    let stable = stable_tag(subject).filter(|_| !shown && environment.tag_taken.is_none());
    // No rollback needs the tag of the live digest, so Stablepin gives up after a number of failed
    // attempts.
    let current = current_tag(subject, operation).filter(|_| operation.failures < MAX_NOTIFY_FAILURES);
    stable.into_iter().chain(current).collect()
}

/// Returns the notice of a live drift, if it is due. Each drift has one notice, and two notices are
/// at least an hour apart.
fn drift_notice(now: Timestamp, subject: &Subject, operation: &Operation) -> Option<Effect> {
    let pending_effects = drift_notice_at(subject).is_some_and(|at| at <= now);
    (pending_effects && !operation.notified.contains(&Notice::LiveDrift))
        .then_some(Effect::Notify(Notice::LiveDrift))
}

/// Returns when people get the notice of this operation's live drift. None after the notice, and
/// after the end of the drift.
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
            let tags = tags.chain(latest_pin_tag(subject));
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

/// Returns the effects of a rollout. Stablepin observes services that have reached their goal until
/// `until`, and once after `until`.
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
