//! The signed requests to decide on a promotion, to request a promotion, or to withdraw a
//! promotion. In the application file, each approver may have `principals`. A signed decision
//! counts for the approver with the signer's principal. Without such an approver, the decision is
//! refused.

use serde::Deserialize;
use stablepin_api_types::{DecidedPromotion, RequestedPromotion};
use stablepin_aws::dynamodb::{Key, OperationKey, uuid_v7};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Clients, Deadline, ReconcileError, Source, attribution, reconcile};
use stablepin_rules::audit::Actor;
use stablepin_rules::commit::Commit;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, ApproverName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Occurrence, Subject, Verdict};
use stablepin_rules::transition::{Decision, Input, Opening};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    decision: Verdict,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    digest: String,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawn {
    reason: Option<String>,
}

pub(crate) async fn decide(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let arn = request.signed_by()?.to_owned();
    let example = r#"{"decision": "reject", "reason": "breaks the login"}"#;
    let body: Decided =
        serde_json::from_str(&request.body).map_err(|error| not_understood(&error, example))?;
    let subject = subject(clients, request).await?;
    // Several approvers may have the same principal. An approver of this environment is preferred.
    let here = |name: &&ApproverName| {
        subject.policy().is_some_and(|policy| policy.approval.approvers.contains(*name))
    };
    let application = &subject.configuration.application;
    let approver =
        application.approvers_of(&arn).find(here).or_else(|| application.approvers_of(&arn).next());
    let Some(approver) = approver else {
        let detail = format!(
            "{arn} is not an approver of {}: write it in an approver's `principals`, or decide with the \
             mailed link",
            subject.application()
        );
        return Err(Problem::new(403, "not-an-approver", "Not an approver", detail));
    };
    let decision = Decision {
        approver: approver.clone(),
        verdict: body.decision,
        reason: body.reason,
        actor: Actor::Principal { arn },
        form: None,
    };
    carry_out(clients, request, subject, Input::Decision(decision), deadline).await
}

/// Withdraws a promotion. IAM decides which callers may call this route.
pub(crate) async fn withdraw(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let actor = Actor::Principal { arn: request.signed_by()?.to_owned() };
    let body: Withdrawn = match request.body.trim() {
        "" => Withdrawn::default(),
        text => {
            let example = r#"{"reason": "wrong branch"}"#;
            serde_json::from_str(text).map_err(|error| not_understood(&error, example))?
        }
    };
    let subject = subject(clients, request).await?;
    let observed = Input::Withdrawn { actor, reason: body.reason };
    carry_out(clients, request, subject, observed, deadline).await
}

/// Requests a promotion of a known build, without a push. In the order of promotions, the request
/// counts as a push at the current time.
pub(crate) async fn ask(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let actor = Actor::Principal { arn: request.signed_by()?.to_owned() };
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let example = r#"{"digest": "sha256:…", "reason": "the hotfix"}"#;
    let body: DecisionBody =
        serde_json::from_str(&request.body).map_err(|error| not_understood(&error, example))?;
    let digest = ImageDigest::parse(&body.digest)
        .map_err(|error| Problem::bad_request(error.to_string()).with("in", "digest"))?;
    let read = async || {
        let found = clients.table.configured_environment(&application, &environment).await;
        found
            .map_err(|error| internal_error(request, &error))?
            .ok_or_else(|| Problem::not_found("application of that name"))
    };
    let mut subject = read().await?;
    let build =
        clients.table.build(&application, &digest).await.map_err(|error| internal_error(request, &error))?;
    let Some(build) = build else {
        let detail = format!(
            "there is no build {digest} of {application}: a build is an image that was pushed to {} with a \
             tag that `builds` names",
            subject.configuration.application.repository
        );
        return Err(Problem::new(404, "not-found", "Not found", detail));
    };
    // The people who pushed the image count as requesters of the promotion, like the caller.
    let pushers = clients.table.pushers(&application, &digest).await;
    let pushers = pushers.map_err(|error| internal_error(request, &error))?;
    let opening = Opening {
        id: OperationId::new(uuid_v7(now())),
        occurrence: Occurrence { at: now(), digest: digest.clone() },
        repository: build.repository.clone(),
        pushed_tag: build.pushed_tag.clone(),
        commit: build.commit.as_deref().and_then(|commit| Commit::parse(commit).ok()),
        media_type: build.media_type.clone(),
        size_bytes: build.size_bytes,
        platforms: build.platforms.clone(),
        names_taken: build.names_taken,
        run: None,
        is_copied: false,
        asked_by: Some(actor),
        pushers: pushers.clone(),
        reason: body.reason,
    };
    subject.build = Some(build);
    let opened = vec![Input::Opened(Box::new(opening))];
    let promotion = match reconcile(clients, Source::Subject(Box::new(subject)), opened, deadline).await {
        Ok(after) => after.promotion().map(|promotion| promotion.id),
        // Another caller has requested the same promotion in the same second. Both callers get the
        // id of that promotion.
        Err(ReconcileError::AlreadyOpened) => {
            let latest = read().await?.environment.latest;
            latest.filter(|latest| latest.occurrence.digest == digest).map(|latest| latest.promotion)
        }
        Err(error) => return Err(refused(request, error)),
    };
    let told = attribution::catch_up(clients, &application, &digest, &pushers, deadline).await;
    told.map_err(|error| internal_error(request, &error))?;
    Ok(answer(202, &RequestedPromotion { application, environment, promotion }))
}

pub(crate) fn not_understood(error: &serde_json::Error, example: &str) -> Problem {
    Problem::bad_request(format!("the body is not valid: {error}. Send JSON such as {example}"))
}

async fn subject(clients: &Clients, request: &Request) -> Result<Subject, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let missing = || Problem::not_found(&format!("promotion {} of {application}", request.path("promotion")));
    let id = OperationId::parse(request.path("promotion")).ok_or_else(missing)?;
    let operation = OperationKey::Promotion(id);
    let found = clients.table.operation(&application, operation).await;
    let (environment, _) = found.map_err(|error| internal_error(request, &error))?.ok_or_else(missing)?;
    let key = Key { application: application.clone(), environment, operation };
    let found = clients.table.subject(&key, None).await.map_err(|error| internal_error(request, &error))?;
    found.map(|(subject, _)| subject).ok_or_else(missing)
}

async fn carry_out(
    clients: &Clients,
    request: &Request,
    subject: Subject,
    observed: Input,
    deadline: Deadline,
) -> Result<Response, Problem> {
    match reconcile(clients, Source::Subject(Box::new(subject)), vec![observed], deadline).await {
        Ok(after) => Ok(answer(200, &DecidedPromotion::new(&after))),
        Err(error) => Err(refused(request, error)),
    }
}

fn refused(request: &Request, error: ReconcileError) -> Problem {
    match error.into_refusal() {
        Ok(refusal) => Problem::from(&refusal),
        Err(error) => internal_error(request, &error),
    }
}

pub(crate) fn internal_error(request: &Request, error: &dyn std::error::Error) -> Problem {
    let chain = chain(error);
    tracing::error!(request.id = request.id, "the request failed: {chain}");
    let what = "the request may have been carried out or not: read the promotion to see";
    Problem::internal(&request.id, what)
}
