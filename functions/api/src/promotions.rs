//! `POST …/environments/{environment}/promotions`: somebody asks that a build be promoted, without pushing it again.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;
use stablepin_aws::dynamodb::uuid_v7;
use stablepin_core::audit::Actor;
use stablepin_core::commit::Commit;
use stablepin_core::image::ImageDigest;
use stablepin_core::name::{ApplicationName, EnvironmentName};
use stablepin_core::records::{Occurrence, OperationId};
use stablepin_core::step::{Observed, Opening};
use stablepin_driver::clock::now;
use stablepin_driver::{Deadline, Doors, Start, drive};
use stablepin_http::{Problem, Request, Response, json as answer};

use crate::ours;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    digest: String,
    reason: Option<String>,
}

/// It takes its place in the order now, as a push of the same image would.
pub(crate) async fn ask(doors: &Doors, request: &Request) -> Result<Response, Problem> {
    let actor = Actor::Principal { arn: request.signed_by()?.to_owned() };
    let application = request.parsed("application", ApplicationName::parse)?;
    let environment = request.parsed("environment", EnvironmentName::parse)?;
    let body: Body = serde_json::from_str(&request.body).map_err(|error| {
        let example = r#"{"digest": "sha256:…", "reason": "the hotfix"}"#;
        Problem::bad_request(format!("the body is no request: {error}. Send JSON such as {example}"))
    })?;
    let digest = ImageDigest::parse(&body.digest)
        .map_err(|error| Problem::bad_request(error.to_string()).with("in", "digest"))?;
    let found = doors.table.configured_environment(&application, &environment).await;
    let mut subject = found
        .map_err(|error| ours(request, &error))?
        .ok_or_else(|| Problem::not_found("application of that name"))?;
    let build = doors.table.build(&application, &digest).await.map_err(|error| ours(request, &error))?;
    let Some(build) = build else {
        let detail = format!(
            "there is no build {digest} of {application}: only what was pushed to {} under a tag that `builds` names is one",
            subject.configuration.application.repository
        );
        return Err(Problem::new(404, "not-found", "Not found", detail));
    };
    let opening = Opening {
        id: OperationId::new(uuid_v7(now())),
        occurrence: Occurrence { at: now(), digest },
        repository: build.repository.clone(),
        pushed_tag: build.pushed_tag.clone(),
        commit: build.commit.as_deref().and_then(|commit| Commit::parse(commit).ok()),
        media_type: build.media_type.clone(),
        size_bytes: build.size_bytes,
        platforms: build.platforms.clone(),
        names_taken: build.names_taken,
        asked_by: Some(actor),
        reason: body.reason,
    };
    subject.build = Some(build);
    let observed = vec![Observed::Opened(Box::new(opening))];
    let deadline = Deadline::of_invocation(now() + SignedDuration::from_secs(10));
    match drive(doors, Start::Subject(Box::new(subject)), observed, deadline).await {
        Ok(after) => {
            let promotion = after.promotion().map(|promotion| promotion.id);
            let body =
                json!({ "application": application, "environment": environment, "promotion": promotion });
            Ok(answer(202, &body))
        }
        Err(error) => Err(match error.into_refusal() {
            Ok(refusal) => Problem::from(&refusal),
            Err(error) => ours(request, &error),
        }),
    }
}
