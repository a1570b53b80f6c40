//! The routes that read the table: one record, or a page of records with a cursor.

use serde_json::{Value, json};
use stablepin_aws::dynamodb::{Cursor, OperationKey, Table};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Environment, Operation, Work};

use crate::internal_error;

pub(crate) fn page_of(request: &Request) -> Result<(i32, Option<Cursor>), Problem> {
    let (limit, after) = request.page()?;
    Ok((limit, after.map(Cursor)))
}

pub(crate) async fn build(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let digest = request.parsed("digest", ImageDigest::parse)?;
    let found = table.build(&application, &digest).await.map_err(|error| internal_error(request, &error))?;
    let build = found.ok_or_else(|| Problem::not_found(&format!("build {digest} of {application}")))?;
    Ok(answer(200, &build))
}

pub(crate) async fn promotions(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let (limit, after) = page_of(request)?;
    let page = table
        .promotions(&application, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let items: Vec<Value> =
        page.items.iter().map(|(environment, operation)| operation_json(environment, operation)).collect();
    Ok(answer(200, &json!({ "promotions": items, "next": page.next.map(|cursor| cursor.0) })))
}

pub(crate) async fn promotion(table: &Table, request: &Request) -> Result<Response, Problem> {
    let id = OperationId::parse(request.path("promotion"));
    operation(table, request, id.map(OperationKey::Promotion), "promotion").await
}

pub(crate) async fn rollback(table: &Table, request: &Request) -> Result<Response, Problem> {
    let id = OperationId::parse(request.path("rollback"));
    operation(table, request, id.map(OperationKey::Rollback), "rollback").await
}

async fn operation(
    table: &Table,
    request: &Request,
    key: Option<OperationKey>,
    what: &str,
) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let missing = || Problem::not_found(&format!("{what} {} of {application}", request.path(what)));
    let found = table
        .operation(&application, key.ok_or_else(missing)?)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let (environment, operation) = found.ok_or_else(missing)?;
    Ok(answer(200, &operation_json(&environment, &operation)))
}

/// Returns the record for the API, without the reconciler's own fields and without the hashes of
/// links.
fn operation_json(environment: &EnvironmentName, operation: &Operation) -> Value {
    let mut value = match &operation.work {
        Work::Promotion(promotion) => {
            let mut value = json!(promotion);
            value["reason"] = text(promotion.reason.as_ref());
            value["failure"] = text(promotion.failure.as_ref());
            value
        }
        Work::Rollback(rollback) => {
            let mut value = json!(rollback);
            value["reason"] = text(rollback.reason.as_ref());
            if let Some(hold) = &rollback.held_before {
                value["held_before"]["reason"] = text(Some(&hold.reason));
            }
            value
        }
        Work::Repair(repair) => json!(repair),
        Work::LiveDrift(report) => json!(report),
    };
    if let Value::Object(members) = &mut value {
        if let Some(Value::Object(asked)) = members.get_mut("asked") {
            for one in asked.values_mut() {
                *one = one.get("at").cloned().unwrap_or_default();
            }
        }
        members.insert("environment".to_owned(), json!(environment));
        members.insert("problem".to_owned(), json!(operation.problem));
        members.insert("next_look".to_owned(), json!(operation.wake_at));
    }
    value
}

pub(crate) async fn environment(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let found = table.configured_environment(&application, &environment).await;
    let subject = found
        .map_err(|error| internal_error(request, &error))?
        .filter(|subject| subject.policy().is_some())
        .ok_or_else(|| Problem::not_found(&format!("environment {environment} of {application}")))?;
    Ok(answer(
        200,
        &json!({
            "application": application,
            "name": environment,
            "record": environment_json(&subject.environment),
        }),
    ))
}

/// Returns the record for the API, with the hold's reason as text.
pub(crate) fn environment_json(environment: &Environment) -> Value {
    let mut value = json!(environment);
    if let Some(hold) = &environment.hold {
        value["hold"]["reason"] = text(Some(&hold.reason));
    }
    value
}

fn text(reason: Option<&impl ToString>) -> Value {
    json!(reason.map(ToString::to_string))
}

pub(crate) async fn pins(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let (limit, after) = page_of(request)?;
    let page = table
        .pins_page(&application, &environment, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    Ok(answer(200, &json!({ "pins": page.items, "next": page.next.map(|cursor| cursor.0) })))
}

/// Handles `?month=2026-11`. The default is the current month.
pub(crate) async fn audit(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let this_month = now().strftime("%Y-%m").to_string();
    let month = request.query("month").unwrap_or(&this_month);
    let valid = month.len() == 7
        && month.bytes().enumerate().all(|(at, b)| if at == 4 { b == b'-' } else { b.is_ascii_digit() });
    if !valid {
        return Err(Problem::bad_request("`month` must be a year and a month, such as 2026-11"));
    }
    let (limit, after) = page_of(request)?;
    let page = table
        .audit(&application, month, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    Ok(answer(200, &json!({ "month": month, "audit": page.items, "next": page.next.map(|cursor| cursor.0) })))
}

/// Returns the findings of the promoter's last hourly check of subscriptions.
pub(crate) async fn health(table: &Table, request: &Request) -> Result<Response, Problem> {
    let all = table.all_health().await.map_err(|error| internal_error(request, &error))?;
    let findings: Vec<_> = all.into_iter().filter(|health| !health.findings.is_empty()).collect();
    let status = if findings.is_empty() { "ok" } else { "degraded" };
    Ok(answer(200, &json!({ "status": status, "findings": findings })))
}
