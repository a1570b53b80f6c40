//! The signed request that names a pushed image and the pipeline run that made the image. Pipelines
//! need this request for repositories whose push events do not reach Stablepin, such as the
//! repository of a pull-through cache.

use serde::Deserialize;
use stablepin_api_types::{NamedBuild, ReportedPromotion};
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::arrival::{Arrival, ArrivalError, Arrived, NamedImage, arrive};
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Clients, Deadline};
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::link::Link;
use stablepin_rules::name::{ApplicationName, InvalidName};
use stablepin_rules::pipeline_run::{PipelineRun, RunSource};

use crate::signed::{internal_error, not_understood};

const EXAMPLE: &str =
    r#"{"tag": "main-4f2a9c1", "run": {"link": "https://github.com/acme/web/actions/runs/7"}}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    tag: Option<String>,
    digest: Option<String>,
    run: Option<NamedRun>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedRun {
    repository: Option<String>,
    workflow: Option<String>,
    id: Option<String>,
    link: Option<String>,
    started_by: Option<String>,
}

pub(crate) async fn post(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, Problem> {
    let by = request.signed_by()?.to_owned();
    let application = request.parsed("application", ApplicationName::parse)?;
    let body: Body = serde_json::from_str(&request.body).map_err(|error| not_understood(&error, EXAMPLE))?;
    let invalid = |field: &'static str| {
        move |error: InvalidName| Problem::bad_request(error.to_string()).with("in", field)
    };
    let tag = body.tag.as_deref().map(ImageTag::parse).transpose().map_err(invalid("tag"))?;
    let digest = body.digest.as_deref().map(ImageDigest::parse).transpose().map_err(invalid("digest"))?;
    let image = match (tag, digest) {
        (Some(tag), digest) => NamedImage::Tag(tag, digest),
        (None, Some(digest)) => NamedImage::Digest(digest),
        (None, None) => {
            let detail = format!("name the image by `tag`, by `digest`, or by both: {EXAMPLE}");
            return Err(Problem::bad_request(detail).with("in", "tag"));
        }
    };
    let run = match body.run {
        None => None,
        Some(run) => {
            let link = run.link.as_deref().map(Link::parse).transpose().map_err(invalid("run.link"))?;
            let NamedRun { repository, workflow, id, started_by, link: _ } = run;
            let (source, named_by) = (RunSource::Request, Some(by.clone()));
            Some(PipelineRun { repository, workflow, id, link, started_by, source, named_by }.bounded())
        }
    };
    let arrival = Arrival { application, image, run, by };
    let arrived = arrive(clients, &arrival, deadline).await.map_err(|error| match error {
        ArrivalError::NoApplication => Problem::not_found("application of that name"),
        ArrivalError::NoImage { .. } => Problem::new(404, "no-image", "No such image", error.to_string()),
        ArrivalError::OtherDigest { .. } => {
            Problem::new(409, "other-digest", "The tag has moved", error.to_string())
        }
        ArrivalError::NoBuild { .. } | ArrivalError::NoTag { .. } => {
            Problem::new(409, "no-build", "No build", error.to_string())
        }
        ArrivalError::Ecr(_) | ArrivalError::NotYet { .. } => {
            let detail = format!("{}: nothing was changed, try again", chain(&error));
            Problem::new(502, "image-not-read", "ECR did not give the image", detail)
        }
        ArrivalError::Table(_) | ArrivalError::Push(_) | ArrivalError::Reconcile(_) => {
            internal_error(request, &error)
        }
    })?;
    let promotions = arrived.promotions.iter().filter_map(ReportedPromotion::new).collect();
    let Arrived { tag, digest, .. } = arrived;
    Ok(answer(202, &NamedBuild { application: arrival.application, tag, digest, promotions }))
}
