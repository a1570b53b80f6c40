//! Carries out the pending effects of an operation. An effect may stop at any point or run twice,
//! so each effect is safe to repeat.

mod ask;
mod conditions;
mod copy;
mod deploy;
mod family;
mod follow;
mod notify;
mod prepare;
mod probe;
#[cfg(test)]
mod sample;
mod subscriptions;
mod tag;
mod vote_confirmation;

use std::future::ready;

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::one_line::one_line;
use stablepin_rules::records::Subject;
use stablepin_rules::validation::Inspection;

pub use self::copy::{Copier, CopyError, Meter};
use crate::Clients;
use crate::errors::chain;
use crate::snapshot::Snapshot;

/// The time after which every response of ECS shows a change. Before this time has passed, a new
/// resource may be missing in a response. "The result of an API command you run that affects your
/// Amazon ECS resources might not be immediately visible to all subsequent commands".
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// The caller's recent reads, so that an effect need not repeat them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) services: Vec<Snapshot>,
    pub(crate) inspection: Option<Inspection>,
    /// The progress of a copy.
    pub(crate) meter: Meter,
}

/// Carries out one effect. An error becomes an outcome in the record, so that people see the error
/// and a later attempt can follow. `known` contains the caller's recent reads, if nothing was
/// written since.
pub(crate) async fn carry_out(
    clients: &Clients,
    subject: &Subject,
    effect: &Effect,
    known: &Known,
) -> Outcome {
    let outcome = match subject.policy() {
        Some(policy) => with_policy(clients, subject, policy, effect, known),
        None => without_policy(clients, subject, effect),
    };
    let outcome = outcome.await;
    report(subject, effect, &outcome);
    outcome
}

/// The groups of effects that are linked into this program. If a field is false, the linker removes
/// the code and the SDK of these effects. This works only for boxed futures: the linker keeps every
/// future that a Rust function awaits directly.
pub(crate) struct Linked {
    pub(crate) ecr: bool,
    ecs: bool,
    approval_mailer: bool,
    pub(crate) copy: bool,
    pub(crate) validate: bool,
    verify: bool,
}

pub(crate) const LINKED: Linked = Linked {
    ecr: cfg!(feature = "ecr"),
    ecs: cfg!(feature = "ecs"),
    approval_mailer: cfg!(feature = "approval-mailer"),
    copy: cfg!(feature = "copy"),
    validate: cfg!(feature = "validate"),
    verify: cfg!(feature = "verify"),
};

fn with_policy<'a>(
    clients: &'a Clients,
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    effect: &'a Effect,
    known: &'a Known,
) -> BoxFuture<'a, Outcome> {
    match effect {
        Effect::TagBuild(build) if LINKED.ecr => Box::pin(tag::build(clients, build)),
        Effect::TagStable(pin) if LINKED.ecr => Box::pin(tag::stable(clients, subject, policy, pin)),
        Effect::TagBackup { tag, digest } if LINKED.ecr => {
            Box::pin(tag::backup(clients, policy, tag, digest))
        }
        Effect::TagCurrent(digest) if LINKED.ecr => Box::pin(tag::current(clients, subject, policy, digest)),
        Effect::TagLatest { repository, digest } if LINKED.validate => {
            Box::pin(tag::latest(clients, repository, digest))
        }
        Effect::Inspect if LINKED.validate => {
            Box::pin(conditions::inspect(clients, subject, policy, known.inspection.as_ref()))
        }
        Effect::ReadChecks if LINKED.validate => Box::pin(conditions::read_checks(clients, subject)),
        Effect::ReadEarlierPin(environment) if LINKED.validate => {
            Box::pin(conditions::read_earlier_pin(clients, subject, environment))
        }
        Effect::Ask(approver) if LINKED.approval_mailer => {
            Box::pin(ask::ask(clients, subject, policy, approver))
        }
        Effect::CheckSubscriptions if LINKED.approval_mailer => {
            Box::pin(subscriptions::check(clients, subject, policy))
        }
        Effect::ConfirmVote(approver) if LINKED.approval_mailer => {
            Box::pin(vote_confirmation::confirm_vote(clients, subject, approver))
        }
        Effect::Deploy(direction, service) if LINKED.ecs => {
            let known = known.services.iter().find(|snapshot| snapshot.service == *service);
            Box::pin(deploy::deploy(clients, subject, policy, *direction, service, known))
        }
        Effect::Copy if LINKED.copy => Box::pin(copy::copy(clients, subject, policy, &known.meter)),
        Effect::Prepare if LINKED.verify => Box::pin(prepare::prepare(clients, subject, policy)),
        Effect::Follow(direction, service) if LINKED.verify => {
            Box::pin(follow::follow(clients, subject, policy, *direction, service))
        }
        Effect::RestoreFamily(service) if LINKED.verify => {
            Box::pin(family::restore(clients, subject, policy, service))
        }
        Effect::Probe if LINKED.verify => Box::pin(probe::probe(clients, policy)),
        Effect::Notify(notice) if LINKED.verify => Box::pin(notify::notify(clients, subject, *notice)),
        // A Lambda function that lacks the client does not start these effects. The promoter
        // carries them out.
        Effect::TagBuild(_)
        | Effect::TagStable(_)
        | Effect::TagBackup { .. }
        | Effect::TagCurrent(_)
        | Effect::TagLatest { .. }
        | Effect::Inspect
        | Effect::ReadChecks
        | Effect::ReadEarlierPin(_)
        | Effect::Ask(_)
        | Effect::CheckSubscriptions
        | Effect::ConfirmVote(_)
        | Effect::Copy
        | Effect::Prepare
        | Effect::Deploy(..)
        | Effect::Follow(..)
        | Effect::Probe
        | Effect::RestoreFamily(_)
        | Effect::Notify(_) => {
            Box::pin(ready(Outcome::Problem("this function has no client for it".to_owned())))
        }
    }
}

/// Carries out an effect of an environment that was removed from the configuration. Changes nothing
/// in AWS, but still notifies people that the operation has ended.
fn without_policy<'a>(
    clients: &'a Clients,
    subject: &'a Subject,
    effect: &'a Effect,
) -> BoxFuture<'a, Outcome> {
    match effect {
        Effect::Notify(notice) if LINKED.verify => Box::pin(notify::notify(clients, subject, *notice)),
        Effect::ConfirmVote(approver) if LINKED.approval_mailer => {
            Box::pin(vote_confirmation::confirm_vote(clients, subject, approver))
        }
        Effect::RestoreFamily(service) => Box::pin(ready(Outcome::FamilyRestored(service.clone()))),
        Effect::TagBuild(_)
        | Effect::TagStable(_)
        | Effect::TagBackup { .. }
        | Effect::TagCurrent(_)
        | Effect::TagLatest { .. }
        | Effect::Inspect
        | Effect::ReadChecks
        | Effect::ReadEarlierPin(_)
        | Effect::Ask(_)
        | Effect::CheckSubscriptions
        | Effect::ConfirmVote(_)
        | Effect::Copy
        | Effect::Prepare
        | Effect::Deploy(..)
        | Effect::Follow(..)
        | Effect::Probe
        | Effect::Notify(_) => {
            let problem = "the environment is no longer in the configuration".to_owned();
            Box::pin(ready(Outcome::Problem(problem)))
        }
    }
}

fn report(subject: &Subject, effect: &Effect, outcome: &Outcome) {
    if let Outcome::Problem(problem)
    | Outcome::NotifyFailed(problem)
    | Outcome::BuildTagRefused(problem)
    | Outcome::AskRefused { reason: problem, .. }
    | Outcome::CopyFailed { problem, .. }
    | Outcome::Service(
        _,
        _,
        Observation::Unheard { problem } | Observation::Refused { reason: problem },
    ) = outcome
    {
        let id = subject.operation.as_ref().map(|operation| operation.id().to_string());
        tracing::warn!(
            application.name = %subject.application(),
            environment.name = %subject.name,
            operation.id = id,
            effect = name(effect),
            problem,
            "{} failed: {problem}",
            name(effect),
        );
    }
}

fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::TagBuild(_) => "putting the build tag",
        Effect::TagStable(_) => "putting the stable tag",
        Effect::TagBackup { .. } => "putting the backup tag",
        Effect::TagLatest { .. } => "putting the tag latest",
        Effect::Inspect => "reading the image",
        Effect::ReadChecks => "reading the checks of the image",
        Effect::ReadEarlierPin(_) => "reading the pins of the earlier environment",
        Effect::Ask(_) => "sending an approval mail",
        Effect::CheckSubscriptions => "checking the subscriptions",
        Effect::ConfirmVote(_) => "sending a vote confirmation",
        Effect::TagCurrent(_) => "putting the tag of the running image",
        Effect::Copy => "copying the image",
        Effect::Prepare => "reading the services",
        Effect::Deploy(..) => "deploying a service",
        Effect::Follow(..) => "following a deployment",
        Effect::RestoreFamily(_) => "restoring a task definition family",
        Effect::Probe => "probing the endpoints",
        Effect::Notify(_) => "sending a notice",
    }
}

fn problem(error: &dyn std::error::Error) -> Outcome {
    Outcome::Problem(chain(error))
}

/// The most characters that a failure reason quotes from an AWS message.
const LONGEST_WORDS: usize = 1500;

/// Returns the error message of AWS on one line, for people.
fn words(error: &dyn std::error::Error) -> String {
    one_line(&chain(error), LONGEST_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Answer(String);

    /// An IAM role has a name of at most 64 characters, and a path of at most 512 characters.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    #[test]
    fn failure_reason_quotes_the_longest_iam_denial_in_full() {
        let denial = format!(
            "AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/{}/{} is not authorized to perform: \
             iam:PassRole on resource: arn:aws:iam::111122223333:role/{}/{} because no identity-based policy allows the \
             iam:PassRole action (HTTP 400, request 01234567-89ab-cdef-0123-456789abcdef)",
            "r".repeat(64),
            "s".repeat(64),
            "p".repeat(510),
            "t".repeat(64),
        );
        assert_eq!(words(&Answer(denial.clone())), denial);
        let shown = words(&Answer("x".repeat(5000)));
        assert!(shown.chars().count() <= LONGEST_WORDS && shown.ends_with('…'), "{shown}");
    }
}
