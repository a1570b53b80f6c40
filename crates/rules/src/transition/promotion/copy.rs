//! The copy of an approved image to the environment's own repository, before its deployment.

use super::{audit_news, fail, promotion};
use crate::audit::Actor;
use crate::image::RepositoryName;
use crate::one_line::{LONGEST_TEXT, clause};
use crate::records::{
    Aftermath, BEGINS_WITHIN, CopyProgress, ImageCopy, MOST_TRIES, Promotion, PromotionState, RolloutFailure,
    STALLS_AFTER,
};
use crate::transition::Transition;
use crate::words::size;

/// The number of refusals after which the copy fails. The first refusal may mean that a new
/// permission is not yet effective.
const MOST_REFUSALS: u8 = 2;

/// Returns the copy that is in progress.
fn copy(transition: &mut Transition) -> Option<&mut ImageCopy> {
    if !super::deploy::moves(&transition.change.after) {
        return None;
    }
    promotion(transition)?.copy.as_mut().filter(|copy| copy.done_at.is_none())
}

/// Returns the copy to this repository, if it is in progress. A new application file may name
/// another repository meanwhile.
fn copy_to<'a>(transition: &'a mut Transition, to: &RepositoryName) -> Option<&'a mut ImageCopy> {
    copy(transition).filter(|copy| copy.to == *to)
}

/// Begins the copy. Begins another copy if a new application file names another repository.
pub(super) fn begin(transition: &mut Transition) {
    let now = transition.now;
    let after = &transition.change.after;
    let Some(to) = after.policy().map(|policy| policy.repository.clone()).filter(|_| after.must_copy())
    else {
        return;
    };
    if let Some(promotion) = promotion(transition)
        && promotion.copy.as_ref().is_none_or(|copy| copy.to != to)
    {
        promotion.copy = Some(ImageCopy::begun(to, now));
    }
}

pub(in super::super) fn copying(transition: &mut Transition, to: &RepositoryName, progress: CopyProgress) {
    let now = transition.now;
    if let Some(copy) = copy_to(transition, to) {
        copy.advanced(now, progress);
    }
}

/// Records that the whole image is in the repository.
pub(in super::super) fn copied(transition: &mut Transition, to: &RepositoryName, progress: CopyProgress) {
    let now = transition.now;
    let Some(copy) = copy_to(transition, to) else { return };
    copy.advanced(now, progress);
    copy.done_at = Some(now);
    let CopyProgress { layers, bytes, .. } = progress;
    let news = format!("copied to {to}: {layers} layers, {}", size(bytes));
    audit_news(transition, &news, Actor::Stablepin);
}

/// Records a failed try. The promotion fails after three failed tries without a new layer, or after
/// the second refusal.
pub(in super::super) fn copy_failed(
    transition: &mut Transition,
    to: &RepositoryName,
    problem: &str,
    is_refusal: bool,
) {
    let now = transition.now;
    let Some(copy) = copy_to(transition, to) else { return };
    copy.failed(now, is_refusal);
    let (tries, refusals) = (copy.tries, copy.refusals);
    let problem = clause(problem, LONGEST_TEXT);
    transition.problem(&problem);
    let failure = if refusals >= MOST_REFUSALS {
        format!("registry error: the image could not be copied to {to}: {problem}")
    } else if tries >= MOST_TRIES {
        format!("max retries: the copy to {to} failed {tries} times: {problem}")
    } else {
        return;
    };
    fail_copy(transition, failure);
}

/// Fails a copy that has made no progress for [`STALLS_AFTER`], or that no invocation has begun
/// within [`BEGINS_WITHIN`].
pub(super) fn fail_if_stalled(transition: &mut Transition) {
    let now = transition.now;
    let problem = transition.change.after.operation.as_ref().and_then(|operation| operation.problem.clone());
    let Some(copy) = copy(transition) else { return };
    let limit = if copy.has_begun() { STALLS_AFTER } else { BEGINS_WITHIN };
    if copy.advanced_at + limit > now {
        return;
    }
    if !copy.has_begun() {
        let (hours, to) = (BEGINS_WITHIN.as_hours(), copy.to.clone());
        fail_copy(
            transition,
            format!(
                "the copy to {to} did not begin within {hours} hours: look at the promoter's queue and its errors, and ask for the promotion again"
            ),
        );
        return;
    }
    let CopyProgress { layers, layers_done, .. } = copy.progress;
    let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
    let minutes = STALLS_AFTER.as_mins();
    let failure = format!(
        "the copy to {} made no progress for {minutes} minutes, {layers_done} of {layers} layers have arrived{problem}",
        copy.to
    );
    fail_copy(transition, failure);
}

/// Fails a promotion whose copy is complete if the environment was frozen meanwhile. Returns
/// whether the promotion failed.
pub(super) fn fail_if_frozen(transition: &mut Transition, promotion: &Promotion) -> bool {
    let is_copied = promotion.copy.as_ref().is_some_and(|copy| copy.done_at.is_some());
    let freeze = transition.change.after.environment.freeze.as_ref();
    let Some(freeze) = freeze.filter(|_| is_copied && promotion.rollout.is_none()) else { return false };
    let why = clause(&freeze.reason, LONGEST_TEXT);
    fail_copy(
        transition,
        format!("frozen during the copy ({why}): ask for the promotion again after the thaw"),
    );
    true
}

fn fail_copy(transition: &mut Transition, failure: String) {
    let failure = RolloutFailure::Reported(failure);
    fail(transition, PromotionState::Failed, failure, Aftermath::Untouched);
}
