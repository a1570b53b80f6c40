//! Decisions by signed requests: the signer is the approver that the application file names them, or nobody.

use serde::Deserialize;
use serde_json::json;
use stablepin_aws::dynamodb::{Key, OperationKey};
use stablepin_core::audit::Actor;
use stablepin_core::name::ApplicationName;
use stablepin_core::records::{OperationId, Subject, Verdict};
use stablepin_core::step::{Decision, Observed};
use stablepin_core::steps::steps;
use stablepin_driver::errors::chain;
use stablepin_driver::{Deadline, Doors, Start, drive};
use stablepin_http::{Problem, Request, Response, json as answer};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    decision: Verdict,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawn {
    reason: Option<String>,
}

pub(crate) async fn decide(
    doors: &Doors,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let arn = request.signed_by()?.to_owned();
    let example = r#"{"decision": "reject", "reason": "breaks the login"}"#;
    let body: Decided =
        serde_json::from_str(&request.body).map_err(|error| not_understood(&error, example))?;
    let subject = subject(doors, request).await?;
    let Some(approver) = subject.configuration.application.approver_of(&arn) else {
        let detail = format!(
            "{arn} is nobody among the approvers of {}: write it in their `principals`, or decide by the mailed link",
            subject.application()
        );
        return Err(Problem::new(403, "not-an-approver", "Not an approver", detail));
    };
    let decision = Decision {
        approver: approver.name.clone(),
        verdict: body.decision,
        reason: body.reason,
        actor: Actor::Principal { arn },
        form: None,
    };
    carry_out(doors, request, subject, Observed::Decision(decision), deadline).await
}

/// Whoever may call it takes the question back.
pub(crate) async fn withdraw(
    doors: &Doors,
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
    let subject = subject(doors, request).await?;
    let observed = Observed::Withdrawn { actor, reason: body.reason };
    carry_out(doors, request, subject, observed, deadline).await
}

fn not_understood(error: &serde_json::Error, example: &str) -> Problem {
    Problem::bad_request(format!("the body is not understood: {error}. Send JSON such as {example}"))
}

async fn subject(doors: &Doors, request: &Request) -> Result<Subject, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let missing = || Problem::not_found(&format!("promotion {} of {application}", request.path("promotion")));
    let id = OperationId::parse(request.path("promotion")).ok_or_else(missing)?;
    let operation = OperationKey::Promotion(id);
    let found = doors.table.operation(&application, operation).await;
    let (environment, _) = found.map_err(|error| ours(request, &error))?.ok_or_else(missing)?;
    let key = Key { application: application.clone(), environment, operation };
    let found = doors.table.subject(&key, None).await.map_err(|error| ours(request, &error))?;
    found.map(|(subject, _)| subject).ok_or_else(missing)
}

async fn carry_out(
    doors: &Doors,
    request: &Request,
    subject: Subject,
    observed: Observed,
    deadline: Deadline,
) -> Result<Response, Problem> {
    match drive(doors, Start::Subject(Box::new(subject)), vec![observed], deadline).await {
        Ok(after) => {
            let promotion = after.promotion();
            let body = json!({
                "application": after.application(),
                "environment": after.name,
                "promotion": promotion.map(|promotion| promotion.id),
                "state": promotion.map(|promotion| promotion.state),
                "reason": promotion.and_then(|promotion| promotion.reason.as_deref()),
                "steps": steps(&after),
            });
            Ok(answer(200, &body))
        }
        Err(error) => Err(match error.into_refusal() {
            Ok(refusal) => Problem::from(&refusal),
            Err(error) => ours(request, &error),
        }),
    }
}

fn ours(request: &Request, error: &dyn std::error::Error) -> Problem {
    let chain = chain(error);
    tracing::error!(request.id = request.id, "the decision failed: {chain}");
    let what = "the decision may not have been taken: read the promotion to see";
    Problem::internal(&request.id, what)
}
