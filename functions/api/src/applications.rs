//! The routes of applications. A caller sends a TOML file. The API checks the whole file and stores
//! its text unchanged.

use stablepin_api_types::{ApplicationAnswer, ApplicationPage, ChangedApplication};
use stablepin_aws::dynamodb::{PutApplication, PutApplicationError, StoredApplication, Table};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_rules::application::{Allowed, Application, difference};
use stablepin_rules::audit::{Actor, AuditRecord, Kind};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::one_line::bounded;

use crate::reads::page_of;
use crate::{AllowedResources, internal_error};

/// Handles `GET /v1/applications`: returns the names, sorted.
pub(crate) async fn list(table: &Table, request: &Request) -> Result<Response, Problem> {
    let (limit, after) = page_of(request)?;
    let page = table.applications(limit, after).await.map_err(|error| internal_error(request, &error))?;
    let next = page.next.map(|cursor| cursor.0);
    Ok(answer(200, &ApplicationPage { applications: page.items, next }))
}

/// Handles `GET /v1/applications/{application}`: returns the stored file, who stored it, and when.
pub(crate) async fn read(table: &Table, request: &Request) -> Result<Response, Problem> {
    let name = request.parsed("application", ApplicationName::parse)?;
    let stored = table.application(&name).await.map_err(|error| internal_error(request, &error))?;
    let stored = stored.ok_or_else(|| Problem::not_found(&format!("application {name}")))?;
    let StoredApplication { text, version, at, by } = stored;
    Ok(answer(200, &ApplicationAnswer { name, version, at, by, text }))
}

/// Handles `PUT /v1/applications/{application}` with `application/toml`.
///
/// One transaction writes the file, its claims and the audit record. With `?dry_run=true`, the
/// request only checks the file, and the response lists what would change.
pub(crate) async fn put(
    table: &Table,
    settings: &AllowedResources,
    request: &Request,
) -> Result<Response, Problem> {
    let name = request.parsed("application", ApplicationName::parse)?;
    let principal = request.signed_by()?.to_owned();
    let allowed = Allowed {
        partition: settings.partition.clone(),
        region: settings.region.clone(),
        account: request.account.clone().unwrap_or_default(),
        repositories: settings.repositories.clone(),
        clusters: settings.clusters.clone(),
    };
    let text = request.body.as_str();
    let application = Application::parse(text, Some(&allowed)).map_err(|errors| {
        let said = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Problem::new(422, "invalid-application", "The application file is not valid", said)
            .with("errors", &errors)
    })?;
    if application.name != name {
        return Err(Problem::new(
            422,
            "wrong-name",
            "The file is another application's",
            format!(
                "the file says name = \"{}\", the path says {name}: make them the same",
                application.name
            ),
        ));
    }
    let before = table.application(&name).await.map_err(|error| internal_error(request, &error))?;
    let changes = difference(before.as_ref().map(|before| before.text.as_str()), text);
    let version = before.as_ref().map_or(0, |before| before.version);
    if before.as_ref().is_some_and(|before| before.text == text) || request.query("dry_run") == Some("true") {
        return Ok(answer(200, &ChangedApplication { name, version, changes }));
    }
    let at = now();
    let audit = AuditRecord {
        version: AuditRecord::VERSION,
        kind: Kind::Configuration,
        application: name.clone(),
        environment: None,
        id: None,
        digest: None,
        from: before.as_ref().map(|before| before.version.to_string()),
        to: (version + 1).to_string(),
        reason: Some(match &before {
            Some(_) => bounded(changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
            None => "registered".to_owned(),
        }),
        actor: Actor::Principal { arn: principal.clone() },
        facts: None,
        run: None,
        at,
    };
    let put = PutApplication {
        application: &application,
        text,
        before: before.as_ref(),
        allowed: &allowed,
        by: &principal,
        at,
        audit: &audit,
    };
    match table.put_application(&put).await {
        Ok(version) => {
            let status = if version == 1 { 201 } else { 200 };
            Ok(answer(status, &ChangedApplication { name, version, changes }))
        }
        Err(error @ PutApplicationError::Claimed { .. }) => Err(claimed(&error, &put)),
        Err(error @ PutApplicationError::Lost) => {
            Err(Problem::new(409, "changed-meanwhile", "Changed meanwhile", error.to_string()))
        }
        Err(error @ PutApplicationError::TooMany { .. }) => {
            Err(Problem::new(422, "too-many-claims", "The application claims too much", error.to_string()))
        }
        Err(PutApplicationError::Table(error)) => Err(internal_error(request, &error)),
    }
}

/// Returns the problem for a resource that another application has claimed. The problem points to
/// the place in the application's file that names the resource.
fn claimed(error: &PutApplicationError, put: &PutApplication<'_>) -> Problem {
    let problem = Problem::new(409, "claimed", "Another application has claimed it", error.to_string());
    let PutApplicationError::Claimed { what, by } = error else { return problem };
    let claim = put.application.claims(put.allowed).into_iter().find(|claim| claim.what == *what);
    let key = claim.map(|claim| claim.key).unwrap_or_default();
    let errors = Application::error_at(put.text, &key, &error.to_string());
    problem.with("what", what).with("by", by).with("errors", errors)
}
