//! The signed report of a check. Every caller whose IAM policies allow this route may report a
//! check.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use stablepin_api_types::{RecordedAnswer, ReportedCheck, ReportedPromotion};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::check::{Report, ReportError, report};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::{Clients, Deadline, ReconcileError};
use stablepin_rules::application::CheckName;
use stablepin_rules::audit::Actor;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::link::Link;
use stablepin_rules::name::{ApplicationName, InvalidName};
use stablepin_rules::records::{Check, CheckResult, MOST_CHECKS};

use crate::signed::{internal_error, not_understood};

const EXAMPLE: &str = r#"{"digest": "sha256:…", "name": "staging-tests", "result": "passed"}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    digest: String,
    name: String,
    result: CheckResult,
    link: Option<String>,
    seconds: Option<u32>,
    finished_at: Option<Timestamp>,
}

/// The most time by which a pipeline's clock may be ahead of Stablepin's clock.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

pub(crate) async fn put(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let by = Actor::Principal { arn: request.signed_by()?.to_owned() };
    let application = request.parsed("application", ApplicationName::parse)?;
    let body: Body = serde_json::from_str(&request.body).map_err(|error| not_understood(&error, EXAMPLE))?;
    let invalid = |member: &'static str| {
        move |error: InvalidName| Problem::bad_request(error.to_string()).with("in", member)
    };
    let digest = ImageDigest::parse(&body.digest).map_err(invalid("digest"))?;
    let name = CheckName::parse(&body.name).map_err(invalid("name"))?;
    let link = body.link.as_deref().map(Link::parse).transpose().map_err(invalid("link"))?;
    let at = body.finished_at.unwrap_or_else(now);
    if at > now() + AHEAD {
        let detail = format!("{at} is in the future: write the time at which the check ended");
        return Err(Problem::bad_request(detail).with("in", "finished_at"));
    }
    let configured = clients.table.configured(&application).await;
    let configured = configured
        .map_err(|error| internal_error(request, &error))?
        .ok_or_else(|| Problem::not_found("application of that name"))?;
    let requiring = configured.environments.iter().filter(|one| one.requires.contains(&name));
    let required_by = requiring.map(|one| one.name.clone()).collect();
    let required = configured.environments.iter().flat_map(|one| &one.requires).cloned().collect();

    let check = Check { result: body.result, at, link, seconds: body.seconds, by };
    let news = Report { application, digest, name, check, required };
    let reported = report(clients, &news, deadline).await.map_err(|error| match error {
        ReportError::Contended | ReportError::Reconcile(ReconcileError::Contended) => {
            Problem::new(503, "contended", "Try again", error.to_string())
        }
        ReportError::Table(_) | ReportError::Reconcile(_) => internal_error(request, &error),
    })?;
    let Some(recorded) = RecordedAnswer::new(reported.recorded) else {
        let detail = format!(
            "{} has {MOST_CHECKS} checks already, and no environment requires {}: report fewer names for one image",
            news.digest, news.name
        );
        return Err(Problem::new(409, "too-many-checks", "Too many checks", detail));
    };
    let promotions = reported.promotions.iter().filter_map(ReportedPromotion::new).collect();
    let Report { application, digest, name, .. } = news;
    Ok(answer(200, &ReportedCheck { application, digest, name, recorded, required_by, promotions }))
}
