//! Starts rollbacks. The Lambda function resolves the target, checks that every service can be
//! deployed, saves the rollback, and starts the deployments. The promoter completes the rollback.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use stablepin_api_types::{RollbackPlan, StartedRollback};
use stablepin_aws::dynamodb::uuid_v7;
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::preflight::{self, ImageError, wrong_platform};
use stablepin_reconciler::{Clients, Deadline, ReconcileError, Snapshot, Source, reconcile};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::audit::Actor;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{RollbackState, ServiceRollout, Subject};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::target::{To, intended, ready, resolve};
use stablepin_rules::transition::{Input, RollbackRequest, transition};

/// The word that the caller must type, so that nobody rolls back by accident.
const CONFIRM: &str = "ROLLBACK";

/// The longest time that the caller waits. After this time, the promoter continues the rollback.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// The longest time for the reads before the first write.
const PREPARED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    to: serde_json::Value,
    confirm: Option<String>,
    #[serde(default)]
    services: Vec<String>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// Handles `POST /v1/applications/{application}/environments/{environment}/rollback`.
///
/// Returns 202 with the rollback's id, 200 with the plan of a dry run, or a problem document. A
/// problem means that nothing has changed, unless its text says that the rollback may have started.
pub async fn handle(clients: &Clients, request: &Request, deadline: Deadline) -> Response {
    match start(clients, request, deadline).await {
        Ok(response) => response,
        Err(problem) => problem.response(),
    }
}

async fn start(clients: &Clients, request: &Request, deadline: Deadline) -> Result<Response, Problem> {
    let prepared = tokio::time::timeout(PREPARED_WITHIN, prepare(clients, request)).await;
    let Prepared { subject, snapshots, asked, dry_run } = prepared.unwrap_or_else(|_| Err(slow(request)))?;
    let follow = format!("/v1/applications/{}/rollbacks/{}", subject.application(), asked.id);
    let observed = vec![Input::RollbackRequested(Box::new(asked))];
    if dry_run {
        let change = transition(now(), &subject, &observed).map_err(|refusal| Problem::from(&refusal))?;
        return Ok(answer(200, &change.after.rollback().map(RollbackPlan::new)));
    }
    let deadline = deadline.within(ANSWER_WITHIN);
    let after = reconcile(clients, Source::Services(subject, snapshots), observed, deadline).await;
    let after = after.map_err(|error| match error {
        ReconcileError::Refused(refusal) => Problem::from(&refusal),
        ReconcileError::NotFound
        | ReconcileError::AlreadyOpened
        | ReconcileError::LinkUsed
        | ReconcileError::Contended
        | ReconcileError::Table(_) => {
            let what =
                format!("the rollback may have been started: read {follow} before you request it again");
            failed(request, &error, &what)
        }
    })?;
    let words = after.rollback().and_then(|rollback| rollback.reason.as_ref()).map(ToString::to_string);
    if after.rollback().is_some_and(|rollback| rollback.state == RollbackState::Failed) {
        let reason = words.as_deref().unwrap_or("Stablepin changed nothing");
        let detail = format!("{reason}. Correct the cause and request it again; {follow} has the record");
        return Err(Problem::new(409, "rollback-failed", "The rollback failed", detail));
    }
    Ok(answer(202, &after.rollback().map(|rollback| StartedRollback::new(rollback, follow))))
}

/// A resolved rollback, before the first write.
struct Prepared {
    subject: Box<Subject>,
    snapshots: Vec<Snapshot>,
    asked: RollbackRequest,
    dry_run: bool,
}

async fn prepare(clients: &Clients, request: &Request) -> Result<Prepared, Problem> {
    let principal = request.signed_by()?.to_owned();
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let body = read(&request.body)?;
    let internal_error = |error: &dyn std::error::Error| internal_error(request, error);

    let found = clients.table.configured_environment(&application, &environment).await;
    let subject = found
        .map_err(|error| internal_error(&error))?
        .ok_or_else(|| Problem::not_found("application of that name"))?;
    let Some(policy) = subject.policy().cloned() else {
        return Err(Problem::from(&Refusal::NoSuchEnvironment));
    };
    let resolved_at = ready(&subject.environment).map_err(|refusal| Problem::from(&refusal))?.number;
    let services = named_services(&policy, &body.services)?;

    let to = text(&body.to);
    let pinned = subject.environment.pin.as_ref().map(|pin| &pin.digest);
    // Most rollbacks have the pin as target, so the pin's image is checked during the other reads.
    let (history, snapshots, stable) = tokio::join!(
        clients.table.pins(&application, &environment),
        snapshots(clients, &policy, &services, request),
        check_image(clients, &policy, pinned.filter(|_| to == "stable"), request),
    );
    let (history, snapshots) = (history.map_err(|error| internal_error(&error))?, snapshots?);
    let rollouts: Vec<ServiceRollout> = snapshots.iter().map(rollout).collect();
    let intended = intended(&rollouts, pinned);
    let target = resolve(&To::parse(&to), &subject.environment, &history, &intended, &policy.stable_tag)
        .map_err(|refusal| Problem::from(&refusal))?;
    if let Some(why) = wrong_platform(&snapshots, &target.platforms) {
        let detail = format!("{why}. Name another pin");
        return Err(Problem::new(409, "wrong-platform", "Built for another machine", detail));
    }
    match stable? {
        Some(digest) if digest == target.digest => {}
        Some(_) | None => {
            check_image(clients, &policy, Some(&target.digest), request).await?;
        }
    }

    let asked = RollbackRequest {
        id: OperationId::new(uuid_v7(now())),
        to,
        target,
        resolved_at,
        reason: body.reason,
        actor: Actor::Principal { arn: principal },
        services: rollouts,
    };
    Ok(Prepared { subject: Box::new(subject), snapshots, asked, dry_run: body.dry_run })
}

fn slow(request: &Request) -> Problem {
    let detail = format!(
        "AWS did not answer in time, and Stablepin changed nothing. Request it again. If it fails again, \
         quote request {}",
        request.id
    );
    Problem::new(503, "slow", "AWS is slow", detail)
}

fn read(body: &str) -> Result<RollbackBody, Problem> {
    let example = r#"{"to": "stable", "confirm": "ROLLBACK", "reason": "500s since 14:30"}"#;
    let body: RollbackBody = serde_json::from_str(body).map_err(|error| {
        Problem::bad_request(format!("the body is not valid: {error}. Send JSON such as {example}"))
    })?;
    if !body.dry_run && body.confirm.as_deref() != Some(CONFIRM) {
        return Err(Problem::new(
            422,
            "not-confirmed",
            "Not confirmed",
            format!("`confirm` must be \"{CONFIRM}\", in capitals: Stablepin changed nothing"),
        ));
    }
    Ok(body)
}

/// Returns the rollback target as text. A JSON caller may send a pin number as a number.
fn text(to: &serde_json::Value) -> String {
    match to {
        serde_json::Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn named_services(policy: &EnvironmentPolicy, named: &[String]) -> Result<Vec<ServiceName>, Problem> {
    if named.is_empty() {
        return Ok(policy.services.clone());
    }
    let known = policy.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let distinct: BTreeSet<&String> = named.iter().collect();
    distinct
        .into_iter()
        .map(|name| {
            policy.services.iter().find(|service| service.to_string() == *name).cloned().ok_or_else(|| {
                Problem::from(&Refusal::UnknownService { service: name.clone(), known: known.clone() })
            })
        })
        .collect()
}

async fn snapshots(
    clients: &Clients,
    policy: &EnvironmentPolicy,
    services: &[ServiceName],
    request: &Request,
) -> Result<Vec<Snapshot>, Problem> {
    let Some(ecs) = &clients.ecs else { return Ok(Vec::new()) };
    preflight::read_services(ecs, policy, services).await.map_err(|error| {
        if error.is_retryable() {
            return internal_error(request, &error);
        }
        Problem::new(409, "service-cannot-move", "A service cannot be rolled back", chain(&error))
    })
}

fn rollout(snapshot: &Snapshot) -> ServiceRollout {
    ServiceRollout::waiting(snapshot.service.clone(), snapshot.live.clone())
}

/// Checks that the image exists and that ECS can pull the image immediately. Without a digest,
/// checks nothing.
async fn check_image(
    clients: &Clients,
    policy: &EnvironmentPolicy,
    digest: Option<&ImageDigest>,
    request: &Request,
) -> Result<Option<ImageDigest>, Problem> {
    let Some(digest) = digest else { return Ok(None) };
    let error = match preflight::check_image(&clients.ecr, &policy.repository, digest).await {
        Ok(()) => return Ok(Some(digest.clone())),
        Err(error) => error,
    };
    let (kind, title) = match &error {
        ImageError::Ecr(error) => return Err(internal_error(request, error)),
        ImageError::Archived { .. } => ("image-archived", "The image is archived"),
        ImageError::Gone { .. } => ("image-gone", "The image is gone"),
    };
    Err(Problem::new(409, kind, title, format!("{error}, or name another pin")))
}

/// Returns the problem for an AWS error before the first write.
fn internal_error(request: &Request, error: &dyn std::error::Error) -> Problem {
    failed(request, error, "the rollback could not be started, and Stablepin changed nothing")
}

fn failed(request: &Request, error: &dyn std::error::Error, what: &str) -> Problem {
    tracing::error!(request.id = request.id, "{what}: {}", chain(error));
    Problem::internal(&request.id, what)
}
