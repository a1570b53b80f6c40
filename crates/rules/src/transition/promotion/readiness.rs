//! The part of a promotion before Stablepin asks the approvers: the validation of the image, and
//! the other conditions.

use jiff::{SignedDuration, Timestamp};

use super::{audit_news, end, promotion};
use crate::application::EnvironmentPolicy;
use crate::audit::Actor;
use crate::conditions::{FRESH, is_validated, unmet};
use crate::name::EnvironmentName;
use crate::pipeline_run::{PipelineRun, RunSource};
use crate::records::{
    CheckResult, Checks, EarlierPin, Environment, Promotion, PromotionReason, PromotionState, Question,
    Recorded, Validated, Waiting,
};
use crate::transition::Transition;
use crate::validation::{Defect, InvalidImage};

/// Records the result of the image's validation against this version of the application file.
pub(in super::super) fn validated(
    transition: &mut Transition,
    configuration: u64,
    result: &Result<Vec<String>, InvalidImage>,
) {
    let at = transition.now;
    // Another version of the file may have other settings, so a result for that version does not
    // count.
    let is_current = transition.change.after.configuration.version == configuration;
    let waits = |one: &&mut Promotion| is_current && one.state == PromotionState::Pending;
    let Some(promotion) = promotion(transition).filter(waits) else { return };
    match result {
        Ok(platforms) => {
            promotion.validated = Some(Validated { at, configuration });
            // At the push of a copied image, its configuration may have been missing.
            if let Some(build) = transition.change.after.build.as_mut()
                && build.platforms.is_empty()
            {
                build.platforms.clone_from(platforms);
            }
        }
        Err(invalid)
            if invalid.defect == Defect::Corrupted && promotion.complete_by.is_some_and(|by| at < by) =>
        {
            transition.problem(&invalid.to_string());
        }
        Err(invalid) => {
            let reason = PromotionReason::Invalid(invalid.clone());
            end(transition, PromotionState::Failed, reason, Actor::Stablepin);
        }
    }
}

/// Records a read of the earlier environment. A read from before the last pin change does not
/// count, so it is repeated.
pub(in super::super) fn earlier_pin_read(transition: &mut Transition, earlier: &EarlierPin) {
    let Some(promotion) = promotion(transition).filter(|one| !one.state.is_terminal()) else { return };
    if promotion.pin_changed_at.is_none_or(|changed_at| earlier.read_at >= changed_at) {
        promotion.earlier = Some(earlier.clone());
    }
}

/// Forgets the read of the earlier environment, because that environment has a new pin. The next
/// read is then due at once.
pub(in super::super) fn pin_changed(transition: &mut Transition, environment: &EnvironmentName) {
    let now = transition.now;
    let is_earlier =
        transition.change.after.policy().is_some_and(|policy| policy.after.as_ref() == Some(environment));
    let is_open = |one: &&mut Promotion| is_earlier && !one.state.is_terminal();
    if let Some(promotion) = promotion(transition).filter(is_open) {
        promotion.pin_changed_at = Some(now);
        promotion.earlier = None;
    }
}

/// Records the checks that a read of the table returned. `at` is a time before the read.
pub(in super::super) fn checks_read(transition: &mut Transition, checks: &Checks, at: Timestamp) {
    let Some(promotion) = promotion(transition).filter(|one| !one.state.is_terminal()) else { return };
    promotion.checks_read_at = Some(at);
    checks_reported(transition, checks);
}

/// Records the checks that pipelines have reported for the digest.
pub(in super::super) fn checks_reported(transition: &mut Transition, checks: &Checks) {
    let policy = transition.change.after.policy();
    let required = policy.map(|policy| policy.requires.iter().cloned().collect()).unwrap_or_default();
    let Some(promotion) = promotion(transition).filter(|one| !one.state.is_terminal()) else { return };
    let mut news = Vec::new();
    for (name, check) in checks.iter() {
        if promotion.checks.record(name.clone(), check.clone(), &required) == Recorded::New {
            let link = check.link.as_ref().map_or(String::new(), |link| format!(": {link}"));
            news.push((format!("the check {name} {}{link}", check.result.as_str()), check.by.clone()));
        }
    }
    let runs = checks.iter().filter_map(|(name, check)| {
        let run = PipelineRun::of_link(check.link.clone()?, RunSource::Check, Some(name.to_string()));
        Some((check.at, run, check.by.clone()))
    });
    let run = runs.min_by_key(|(at, ..)| *at);
    for (reason, by) in news {
        audit_news(transition, &reason, by);
    }
    if let Some((_, run, by)) = run {
        run_named(transition, run, &by);
    }
}

/// Records the pipeline run that made the build, if no run is known, or if this run's source is
/// more trusted.
pub(in super::super) fn run_named(transition: &mut Transition, run: PipelineRun, by: &Actor) {
    let Some(build) = &mut transition.change.after.build else { return };
    if !run.replaces(build.run.as_ref()) {
        return;
    }
    build.run = Some(run);
    let build = build.clone();
    if let Some(promotion) = promotion(transition) {
        promotion.build = build;
        audit_news(transition, "the run of the pipeline is known", by.clone());
    }
}

/// Fails the waiting promotion if a required check has failed.
pub(super) fn fail_on_a_check(transition: &mut Transition) {
    let after = &transition.change.after;
    let (Some(policy), Some(promotion)) = (after.policy(), after.promotion()) else { return };
    let failed = policy.requires.iter().find_map(|name| {
        let check = promotion.checks.get(name).filter(|check| check.result == CheckResult::Failed)?;
        Some((name.clone(), check.clone()))
    });
    if let Some((name, check)) = failed {
        let actor = check.by.clone();
        let reason = PromotionReason::CheckFailed { name, link: check.link };
        end(transition, PromotionState::Failed, reason, actor);
    }
}

/// Starts to ask the approvers once every condition is met. The approvers' time to decide begins
/// then.
pub(super) fn begin_to_ask(transition: &mut Transition) {
    let now = transition.now;
    let after = &mut transition.change.after;
    let (Some(policy), Some(waiting)) = (after.policy().cloned(), after.promotion().cloned()) else { return };
    if waiting.ready_at.is_some() || !unmet(now, after, &policy, &waiting).is_empty() {
        return;
    }
    // The image may have been deleted while the promotion waited for its conditions.
    if !is_validated(after, &waiting, now - FRESH) {
        if let Some(promotion) = promotion(transition) {
            promotion.validated = None;
        }
        return;
    }
    let ask_at = ask_later_at(now, &policy, &waiting, &mut after.environment);
    let Some(promotion) = promotion(transition) else { return };
    promotion.ready_at = Some(now);
    promotion.expires_at = now + policy.approval.expires;
    promotion.ask_at = ask_at;
}

/// Records which conditions are not yet met, so that people can see them.
pub(super) fn note_conditions(transition: &mut Transition) {
    let after = &transition.change.after;
    let (Some(policy), Some(current)) = (after.policy(), after.promotion()) else { return };
    let unmet = match current.state {
        PromotionState::Pending => unmet(transition.now, after, policy, current),
        PromotionState::InProgress
        | PromotionState::Completed
        | PromotionState::Failed
        | PromotionState::RolledBack
        | PromotionState::Cancelled => Vec::new(),
    };
    if let Some(promotion) = promotion(transition) {
        promotion.waits_for = unmet.iter().map(ToString::to_string).collect();
    }
}

/// The most undecided approval requests of an environment within `AT_ONCE`. Approvers would ignore
/// more mails, and SNS disables an address that gets more than 10 mails in a second.
/// <https://repost.aws/knowledge-center/sns-email-subscription-disabled>
const MOST_AT_ONCE: usize = 5;
const AT_ONCE: SignedDuration = SignedDuration::from_mins(5);

/// The most promotions of an environment that wait to ask their approvers. Beyond this number, the
/// promotion with the oldest push leaves the list, and its approvers are not asked any more. A
/// waiting promotion asks only after all newer waiting promotions have ended.
const MOST_WAITING: usize = 20;

/// Returns the time at which Stablepin asks the approvers, if many promotions became ready at the
/// same time. At least half of the time to decide then remains. None: Stablepin asks now.
fn ask_later_at(
    now: Timestamp,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
    environment: &mut Environment,
) -> Option<Timestamp> {
    environment.asked.retain(|question| now.duration_since(question.at) < AT_ONCE);
    let (occurrence, promotion) = (promotion.occurrence.clone(), promotion.id);
    match environment.asked.first() {
        Some(first) if environment.asked.len() >= MOST_AT_ONCE => {
            let ask_at = (first.at + AT_ONCE).min(now + policy.approval.expires / 2);
            environment.waiting.insert(Waiting { occurrence, promotion });
            while environment.waiting.len() > MOST_WAITING {
                environment.waiting.pop_first();
            }
            Some(ask_at)
        }
        Some(_) | None => {
            environment.asked.push(Question { at: now, promotion });
            None
        }
    }
}
