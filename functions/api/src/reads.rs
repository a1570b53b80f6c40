//! The routes that read the table: one record, or a page of records with a cursor.

use serde::Serialize;
use stablepin_api_types::{
    AuditPage, BuildAnswer, BuildPage, EnvironmentAnswer, FindingAnswer, HealthAnswer, HealthStatus,
    IgnoredPushes, PinPage, PromotionAnswer, PromotionPage, RollbackAnswer, RollbackPage,
};
use stablepin_aws::dynamodb::{Cursor, OperationKey, Table};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::Operation;

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
    Ok(answer(200, &BuildAnswer::from(&build)))
}

/// Returns the newest pushes that opened no promotion, with the reasons.
pub(crate) async fn ignored_pushes(table: &Table, request: &Request) -> Result<Response, Problem> {
    let name = request.parsed("application", ApplicationName::parse)?;
    let configured = table.configured(&name).await.map_err(|error| internal_error(request, &error))?;
    let configured = configured.ok_or_else(|| Problem::not_found("application of that name"))?;
    let ignored = table.ignored_pushes(&name, &configured.repository).await;
    let ignored = ignored.map_err(|error| internal_error(request, &error))?;
    Ok(answer(200, &IgnoredPushes { ignored_pushes: ignored.iter().map(Into::into).collect() }))
}

pub(crate) async fn builds(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let (limit, after) = page_of(request)?;
    let page =
        table.builds(&application, limit, after).await.map_err(|error| internal_error(request, &error))?;
    let builds = page.items.iter().map(Into::into).collect();
    Ok(answer(200, &BuildPage { builds, next: page.next.map(|cursor| cursor.0) }))
}

pub(crate) async fn promotions(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let (limit, after) = page_of(request)?;
    let page = table
        .promotions(&application, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let items = page.items.iter();
    let promotions = items.filter_map(|(name, operation)| PromotionAnswer::new(name, operation)).collect();
    Ok(answer(200, &PromotionPage { promotions, next: page.next.map(|cursor| cursor.0) }))
}

pub(crate) async fn rollbacks(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let (limit, after) = page_of(request)?;
    let page = table
        .rollbacks(&application, &environment, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let items = page.items.iter();
    let rollbacks = items.filter_map(|operation| RollbackAnswer::new(&environment, operation)).collect();
    Ok(answer(200, &RollbackPage { rollbacks, next: page.next.map(|cursor| cursor.0) }))
}

pub(crate) async fn promotion(table: &Table, request: &Request) -> Result<Response, Problem> {
    let id = OperationId::parse(request.path("promotion"));
    operation(table, request, id.map(OperationKey::Promotion), "promotion", PromotionAnswer::new).await
}

pub(crate) async fn rollback(table: &Table, request: &Request) -> Result<Response, Problem> {
    let id = OperationId::parse(request.path("rollback"));
    operation(table, request, id.map(OperationKey::Rollback), "rollback", RollbackAnswer::new).await
}

async fn operation<T: Serialize>(
    table: &Table,
    request: &Request,
    key: Option<OperationKey>,
    what: &str,
    shown: fn(&EnvironmentName, &Operation) -> Option<T>,
) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let missing = || Problem::not_found(&format!("{what} {} of {application}", request.path(what)));
    let found = table
        .operation(&application, key.ok_or_else(missing)?)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let (environment, operation) = found.ok_or_else(missing)?;
    Ok(answer(200, &shown(&environment, &operation).ok_or_else(missing)?))
}

pub(crate) async fn environment(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let found = table.configured_environment(&application, &environment).await;
    let subject = found
        .map_err(|error| internal_error(request, &error))?
        .filter(|subject| subject.policy().is_some())
        .ok_or_else(|| Problem::not_found(&format!("environment {environment} of {application}")))?;
    Ok(answer(200, &EnvironmentAnswer::from(&subject)))
}

pub(crate) async fn pins(table: &Table, request: &Request) -> Result<Response, Problem> {
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let (limit, after) = page_of(request)?;
    let page = table
        .pins_page(&application, &environment, limit, after)
        .await
        .map_err(|error| internal_error(request, &error))?;
    let pins = page.items.iter().map(Into::into).collect();
    Ok(answer(200, &PinPage { pins, next: page.next.map(|cursor| cursor.0) }))
}

/// Handles a request for the audit records of one month, such as `?month=2026-11`. The default is
/// the current month.
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
    let audit = page.items.iter().map(Into::into).collect();
    let next = page.next.map(|cursor| cursor.0);
    Ok(answer(200, &AuditPage { month: month.to_owned(), audit, next }))
}

/// Returns the findings of the promoter's last hourly check of the subscriptions.
pub(crate) async fn health(table: &Table, request: &Request) -> Result<Response, Problem> {
    let all = table.all_health().await.map_err(|error| internal_error(request, &error))?;
    let found = all.into_iter().filter(|health| !health.findings.is_empty());
    let findings: Vec<FindingAnswer> = found
        .map(|health| FindingAnswer { about: health.about, findings: health.findings, since: health.since })
        .collect();
    let status = if findings.is_empty() { HealthStatus::Ok } else { HealthStatus::Degraded };
    Ok(answer(200, &HealthAnswer { status, findings }))
}
