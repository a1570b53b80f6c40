//! Carries out what an operation owes. Each may run twice, or be cut off anywhere: doing it again is safe.

mod ask;
mod deploy;
mod follow;
mod tag;

use stablepin_core::effect::{Effect, Outcome};
use stablepin_core::records::Subject;

use crate::Doors;
use crate::errors::chain;

/// Never fails: what went wrong is an outcome, written to the record for people and for the next attempt.
pub(crate) async fn carry_out(doors: &Doors, subject: &Subject, effect: &Effect) -> Outcome {
    let Some(policy) = subject.policy() else {
        return Outcome::Problem("the environment is not in the configuration any more".to_owned());
    };
    let outcome = match effect {
        Effect::TagBuild(build) => tag::build(doors, build).await,
        Effect::TagStable(pin) => tag::stable(doors, policy, pin).await,
        Effect::TagBackup { tag, digest } => tag::backup(doors, policy, tag, digest).await,
        Effect::Ask(approver) => ask::ask(doors, subject, policy, approver).await,
        Effect::Deploy(service) => deploy::deploy(doors, subject, policy, service).await,
        Effect::Follow(service) => follow::follow(doors, subject, policy, service).await,
    };
    if let Outcome::Problem(problem) = &outcome {
        let id = subject.operation.as_ref().map(|operation| operation.id().to_string());
        tracing::warn!(
            application.name = %subject.application(),
            environment.name = %subject.name,
            operation.id = id,
            effect = name(effect),
            problem,
            "{} did not work: {problem}",
            name(effect),
        );
    }
    outcome
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::TagBuild(_) => "putting the build tag",
        Effect::TagStable(_) => "putting the stable tag",
        Effect::TagBackup { .. } => "putting the backup tag",
        Effect::Ask(_) => "asking an approver",
        Effect::Deploy(_) => "deploying a service",
        Effect::Follow(_) => "following a deployment",
    }
}

fn problem(error: &dyn std::error::Error) -> Outcome {
    Outcome::Problem(chain(error))
}
