//! The state of a promotion, in words for one approver.

use stablepin_messages::progress::{copy_progress, waits_for};
use stablepin_rules::approval::{approvals, approved};
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::{Blocker, Promotion, PromotionReason, PromotionState, Subject, Verdict, Vote};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::words::time;

use super::{ended, line, sentence};

pub(crate) struct PageState {
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) text: String,
    /// True if the promotion has ended, so that its state cannot change any more.
    pub(crate) over: bool,
}

impl PageState {
    /// Describes the promotion to this approver, who may have voted already.
    pub(crate) fn now(subject: &Subject, approver: &ApproverName) -> Self {
        Self::new(200, subject, approver, None)
    }

    /// Describes the promotion for a valid link that no longer allows a decision.
    pub(crate) fn refused(subject: &Subject, approver: &ApproverName, refusal: &Refusal) -> Self {
        let status = match refusal {
            Refusal::LinkUsed { .. }
            | Refusal::AlreadyDecided { .. }
            | Refusal::SharedSigner { .. }
            | Refusal::NotPending { .. } => 409,
            _ => 410,
        };
        Self::new(status, subject, approver, Some(refusal))
    }

    fn new(status: u16, subject: &Subject, approver: &ApproverName, refusal: Option<&Refusal>) -> Self {
        let Some(promotion) = subject.promotion() else {
            let (title, text) = ("Nothing to decide here".to_owned(), String::new());
            return Self { status, title, text, over: true };
        };
        let over = promotion.state.is_terminal();
        let own = promotion.votes.get(approver);
        let (title, text) = match (own, refusal) {
            (None, Some(refusal)) if promotion.state == PromotionState::Pending => {
                (headline(refusal).to_owned(), sentence(&refusal.to_string()))
            }
            _ => (title(subject, promotion, own), text(subject, promotion, own)),
        };
        Self { status, title, text, over }
    }
}

pub(super) fn headline(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownLink => "This link is not known",
        Refusal::LinkUsed { .. } => "This link was used",
        Refusal::LinkExpired { .. } | Refusal::Expired { .. } => "This link has expired",
        Refusal::LinkReplaced { .. } => "There is a newer link",
        Refusal::LinkBurnt => "This link no longer works",
        Refusal::Superseded { .. } => "A later build was approved",
        Refusal::AlreadyDecided { .. } => "You have already decided",
        Refusal::NotAnApprover { .. } => "You are no longer an approver",
        Refusal::OwnRequest { .. } | Refusal::SharedSigner { .. } => "Somebody else must decide",
        Refusal::RequesterUnknown => "The pusher is not known",
        Refusal::TooManyPushers => "Too many pushers",
        Refusal::NoSuchEnvironment
        | Refusal::ImageMarkedForDeletion { .. }
        | Refusal::TooManyOpened { .. }
        | Refusal::NotPending { .. }
        | Refusal::WrongCode
        | Refusal::NotTyped { .. }
        | Refusal::FactsChanged
        | Refusal::NothingPinned
        | Refusal::NoPrevious
        | Refusal::UnknownPin { .. }
        | Refusal::NeverPinned { .. }
        | Refusal::PinMoved { .. }
        | Refusal::Ambiguous { .. }
        | Refusal::AlreadyLive { .. }
        | Refusal::RollbackRunning { .. }
        | Refusal::Frozen { .. }
        | Refusal::NotFrozen
        | Refusal::NotHeld
        | Refusal::WatermarkNotAhead { .. }
        | Refusal::ReasonNeeded
        | Refusal::UnknownService { .. } => "Nothing to decide here",
    }
}

fn title(subject: &Subject, promotion: &Promotion, own: Option<&Vote>) -> String {
    let enough = subject.policy().is_some_and(|policy| approved(subject, policy, promotion));
    let title = match promotion.state {
        PromotionState::Pending if !promotion.waits_for.is_empty() => "Being validated",
        PromotionState::Pending if !enough && own.is_none() => "Waiting for approval",
        PromotionState::Pending if !enough => "Approved by you",
        PromotionState::InProgress if promotion.failure.is_some() => "Release failed, rolling back",
        PromotionState::Pending | PromotionState::InProgress => "Approved",
        PromotionState::Completed if promotion.rollout.is_some() => "Released and pinned",
        PromotionState::Completed => "Approved and pinned",
        PromotionState::RolledBack => "Release failed, rolled back",
        PromotionState::Cancelled | PromotionState::Failed => ended_title(promotion),
    };
    title.to_owned()
}

fn ended_title(promotion: &Promotion) -> &'static str {
    match &promotion.reason {
        Some(PromotionReason::Rejected { .. }) => "Rejected",
        Some(PromotionReason::Invalid(_)) => "Image not valid",
        Some(PromotionReason::CheckFailed { .. }) => "A check failed",
        Some(PromotionReason::Superseded(_)) => "Superseded by a later build",
        Some(PromotionReason::Expired(Blocker::Conditions { .. })) => "Conditions not met in time",
        Some(PromotionReason::Expired(_)) => "Expired",
        Some(PromotionReason::Withdrawn { .. }) => "Withdrawn",
        Some(PromotionReason::PartOfIndex(_)) => "Part of an image index",
        Some(PromotionReason::EnvironmentRemoved) => "Environment removed",
        Some(PromotionReason::Preempted { .. }) => "Stopped by a rollback",
        Some(PromotionReason::Failed { .. }) => "Release failed",
        Some(PromotionReason::Pinned { .. }) | None => promotion.state.as_str(),
    }
}

fn text(subject: &Subject, promotion: &Promotion, own: Option<&Vote>) -> String {
    let who = match own {
        Some(vote) => format!("You {} it on {}. ", word(vote.verdict), time(vote.at)),
        None => others(promotion),
    };
    format!("{who}{}", what(subject, promotion))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved",
        Verdict::Reject => "rejected",
    }
}

/// Lists the votes, oldest first.
fn others(promotion: &Promotion) -> String {
    let mut votes: Vec<_> = promotion.votes.iter().collect();
    votes.sort_by_key(|(_, vote)| vote.at);
    let told =
        votes.iter().map(|(name, vote)| format!("{name} {} it on {}. ", word(vote.verdict), time(vote.at)));
    told.collect()
}

fn what(subject: &Subject, promotion: &Promotion) -> String {
    let reason = || promotion.reason.as_ref().map(|reason| line(&reason.to_string())).unwrap_or_default();
    if let (Some(failure), PromotionState::InProgress) = (&promotion.failure, promotion.state) {
        let failure = ended(&line(&failure.to_string()));
        return format!("Why: {failure} Stablepin is rolling the services back.");
    }
    match promotion.state {
        PromotionState::Pending if !promotion.waits_for.is_empty() => {
            let (waits_for, until) = (promotion.waits_for.join(", "), time(promotion.expires_at));
            format!("It waits for {waits_for}, until {until}.")
        }
        PromotionState::Pending => match subject.policy() {
            Some(policy) if !approved(subject, policy, promotion) => {
                let missing =
                    usize::from(policy.approval.required) - approvals(subject, policy, promotion).count();
                let more = if missing == 1 { "approval is" } else { "approvals are" };
                format!("{missing} more {more} needed.")
            }
            _ => sentence(&format!("it {}", waits_for(subject))),
        },
        PromotionState::InProgress if promotion.pin.is_some() => {
            "It is the pin; its tag follows within a minute.".to_owned()
        }
        PromotionState::InProgress if subject.must_copy() => match &promotion.copy {
            Some(copy) => format!("It is being copied {}.", copy_progress(copy)),
            None => "It is being copied.".to_owned(),
        },
        PromotionState::InProgress => "When it is proven to run, it becomes the pin.".to_owned(),
        PromotionState::Completed => match promotion.pin {
            Some(number) => format!("It is pin {number} of {}.", subject.name),
            None => "It is the pin.".to_owned(),
        },
        PromotionState::Cancelled => {
            let rejected = matches!(promotion.reason, Some(PromotionReason::Rejected { .. }));
            let stays = if rejected { "It is not promoted; the current pin stays. " } else { "" };
            format!("{stays}{}", sentence(&reason()))
        }
        PromotionState::RolledBack | PromotionState::Failed => format!("Why: {}", ended(&reason())),
    }
}
