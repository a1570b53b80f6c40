//! Carries out what an operation owes. Each may run twice, or be cut off anywhere: doing it again is safe.

#[cfg(feature = "post")]
mod ask;
#[cfg(feature = "ecs")]
mod deploy;
#[cfg(feature = "verify")]
mod follow;
#[cfg(feature = "verify")]
mod notify;
#[cfg(feature = "verify")]
mod prepare;
#[cfg(feature = "verify")]
mod probe;
mod tag;

use stablepin_core::application::Environment as Policy;
use stablepin_core::effect::{Effect, Outcome};
use stablepin_core::records::Subject;

use crate::Doors;
use crate::errors::chain;
use crate::snapshot::Snapshot;

/// Never fails: what went wrong is an outcome, written to the record for people and for the next attempt.
/// `known`: services that were read a moment ago, before anything was touched.
pub(crate) async fn carry_out(
    doors: &Doors,
    subject: &Subject,
    effect: &Effect,
    known: &[Snapshot],
) -> Outcome {
    let outcome = match (effect, subject.policy()) {
        #[cfg(feature = "verify")]
        (Effect::Notify(notice), _) => notify::notify(doors, subject, *notice).await,
        (_, Some(policy)) => under(doors, subject, policy, effect, known).await,
        (_, None) => Outcome::Problem("the environment is not in the configuration any more".to_owned()),
    };
    report(subject, effect, &outcome);
    outcome
}

#[cfg_attr(not(feature = "ecs"), expect(unused_variables, reason = "only a deployment needs what is known"))]
async fn under(
    doors: &Doors,
    subject: &Subject,
    policy: &Policy,
    effect: &Effect,
    known: &[Snapshot],
) -> Outcome {
    match effect {
        Effect::TagBuild(build) => tag::build(doors, build).await,
        Effect::TagStable(pin) => tag::stable(doors, policy, pin).await,
        Effect::TagBackup { tag, digest } => tag::backup(doors, policy, tag, digest).await,
        Effect::TagCurrent(digest) => tag::current(doors, policy, digest).await,
        #[cfg(feature = "post")]
        Effect::Ask(approver) => ask::ask(doors, subject, policy, approver).await,
        #[cfg(feature = "ecs")]
        Effect::Deploy(way, service) => {
            let known = known.iter().find(|snapshot| snapshot.service == *service);
            deploy::deploy(doors, subject, policy, *way, service, known).await
        }
        #[cfg(feature = "verify")]
        Effect::Prepare => prepare::prepare(doors, subject, policy).await,
        #[cfg(feature = "verify")]
        Effect::Follow(way, service) => follow::follow(doors, subject, policy, *way, service).await,
        #[cfg(feature = "verify")]
        Effect::Probe => probe::probe(doors, policy).await,
        // A function that has no door for it leaves it to the promoter, and does not come here.
        #[cfg_attr(
            all(feature = "post", feature = "ecs", feature = "verify"),
            expect(unreachable_patterns, reason = "each of them is above")
        )]
        Effect::Ask(_)
        | Effect::Prepare
        | Effect::Deploy(..)
        | Effect::Follow(..)
        | Effect::Probe
        | Effect::Notify(_) => Outcome::Problem("this function has no door for it".to_owned()),
    }
}

fn report(subject: &Subject, effect: &Effect, outcome: &Outcome) {
    if let Outcome::Problem(problem) = outcome {
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
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::TagBuild(_) => "putting the build tag",
        Effect::TagStable(_) => "putting the stable tag",
        Effect::TagBackup { .. } => "putting the backup tag",
        Effect::Ask(_) => "asking an approver",
        Effect::TagCurrent(_) => "putting the tag of what is live",
        Effect::Prepare => "looking at the services",
        Effect::Deploy(..) => "deploying a service",
        Effect::Follow(..) => "following a deployment",
        Effect::Probe => "asking the endpoints",
        Effect::Notify(_) => "telling people",
    }
}

fn problem(error: &dyn std::error::Error) -> Outcome {
    Outcome::Problem(chain(error))
}
