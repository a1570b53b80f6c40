//! Carries out what an operation owes. Each may run twice, or be cut off anywhere: doing it again is safe.

#[cfg(feature = "post")]
mod ask;
#[cfg(feature = "ecs")]
mod deploy;
#[cfg(feature = "ecs")]
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
        #[cfg(feature = "post")]
        Effect::Ask(approver) => ask::ask(doors, subject, policy, approver).await,
        #[cfg(feature = "ecs")]
        Effect::Deploy(service) => deploy::deploy(doors, subject, policy, service).await,
        #[cfg(feature = "ecs")]
        Effect::Follow(service) => follow::follow(doors, subject, policy, service).await,
        #[cfg(not(feature = "post"))]
        Effect::Ask(_) => Outcome::Problem("this function sends no mail".to_owned()),
        #[cfg(not(feature = "ecs"))]
        Effect::Deploy(_) | Effect::Follow(_) => {
            Outcome::Problem("this function does not talk to ECS".to_owned())
        }
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
