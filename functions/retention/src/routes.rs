//! The routes of retention, for signed requests.

use std::collections::BTreeMap;

use serde::Deserialize;
use stablepin_api_types::{ImageAction, ImageAnswer, ImagePage, RunAnswer, RunPage};
use stablepin_aws::dynamodb::{Cursor, uuid_v7};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_retention_rules::plan::{Plan, Planned, RetentionRule};
use stablepin_retention_rules::run::{DEFAULT_SHARE, Purpose, Run, RunId};
use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::audit::Actor;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

use crate::document::document;
use crate::message::hand_out;
use crate::{RetentionClients, runs};

/// The most images on a page. The response of a Lambda function may have at most 6 MB.
const IMAGES: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    dry_run: Option<bool>,
    /// The largest share of a repository's images that a run may remove, in percent.
    share: Option<u8>,
    reason: Option<String>,
}

const EXAMPLE: &str = r#"{"dry_run": true, "share": 20, "reason": "before the audit"}"#;

pub(crate) async fn handle(clients: &RetentionClients, request: &Request) -> Response {
    route(clients, request).await.unwrap_or_else(|problem| problem.response())
}

async fn route(clients: &RetentionClients, request: &Request) -> Result<Response, Problem> {
    let by = Actor::Principal { arn: request.signed_by()?.to_owned() };
    match request.route.as_str() {
        "GET /v1/applications/{application}/retention" => list(clients, request).await,
        "GET /v1/applications/{application}/retention/{run}" => {
            let (_, run) = run(clients, request).await?;
            Ok(answer(200, &RunAnswer::from(&run)))
        }
        "GET /v1/applications/{application}/retention/{run}/images" => images(clients, request).await,
        "POST /v1/applications/{application}/retention" => {
            let application = application(clients, request).await?;
            let wanted = read_body(request)?;
            let is_dry = application.retention.mode == RetentionMode::DryRun;
            let purpose = match wanted.dry_run.unwrap_or(is_dry) {
                true => Purpose::Plan,
                false => Purpose::Apply { plan_of: None },
            };
            begin(clients, request, &application, purpose, by, wanted).await
        }
        "POST /v1/applications/{application}/retention/{run}/apply" => {
            let (application, run) = run(clients, request).await?;
            let has_plan = run.repositories.values().any(|one| one.plan.is_some());
            if !run.state().is_terminal() || !has_plan {
                let detail = format!("run {} has no plan yet: read it again when it has ended", run.id);
                return Err(Problem::new(409, "no-plan", "There is no plan", detail));
            }
            let wanted = read_body_for(request, &run)?;
            begin(clients, request, &application, Purpose::Apply { plan_of: Some(run.id) }, by, wanted).await
        }
        "POST /v1/applications/{application}/retention/{run}/undo" => {
            let (application, run) = run(clients, request).await?;
            if run.repositories.values().all(|one| one.archived == 0) {
                let detail = format!(
                    "run {} archived nothing: deleted images cannot be restored, only pushed again; their \
                     manifests are in the bucket",
                    run.id
                );
                return Err(Problem::new(409, "nothing-archived", "Nothing was archived", detail));
            }
            if !run.state().is_terminal() {
                let detail = format!("run {} is still archiving images: undo it when it has ended", run.id);
                return Err(Problem::new(409, "run-not-over", "The run has not ended", detail));
            }
            let wanted = read_body_for(request, &run)?;
            begin(clients, request, &application, Purpose::Undo { of: run.id }, by, wanted).await
        }
        route => Err(Problem::not_found(&format!("route {route}"))),
    }
}

fn read_body(request: &Request) -> Result<ApplyBody, Problem> {
    let wanted: ApplyBody = match request.body.trim() {
        "" => ApplyBody::default(),
        text => serde_json::from_str(text).map_err(|error| {
            Problem::bad_request(format!("the body is not valid: {error}; write for example {EXAMPLE}"))
        })?,
    };
    if wanted.share.is_some_and(|share| !(1..=100).contains(&share)) {
        return Err(Problem::bad_request(
            "share: write how many percent of a repository's images one run may remove, 1 to 100",
        ));
    }
    Ok(wanted)
}

/// Reads the body of a request to apply or undo `run`. The plan of `run` has already fixed the
/// share, so the body must not contain a share.
fn read_body_for(request: &Request, run: &Run) -> Result<ApplyBody, Problem> {
    let wanted = read_body(request)?;
    if wanted.dry_run.is_some() || wanted.share.is_some() {
        return Err(Problem::bad_request(
            "dry_run and share belong to a run with its own plan (POST …/retention); here, write a reason \
             or nothing",
        ));
    }
    Ok(ApplyBody { share: Some(run.share), ..wanted })
}

async fn begin(
    clients: &RetentionClients,
    request: &Request,
    application: &Application,
    purpose: Purpose,
    by: Actor,
    wanted: ApplyBody,
) -> Result<Response, Problem> {
    if matches!(purpose, Purpose::Apply { .. }) && application.retention.mode == RetentionMode::DryRun {
        let detail = "retention.mode is \"dry-run\": write \"delete\" or \"archive\" into the application's file, and \
                      apply it; or request a plan with {\"dry_run\": true}";
        return Err(Problem::new(409, "dry-run", "This application only plans", detail));
    }
    let share = wanted.share.unwrap_or(DEFAULT_SHARE);
    let asked = runs::run_request(application, purpose, by, wanted.reason, share);
    let begun = runs::begin(clients, RunId::new(uuid_v7(now())), &application.name, asked).await;
    let run = begun.map_err(|error| internal_error(request, &error))?;
    hand_out(clients, &run, 0).await.map_err(|error| internal_error(request, &error))?;
    Ok(answer(202, &RunAnswer::from(&run)))
}

async fn application(clients: &RetentionClients, request: &Request) -> Result<Application, Problem> {
    let name = request.parsed("application", ApplicationName::parse)?;
    let configured =
        runs::configured(clients, &name).await.map_err(|error| internal_error(request, &error))?;
    configured.ok_or_else(|| Problem::not_found(&format!("application {name}")))
}

async fn run(clients: &RetentionClients, request: &Request) -> Result<(Application, Run), Problem> {
    let application = application(clients, request).await?;
    let text = request.path("run");
    let unknown = || Problem::not_found(&format!("run {text} of {}", application.name));
    let id = RunId::parse(text).ok_or_else(unknown)?;
    let run =
        clients.table.run(&application.name, id).await.map_err(|error| internal_error(request, &error))?;
    let run = run.ok_or_else(unknown)?;
    Ok((application, run))
}

async fn list(clients: &RetentionClients, request: &Request) -> Result<Response, Problem> {
    let application = application(clients, request).await?;
    let (limit, after) = request.page()?;
    let page = clients.table.runs(&application.name, limit, after.map(Cursor)).await;
    let page = page.map_err(|error| internal_error(request, &error))?;
    let runs = page.items.iter().map(Into::into).collect();
    Ok(answer(200, &RunPage { runs, next: page.next.map(|next| next.0) }))
}

/// Returns the decision of the plan for each image of a repository, with its reason, sorted by
/// digest. `action`, `rule`, `tag` and `digest` are filters.
async fn images(clients: &RetentionClients, request: &Request) -> Result<Response, Problem> {
    let (application, run) = run(clients, request).await?;
    let repository = match request.query("repository") {
        None => application.repository,
        Some(name) => RepositoryName::parse(name)
            .map_err(|error| Problem::bad_request(error.to_string()).with("in", "repository"))?,
    };
    let stored = run.repositories.get(&repository).and_then(|one| one.plan.clone());
    let Some(stored) = stored else {
        let detail = format!("run {} has no plan of {repository} yet, or could not make one", run.id);
        return Err(Problem::new(409, "no-plan", "There is no plan", detail));
    };
    let plan: Plan =
        document(&clients.bucket, &stored).await.map_err(|error| internal_error(request, &error))?;
    let wants = |one: &&Planned| {
        let is = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
        let tagged = |wanted: &str| one.tags.iter().any(|tag| tag.as_str() == wanted);
        is("action", ImageAction::from(&one.fate).as_str())
            && is("rule", one.rule.as_str())
            && is("digest", one.digest.as_str())
            && request.query("tag").is_none_or(tagged)
            && request.query("after").is_none_or(|after| one.digest.as_str() > after)
    };
    let mut images: Vec<ImageAnswer> =
        plan.images.iter().filter(wants).take(IMAGES + 1).map(Into::into).collect();
    let more = images.len() > IMAGES;
    images.truncate(IMAGES);
    let next = images.last().filter(|_| more).map(|last| last.digest.clone());
    let mut rules: BTreeMap<RetentionRule, usize> = BTreeMap::new();
    for one in &plan.images {
        *rules.entry(one.rule).or_default() += 1;
    }
    Ok(answer(200, &ImagePage { repository, at: plan.at, rules, images, next }))
}

fn internal_error(request: &Request, error: &dyn std::error::Error) -> Problem {
    let chain = chain(error);
    tracing::error!(request.id = request.id, "the request failed: {chain}");
    Problem::internal(&request.id, "the table, the queue or the bucket could not be read or written")
}
