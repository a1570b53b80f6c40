//! The environment commands: `PUT …/freeze`, `DELETE …/freeze`, `DELETE …/hold`,
//! `DELETE …/watermark`.

use jiff::SignedDuration;
use serde::Deserialize;
use stablepin_api_types::EnvironmentAnswer;
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::{Clients, Deadline, Source, reconcile};
use stablepin_rules::audit::Actor;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::transition::{EnvironmentAction, EnvironmentCommand, Input};

use crate::internal_error;

/// The body of an environment command. A command that needs no reason may have an empty body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    reason: Option<String>,
}

pub(crate) async fn carry_out(
    clients: &Clients,
    request: &Request,
    action: EnvironmentAction,
) -> Result<Response, Problem> {
    let actor = Actor::Principal { arn: request.signed_by()?.to_owned() };
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let body: CommandBody = match request.body.trim() {
        "" => CommandBody::default(),
        body => serde_json::from_str(body).map_err(|error| {
            let example = r#"{"reason": "no releases until Monday"}"#;
            Problem::bad_request(format!("the body is not valid: {error}. Send JSON such as {example}"))
        })?,
    };
    let found = clients.table.configured_environment(&application, &environment).await;
    let subject = found
        .map_err(|error| internal_error(request, &error))?
        .ok_or_else(|| Problem::not_found("application of that name"))?;
    let observed = vec![Input::Commanded(EnvironmentCommand { action, reason: body.reason, actor })];
    let deadline = Deadline::of_invocation(now() + SignedDuration::from_secs(10));
    match reconcile(clients, Source::Subject(Box::new(subject)), observed, deadline).await {
        Ok(after) => Ok(answer(200, &EnvironmentAnswer::from(&after))),
        Err(error) => Err(match error.into_refusal() {
            Ok(refusal) => Problem::from(&refusal),
            Err(error) => internal_error(request, &error),
        }),
    }
}
