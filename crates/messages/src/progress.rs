//! The progress of a promotion, for people who watch it.

use serde::{Deserialize, Serialize};

use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::approval::{approvals, approved};
use stablepin_rules::records::{
    Blocker, CopyProgress, ImageCopy, MOST_TRIES, Progress, Promotion, PromotionReason, PromotionState,
    Rollout, SlotKind, Subject, Verdict,
};
use stablepin_rules::words::{size, time};

use super::facts::check_words;
use super::{NO_REASON, line};

/// A step of a promotion. All promotions of an environment have the same steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressStep {
    pub name: &'static str,
    pub state: StepState,
    /// A description for people. Empty before the step begins.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    Done,
    Now,
    /// The step has not begun.
    Ahead,
    Failed,
}

impl StepState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Ahead => "ahead",
            Self::Failed => "failed",
        }
    }
}

/// Returns the steps in order. All steps after the first unfinished step are `Ahead`. A failed step
/// is the last step in the list.
pub fn steps(subject: &Subject) -> Vec<ProgressStep> {
    let Some(promotion) = subject.promotion() else { return Vec::new() };
    let policy = subject.policy();
    let mut steps = vec![validation(promotion), approval(subject, promotion)];
    let will_copy = promotion.state == PromotionState::Pending
        && policy.is_some_and(|policy| policy.repository != promotion.build.repository);
    if will_copy || promotion.copy.is_some() {
        steps.push(copy(subject, promotion));
    }
    if policy.is_some_and(EnvironmentPolicy::is_deployed) || promotion.rollout.is_some() {
        steps.push(deployment(subject, promotion));
        steps.push(verification(promotion));
    }
    steps.push(pin(subject, promotion));
    let mut over = false;
    for step in &mut steps {
        if over {
            (step.state, step.detail) = (StepState::Ahead, String::new());
        }
        over |= step.state != StepState::Done;
    }
    if let Some(failed) = steps.iter().position(|step| step.state == StepState::Failed) {
        steps.truncate(failed + 1);
    }
    steps
}

fn step(name: &'static str, state: StepState, detail: impl Into<String>) -> ProgressStep {
    ProgressStep { name, state, detail: detail.into() }
}

/// Returns the reason of a promotion that ended without a pin.
fn ended(promotion: &Promotion) -> Option<String> {
    let failed = promotion.state.is_terminal() && promotion.state != PromotionState::Completed;
    failed.then(|| promotion.reason.as_ref().map_or(NO_REASON.to_owned(), |reason| line(&reason.to_string())))
}

fn validation(promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Validated";
    if is_invalid(promotion) {
        return step(NAME, StepState::Failed, ended(promotion).unwrap_or_default());
    }
    if promotion.state == PromotionState::Pending && !promotion.waits_for.is_empty() {
        let (waits_for, until) = (promotion.waits_for.join(", "), time(promotion.expires_at));
        return step(NAME, StepState::Now, format!("waits for {waits_for}, until {until}"));
    }
    if promotion.validated.is_none() {
        return step(NAME, StepState::Done, "not validated: the promotion ended before");
    }
    let checks: Vec<String> = promotion.checks.iter().map(|(name, check)| check_words(name, check)).collect();
    let checks = if checks.is_empty() { String::new() } else { format!("; {}", checks.join(", ")) };
    step(NAME, StepState::Done, format!("the image is valid{checks}"))
}

/// Returns whether the promotion failed because a condition was not met.
pub fn is_invalid(promotion: &Promotion) -> bool {
    match &promotion.reason {
        Some(
            PromotionReason::Invalid(_)
            | PromotionReason::CheckFailed { .. }
            | PromotionReason::Expired(Blocker::Conditions { .. }),
        ) => true,
        Some(
            PromotionReason::Pinned { .. }
            | PromotionReason::Rejected { .. }
            | PromotionReason::Withdrawn { .. }
            | PromotionReason::Superseded(_)
            | PromotionReason::Expired(Blocker::Decision | Blocker::Freeze(_) | Blocker::Hold(_))
            | PromotionReason::PartOfIndex(_)
            | PromotionReason::EnvironmentRemoved
            | PromotionReason::Preempted { .. }
            | PromotionReason::Failed { .. },
        )
        | None => false,
    }
}

fn approval(subject: &Subject, promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Approved";
    let names = |verdict| {
        let names = promotion.votes.iter().filter(|(_, vote)| vote.verdict == verdict);
        names.map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let done = || match names(Verdict::Approve) {
        names if names.is_empty() => step(NAME, StepState::Done, "no approval is required"),
        names => step(NAME, StepState::Done, format!("by {names}")),
    };
    match (promotion.state, subject.policy()) {
        (PromotionState::Pending, Some(policy)) if !approved(subject, policy, promotion) => {
            let given: Vec<String> =
                approvals(subject, policy, promotion).map(|(name, _)| name.to_string()).collect();
            let by = if given.is_empty() { String::new() } else { format!(": {}", given.join(", ")) };
            let detail = format!("{} of {} needed{by}", given.len(), policy.approval.required);
            step(NAME, StepState::Now, detail)
        }
        (PromotionState::Cancelled, _) => step(NAME, StepState::Failed, ended(promotion).unwrap_or_default()),
        _ => done(),
    }
}

/// Returns, in words, what an approved promotion waits for.
pub fn waits_for(subject: &Subject) -> String {
    let environment = &subject.environment;
    match (&environment.freeze, &environment.hold, &environment.slot) {
        (Some(freeze), ..) => format!("waits: {} is frozen ({})", subject.name, line(&freeze.reason)),
        (None, _, Some(slot)) => match slot.kind {
            SlotKind::Promotion => "waits until another promotion has ended".to_owned(),
            SlotKind::Rollback => "waits until a rollback has ended".to_owned(),
        },
        (None, Some(hold), None) => {
            format!(
                "waits: {} is held ({}) until somebody approves it again",
                subject.name,
                line(&hold.reason.to_string())
            )
        }
        (None, None, None) => "starts within a minute".to_owned(),
    }
}

fn copy(subject: &Subject, promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Copied";
    match (&promotion.copy, promotion.state) {
        (Some(copy), _) if copy.done_at.is_some() => step(NAME, StepState::Done, copy_progress(copy)),
        (Some(copy), PromotionState::InProgress) => step(NAME, StepState::Now, copy_progress(copy)),
        (_, PromotionState::Pending) => step(NAME, StepState::Now, waits_for(subject)),
        _ => match ended(promotion) {
            Some(reason) => step(NAME, StepState::Failed, reason),
            None => step(NAME, StepState::Done, ""),
        },
    }
}

/// Describes the progress of a copy.
pub fn copy_progress(copy: &ImageCopy) -> String {
    let CopyProgress { layers, layers_done, bytes, bytes_done } = copy.progress;
    let tries = match copy.tries {
        0 => String::new(),
        tries => format!("; {tries} of {MOST_TRIES} tries failed"),
    };
    if layers == 0 {
        return format!("to {}{tries}", copy.to);
    }
    let (done, all) = (size(bytes_done), size(bytes));
    format!("to {}: {layers_done} of {layers} layers, {done} of {all}{tries}", copy.to)
}

fn deployment(subject: &Subject, promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Deployed";
    if let (Some(failure), PromotionState::InProgress) = (&promotion.failure, promotion.state) {
        let detail = format!("{}. Stablepin is rolling the services back", line(&failure.to_string()));
        return step(NAME, StepState::Failed, detail);
    }
    match (&promotion.rollout, promotion.state) {
        (_, PromotionState::Pending) => step(NAME, StepState::Now, waits_for(subject)),
        (None, PromotionState::InProgress) if promotion.pin.is_none() => {
            let problem = subject.operation.as_ref().and_then(|operation| operation.problem.as_deref());
            step(NAME, StepState::Now, problem.map_or("reading the services".to_owned(), line))
        }
        (Some(rollout), PromotionState::InProgress) if promotion.pin.is_none() => {
            let state =
                if moved(rollout) == rollout.services.len() { StepState::Done } else { StepState::Now };
            step(NAME, state, services(rollout))
        }
        _ => match ended(promotion) {
            Some(reason) => step(NAME, StepState::Failed, reason),
            None => step(NAME, StepState::Done, promotion.rollout.as_ref().map(services).unwrap_or_default()),
        },
    }
}

fn moved(rollout: &Rollout) -> usize {
    let arrived =
        |progress: &Progress| matches!(progress, Progress::Proven { .. } | Progress::Unproven { .. });
    rollout.services.iter().filter(|one| arrived(&one.progress)).count()
}

fn services(rollout: &Rollout) -> String {
    let count = format!("{} of {} services", moved(rollout), rollout.services.len());
    let seen = rollout.services.iter().filter(|one| matches!(one.progress, Progress::Deployed));
    let words: Vec<String> =
        seen.filter_map(|one| Some(format!("{}: {}", one.service, line(one.seen.as_deref()?)))).collect();
    if words.is_empty() { count } else { format!("{count}; {}", words.join("; ")) }
}

fn verification(promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Verified";
    let bake = promotion.rollout.as_ref().and_then(|rollout| rollout.bake.as_ref());
    match (promotion.pin, bake) {
        (Some(_), _) => step(NAME, StepState::Done, "every running task runs this digest"),
        (None, Some(bake)) => {
            step(NAME, StepState::Now, format!("must stay healthy until {}", time(bake.until)))
        }
        (None, None) => step(NAME, StepState::Now, "checking every running task"),
    }
}

fn pin(subject: &Subject, promotion: &Promotion) -> ProgressStep {
    const NAME: &str = "Pinned";
    match (promotion.pin, promotion.state) {
        (Some(number), PromotionState::Completed) => {
            let taken = subject.operation.as_ref().and_then(|operation| operation.tag_taken.as_ref());
            let taken = taken.map(|taken| format!("; {}", taken.words())).unwrap_or_default();
            step(NAME, StepState::Done, format!("pin {number} of {}{taken}", subject.name))
        }
        (Some(number), _) => {
            step(NAME, StepState::Now, format!("pin {number}; its tag follows within a minute"))
        }
        (None, PromotionState::Pending) => step(NAME, StepState::Now, waits_for(subject)),
        (None, _) => match ended(promotion) {
            Some(reason) => step(NAME, StepState::Failed, reason),
            None => step(NAME, StepState::Now, ""),
        },
    }
}
