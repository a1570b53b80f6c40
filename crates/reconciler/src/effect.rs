//! Carries out the pending effects of an operation. An effect may stop at any point or run twice,
//! so each effect is safe to repeat.

mod ask;
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

use crate::Clients;
use crate::errors::chain;
use crate::snapshot::Snapshot;

/// The time after which ECS shows a change in every call. Until then, a new resource may be absent.
/// "The result of an API command you run that affects your Amazon ECS resources might not be
/// immediately visible to all subsequent commands".
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// Carries out one effect. An error becomes an outcome in the record, for people and for a retry.
/// `known` contains services that were read just now, without any write since.
pub(crate) async fn carry_out(
    clients: &Clients,
    subject: &Subject,
    effect: &Effect,
    known: &[Snapshot],
) -> Outcome {
    let outcome = match subject.policy() {
        Some(policy) => with_policy(clients, subject, policy, effect, known),
        None => without_policy(clients, subject, effect),
    };
    let outcome = outcome.await;
    report(subject, effect, &outcome);
    outcome
}

/// The groups of effects that are linked into this program. A false field keeps the code and the
/// SDK of its effects out. The futures of effects must be boxed: the linker keeps every future that
/// a function awaits in place.
pub(crate) struct Linked {
    pub(crate) ecr: bool,
    ecs: bool,
    approval_mailer: bool,
    verify: bool,
}

pub(crate) const LINKED: Linked = Linked {
    ecr: cfg!(feature = "ecr"),
    ecs: cfg!(feature = "ecs"),
    approval_mailer: cfg!(feature = "approval-mailer"),
    verify: cfg!(feature = "verify"),
};

fn with_policy<'a>(
    clients: &'a Clients,
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    effect: &'a Effect,
    known: &'a [Snapshot],
) -> BoxFuture<'a, Outcome> {
    match effect {
        Effect::TagBuild(build) if LINKED.ecr => Box::pin(tag::build(clients, build)),
        Effect::TagStable(pin) if LINKED.ecr => Box::pin(tag::stable(clients, subject, policy, pin)),
        Effect::TagBackup { tag, digest } if LINKED.ecr => {
            Box::pin(tag::backup(clients, policy, tag, digest))
        }
        Effect::TagCurrent(digest) if LINKED.ecr => Box::pin(tag::current(clients, subject, policy, digest)),
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
            let known = known.iter().find(|snapshot| snapshot.service == *service);
            Box::pin(deploy::deploy(clients, subject, policy, *direction, service, known))
        }
        Effect::Prepare if LINKED.verify => Box::pin(prepare::prepare(clients, subject, policy)),
        Effect::Follow(direction, service) if LINKED.verify => {
            Box::pin(follow::follow(clients, subject, policy, *direction, service))
        }
        Effect::RestoreFamily(service) if LINKED.verify => {
            Box::pin(family::restore(clients, subject, policy, service))
        }
        Effect::Probe if LINKED.verify => Box::pin(probe::probe(clients, policy)),
        Effect::Notify(notice) if LINKED.verify => Box::pin(notify::notify(clients, subject, *notice)),
        // A function without the client does not reach this arm. The promoter carries out the
        // effect.
        Effect::TagBuild(_)
        | Effect::TagStable(_)
        | Effect::TagBackup { .. }
        | Effect::TagCurrent(_)
        | Effect::Ask(_)
        | Effect::CheckSubscriptions
        | Effect::ConfirmVote(_)
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

/// Carries out an effect of an environment that has left the configuration. Changes nothing in AWS,
/// but still notifies people of the operation's end.
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
        | Effect::Ask(_)
        | Effect::CheckSubscriptions
        | Effect::ConfirmVote(_)
        | Effect::Prepare
        | Effect::Deploy(..)
        | Effect::Follow(..)
        | Effect::Probe
        | Effect::Notify(_) => {
            let problem = "the environment is not in the configuration any more".to_owned();
            Box::pin(ready(Outcome::Problem(problem)))
        }
    }
}

fn report(subject: &Subject, effect: &Effect, outcome: &Outcome) {
    if let Outcome::Problem(problem)
    | Outcome::NotifyFailed(problem)
    | Outcome::BuildTagRefused(problem)
    | Outcome::AskRefused { reason: problem, .. }
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
        Effect::CheckSubscriptions => "looking who is subscribed",
        Effect::ConfirmVote(_) => "telling an approver that the link was used",
        Effect::TagCurrent(_) => "putting the tag of what is live",
        Effect::Prepare => "looking at the services",
        Effect::Deploy(..) => "deploying a service",
        Effect::Follow(..) => "following a deployment",
        Effect::RestoreFamily(_) => "putting a family right",
        Effect::Probe => "asking the endpoints",
        Effect::Notify(_) => "telling people",
    }
}

fn problem(error: &dyn std::error::Error) -> Outcome {
    Outcome::Problem(chain(error))
}

/// The most characters that a reason quotes from an AWS message.
const LONGEST_WORDS: usize = 1500;

/// Returns the message of AWS on one line, for people.
fn words(error: &dyn std::error::Error) -> String {
    one_line(&chain(error), LONGEST_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Answer(String);

    /// A role has a name of at most 64 characters, and a path of at most 512 characters.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    #[test]
    fn reason_quotes_the_longest_iam_denial_in_full() {
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
