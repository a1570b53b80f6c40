//! What an operation owes the world, and what came of it. Effects are derived from the record, never stored.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::application::{EnvironmentPolicy, ServiceName};
use crate::audit::Actor;
use crate::image::{ImageDigest, ImageTag};
use crate::name::ApproverName;
use crate::pin_number::PinNumber;
use crate::records::{
    ApprovalRequest, Build, Direction, Lease, Live, Notice, Operation, Pin, Progress, Promotion,
    PromotionState, Repair, Rollback, RollbackState, Rollout, SlotKind, Started, Subject, TakenTag,
    TokenHash, Work, look_again,
};
use crate::subscription_status::{SubscriptionStatus, is_unreachable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts the build tag on the build.
    TagBuild(Build),
    /// Mints a link and mails it.
    Ask(ApproverName),
    /// Looks whom mails reach.
    CheckSubscriptions,
    /// Tells an approver that the link was used.
    ConfirmVote(ApproverName),
    /// Looks what the services run and whether they can move. Writes nothing.
    Prepare,
    /// Makes the stable tag show the environment's pin.
    TagStable(Pin),
    /// Puts the backup tag on what was live. Best effort.
    TagBackup { tag: ImageTag, digest: ImageDigest },
    /// Puts the tag `{environment}-current` on what is live. Best effort.
    TagCurrent(ImageDigest),
    /// Starts one service's deployment.
    Deploy(Direction, ServiceName),
    /// Looks how that deployment is doing, or whether it still is as it was proven.
    Follow(Direction, ServiceName),
    /// Asks the configured endpoints.
    Probe,
    /// Registers what is good again, where the newest revision of the service's family is one that failed or was never
    /// used.
    RestoreFamily(ServiceName),
    /// Tells people.
    Notify(Notice),
}

impl Effect {
    /// It tells people, or looks who can be told: nothing else waits for it, and nothing else fails with it.
    pub fn is_notification(&self) -> bool {
        matches!(self, Self::CheckSubscriptions | Self::ConfirmVote(_))
    }
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    BuildTagged,
    /// Another digest has the name.
    BuildTagTaken(ImageTag),
    /// The registry refuses the tag, in these words.
    BuildTagRefused(String),
    ApprovalRequested {
        approver: ApproverName,
        token: TokenHash,
        /// To which address, in lower case.
        mail: String,
    },
    /// SNS refuses the mail to this approver, in these words.
    AskRefused {
        approver: ApproverName,
        reason: String,
    },
    /// People were not told, or nobody could look whom mails reach.
    NotifyFailed(String),
    VoteConfirmed(ApproverName),
    /// Whom mails do not reach.
    SubscriptionsChecked(BTreeMap<ApproverName, SubscriptionStatus>),
    /// Everything can move; what runs now.
    Prepared(Vec<(ServiceName, Live)>),
    /// Something cannot move: nothing was touched.
    Unfit(String),
    StableTagged(PinNumber),
    /// Another image has the pin's tag, and it cannot be moved.
    StableTaken(TakenTag),
    BackupTried,
    CurrentTried(ImageDigest),
    /// What was seen of one service.
    Service(Direction, ServiceName, Observation),
    /// What was seen of one service's deployment, and the ARN of its service deployment, where ECS tells of one.
    Followed {
        direction: Direction,
        service: ServiceName,
        seen: Observation,
        service_deployment: Option<String>,
    },
    /// Nothing is left to do for the service's family.
    FamilyRestored(ServiceName),
    /// None: every endpoint answered.
    Probed(Option<String>),
    Notified(Notice),
    /// It may work later: throttled, refused, out of reach.
    Problem(String),
}

/// What was seen of one service's deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// ECS accepted ours.
    Deployed(Started),
    /// ECS may have accepted ours: nobody has heard.
    Unheard {
        problem: String,
    },
    /// AWS refused it in these words: nothing was moved.
    Refused {
        reason: String,
    },
    /// A revision was registered for it that is not what was asked for: nothing was moved.
    Unused {
        reason: String,
        revision: String,
    },
    /// Still on its way; what was seen, for people. Paused: ECS waits at a lifecycle hook.
    Going {
        seen: String,
        paused: bool,
    },
    Proven {
        tasks: u32,
    },
    /// It is there, and the desired count is 0.
    Unproven,
    /// ECS goes back by itself.
    Returning {
        reason: String,
    },
    /// ECS has gone back by itself, or it never was moved.
    Returned {
        reason: String,
        digest: Option<ImageDigest>,
    },
    /// Somebody else's deployment took the place of ours.
    Superseded {
        reason: String,
    },
    /// A late call of the operation that this one pre-empted took the place of ours.
    Overtaken,
    /// It will not come right by itself.
    Failed {
        reason: String,
    },
}

/// What is to be carried out now by this holder. Empty while `wake_at` is ahead or another holds the lease.
pub fn pending_effects(now: Timestamp, subject: &Subject, holder: Uuid) -> Vec<Effect> {
    let Some(operation) = &subject.operation else { return Vec::new() };
    let awake = operation.wake_at.is_some_and(|at| at <= now);
    if !awake || leased_to_another(now, operation, holder) {
        return Vec::new();
    }
    remaining_effects(now, subject)
}

/// Whether somebody else is carrying this out now.
pub fn leased_to_another(now: Timestamp, operation: &Operation, holder: Uuid) -> bool {
    operation.lease.as_ref().is_some_and(|Lease { holder: other, until }| *other != holder && *until > now)
}

/// Takes the lease for what is carried out now, or gives it back when that is nothing. Another's stays. Where it moves
/// services, the slot says until when: whoever takes the slot away has to know, and reads nothing else.
pub fn take_lease(now: Timestamp, subject: &mut Subject, lease: Lease, carried_out: &[Effect]) {
    let Some(operation) = &mut subject.operation else { return };
    if leased_to_another(now, operation, lease.holder) {
        return;
    }
    let moves = carried_out.iter().any(|effect| matches!(effect, Effect::Deploy(..)));
    // Whoever had it before was cut off: what was begun may arrive, or has.
    let cut_off = operation.lease.as_ref().is_some_and(|had| had.holder != lease.holder);
    if cut_off
        && moves
        && let Some((direction, _)) = operation.rollout()
        && let Some(rollout) = operation.rollout_to_mut(direction)
    {
        let waiting = rollout.services.iter_mut().filter(|one| one.progress == Progress::Waiting);
        waiting.for_each(|one| one.unheard = true);
    }
    if let Some(slot) = &mut subject.environment.slot
        && slot.kind == SlotKind::Promotion
        && slot.operation == operation.id()
    {
        slot.moving_until = moves.then_some(lease.until);
    }
    operation.lease = (!carried_out.is_empty()).then_some(lease);
}

/// What is left to do, whoever does it.
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
            // A mail names the build tag: it goes out when the name is certain.
            if naming.is_empty() { question(now, subject, operation, promotion) } else { naming }
        }
        PromotionState::InProgress if promotion.pin.is_some() => {
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
            // In its own time: the way back does not wait for a notice that cannot be sent.
            let telling = next_notification_at(operation).is_some_and(|at| at <= now);
            let told = (going_back && telling).then_some(Effect::Notify(Notice::GoingBack));
            rollout.into_iter().chain(untagged).chain(told).collect()
        }
        PromotionState::Failed | PromotionState::RolledBack => current_tag(subject, operation)
            .into_iter()
            .chain(ended(operation))
            .chain(families(subject, operation))
            .collect(),
        PromotionState::Completed => {
            taken(operation).into_iter().chain(families(subject, operation)).collect()
        }
        PromotionState::Cancelled => Vec::new(),
    };
    let telling = next_notification_at(operation).is_some_and(|at| at <= now);
    pending_effects.into_iter().chain(vote_confirmations(promotion).filter(|_| telling)).collect()
}

/// How many attempts it takes to give up telling people.
pub(crate) const MAX_NOTIFY_FAILURES: u32 = 12;

/// When people are told next of what they are not told yet; none: that was given up.
fn next_notification_at(operation: &Operation) -> Option<Timestamp> {
    (operation.notify_failures < MAX_NOTIFY_FAILURES).then(|| operation.notify_at.unwrap_or(Timestamp::MIN))
}

/// When to look again because of what people are not told yet.
pub(crate) fn notification_due_at(subject: &Subject) -> Option<Timestamp> {
    let operation = subject.operation.as_ref()?;
    let promotion = subject.promotion()?;
    let unread = promotion.state == PromotionState::Pending
        && promotion.unreachable.is_none()
        && !promotion.asked.is_empty()
        && subject.policy().is_some_and(|policy| !crate::transition::approved(subject, policy, promotion));
    (unread || vote_confirmations(promotion).next().is_some())
        .then(|| next_notification_at(operation))
        .flatten()
}

/// Whoever has the mail decides in its reader's name: who did not, learns of it.
fn vote_confirmations(promotion: &Promotion) -> impl Iterator<Item = Effect> {
    let by_link = promotion.votes.iter().filter(|(name, vote)| {
        matches!(vote.actor, Actor::Link { .. }) && !promotion.vote_confirmations.contains(*name)
    });
    by_link.map(|(name, _)| Effect::ConfirmVote(name.clone()))
}

/// Of all that nobody was asked for yet.
pub(crate) fn is_next(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.waiting.last().is_some_and(|next| next.promotion == promotion.id)
}

/// The approver has another address today than the one that this link was mailed to.
pub(crate) fn moved(subject: &Subject, approver: &ApproverName, asked: &ApprovalRequest) -> bool {
    let today = subject.configuration.application.approver(approver).map(|one| one.mail.lower());
    asked.mail.is_some() && today.is_some() && asked.mail != today
}

/// Of all that the environment was asked to take.
pub(crate) fn is_newest(subject: &Subject, promotion: &Promotion) -> bool {
    subject.environment.latest.as_ref().is_some_and(|latest| latest.promotion == promotion.id)
}

/// When whoever has not decided is reminded, once: when a quarter of the time is left, and at most a day. Of the newest build only:
/// the others may still be approved, but nobody is asked for them twice.
pub(crate) fn reminder(subject: &Subject, promotion: &Promotion) -> Option<Timestamp> {
    let newest = is_newest(subject, promotion) && !promotion.asked.is_empty();
    let left = promotion.expires_at.duration_since(promotion.opened_at) / 4;
    newest.then(|| promotion.expires_at - left.min(SignedDuration::from_hours(24)))
}

/// All that an open question takes.
fn question(now: Timestamp, subject: &Subject, operation: &Operation, promotion: &Promotion) -> Vec<Effect> {
    let Some(policy) =
        subject.policy().filter(|policy| !crate::transition::approved(subject, policy, promotion))
    else {
        return Vec::new();
    };
    let asked = ask(now, subject, policy, promotion);
    // Of whoever is asked, when they are asked.
    let asks = !asked.is_empty() || !promotion.asked.is_empty();
    let looks = asks
        && promotion.unreachable.is_none()
        && next_notification_at(operation).is_some_and(|at| at <= now);
    let notices = [
        (Notice::Unreachable, is_unreachable(subject, policy, promotion)),
        (Notice::MailRefused, promotion.mail_refused.is_some()),
    ];
    // Where the notifications cannot be sent either, that ends too.
    let is_owed =
        |notice: &Notice| operation.failures < MAX_NOTIFY_FAILURES && !operation.notified.contains(notice);
    let notices = notices.into_iter().filter(|(notice, is_true)| *is_true && is_owed(notice));
    let notices = notices.map(|(notice, _)| Effect::Notify(notice));
    asked.into_iter().chain(looks.then_some(Effect::CheckSubscriptions)).chain(notices).collect()
}

/// So many burnt links are replaced.
const MOST_LINKS: u8 = 3;

fn ask(now: Timestamp, subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> Vec<Effect> {
    let begun = !promotion.asked.is_empty() || !promotion.votes.is_empty();
    let turn = promotion.ask_at.is_none_or(|at| begun || (at <= now && is_next(subject, promotion)));
    let refused = promotion.mail_refused.as_ref().filter(|refused| now < refused.again_at());
    let unasked = |name: &&ApproverName| match promotion.asked.get(*name) {
        _ if promotion.votes.contains_key(*name) => false,
        _ if refused.is_some_and(|refused| refused.approvers.contains(*name)) => false,
        _ if crate::transition::is_own(subject, policy, promotion, name) => false,
        None => turn,
        Some(asked) if moved(subject, name, asked) => asked.before < MOST_LINKS,
        // Whoever tried the codes has the old link, and does not get the new one.
        Some(asked) if asked.burnt => asked.before < MOST_LINKS,
        Some(asked) => reminder(subject, promotion).is_some_and(|at| asked.at < at && at <= now),
    };
    policy.approval.approvers.iter().filter(unasked).cloned().map(Effect::Ask).collect()
}

/// Always the environment's own pin, whoever set it: when two promotions race, the later tag wins.
fn stable_tag(subject: &Subject) -> Option<Effect> {
    subject.environment.pin.clone().map(Effect::TagStable)
}

/// What this operation brought there, if nothing came after it.
fn current_tag(subject: &Subject, operation: &Operation) -> Option<Effect> {
    let current = subject.environment.current.as_ref()?;
    (current.by == operation.id() && !current.tagged).then(|| Effect::TagCurrent(current.digest.clone()))
}

/// Once nobody moves the services: a rollout registers revisions itself, and its newest one is not to be followed by an
/// older operation's.
fn families(subject: &Subject, operation: &Operation) -> impl Iterator<Item = Effect> {
    let is_free = subject.environment.slot.is_none();
    operation.families.iter().filter(move |_| is_free).cloned().map(Effect::RestoreFamily)
}

fn ended(operation: &Operation) -> Option<Effect> {
    (!operation.notified.contains(&Notice::Ended)).then_some(Effect::Notify(Notice::Ended))
}

/// People are told that a pin's tag could not be put.
fn taken(operation: &Operation) -> Option<Effect> {
    let untold = operation.tag_taken.is_some() && !operation.notified.contains(&Notice::TagTaken);
    untold.then_some(Effect::Notify(Notice::TagTaken))
}

/// The stable tag, until it is seen to show the pin; and the tag of what is live, if that is what was moved.
fn repair_effects(subject: &Subject, operation: &Operation, repair: &Repair) -> Vec<Effect> {
    if repair.repaired_at.is_some() {
        return taken(operation).into_iter().collect();
    }
    let environment = &subject.environment;
    let shown = environment.applied == environment.pin.as_ref().map(|pin| pin.number);
    let stable = stable_tag(subject).filter(|_| !shown && environment.tag_taken.is_none());
    // Nobody needs the tag of what is live: it is not tried for ever.
    let current = current_tag(subject, operation).filter(|_| operation.failures < MAX_NOTIFY_FAILURES);
    stable.into_iter().chain(current).collect()
}

/// People are told once of what lasts, and not again within the hour.
fn drift_notice(now: Timestamp, subject: &Subject, operation: &Operation) -> Option<Effect> {
    let pending_effects = drift_notice_at(subject).is_some_and(|at| at <= now);
    (pending_effects && !operation.notified.contains(&Notice::LiveDrift))
        .then_some(Effect::Notify(Notice::LiveDrift))
}

/// When people are told of the drift that this operation reports; none: it is over.
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
            let tags = current_tag(subject, operation).into_iter().chain(taken(operation));
            return tags.chain(families(subject, operation)).collect();
        }
        RollbackState::Incomplete | RollbackState::Failed => {
            return ended(operation).into_iter().chain(families(subject, operation)).collect();
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

/// `until`: what is where it should be is looked at until then, and once more.
fn rollout_effects(
    now: Timestamp,
    subject: &Subject,
    direction: Direction,
    rollout: &Rollout,
    until: Option<Timestamp>,
) -> Vec<Effect> {
    let again = |seen: Timestamp| until.is_some_and(|until| look_again(until, now, seen));
    let mut pending_effects: Vec<Effect> = Vec::new();
    for one in &rollout.services {
        match &one.progress {
            Progress::Waiting => pending_effects.push(Effect::Deploy(direction, one.service.clone())),
            Progress::Deployed | Progress::Returning { .. } => {
                pending_effects.push(Effect::Follow(direction, one.service.clone()))
            }
            Progress::Proven { at, .. } | Progress::Unproven { at } if again(*at) => {
                pending_effects.push(Effect::Follow(direction, one.service.clone()))
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
