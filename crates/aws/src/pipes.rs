//! EventBridge Pipes: lists the tasks and jobs that pipes start.

use serde::Deserialize;
use stablepin_retention_rules::mentions::Mention;

use crate::call::{Call, CallError};
use crate::mentioned::{EcsParameters, Mentioned, service_of};
use crate::session::{Service, Session};
use crate::signed_json::{JsonCall, SignedJson, unless_deleted};

/// A client of the pipes of the session's account and region.
#[derive(Debug, Clone)]
pub struct Pipes {
    client: SignedJson,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    pipes: Option<Vec<PipeSummary>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PipeSummary {
    name: Option<String>,
    target: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pipe {
    target_parameters: Option<TargetParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetParameters {
    ecs_task_parameters: Option<EcsParameters>,
    batch_job_parameters: Option<BatchJobParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchJobParameters {
    job_definition: Option<String>,
}

impl Pipes {
    /// Creates a client that slows down when EventBridge Pipes throttles it.
    pub fn new(session: &Session) -> Self {
        Self { client: session.patient_json(Service::Pipes) }
    }

    /// The names of the pipes that have ECS or AWS Batch as their target. The list includes stopped
    /// pipes, because a person can start them at any time.
    /// <https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_ListPipes.html>
    pub async fn names(&self) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListPipes", "read the pipes of EventBridge Pipes");
        let request = |token: Option<&str>| {
            JsonCall::get(&["v1", "pipes"], &[("Limit", Some("100")), ("NextToken", token)])
        };
        let page = |page: List| (page.pipes.unwrap_or_default(), page.next_token);
        let mut found = Vec::new();
        for summary in self.client.list(&call, request, page).await? {
            let target = summary.target.ok_or_else(|| call.lacks("Target"))?;
            if matches!(service_of(&target), "ecs" | "batch") {
                found.push(summary.name.ok_or_else(|| call.lacks("Name"))?);
            }
        }
        Ok(found)
    }

    /// Returns the task definition and the job definition that a pipe names. The list is empty if
    /// the pipe was deleted after it was listed.
    /// <https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/API_DescribePipe.html>
    pub async fn mentioned(&self, name: &str) -> Result<Vec<Mentioned>, CallError> {
        let by = format!("the pipe {name}");
        let call = Call::new("DescribePipe", format!("read {by}"));
        let request = JsonCall::get(&["v1", "pipes", name], &[]);
        let read: Result<Option<Pipe>, _> = self.client.call(&call, request).await;
        let target = unless_deleted(read, "NotFoundException")?.and_then(|pipe| pipe.target_parameters);
        let Some(target) = target else { return Ok(Vec::new()) };
        let task = target.ecs_task_parameters.and_then(|ecs| ecs.task_definition_arn);
        let job = target.batch_job_parameters.and_then(|batch| batch.job_definition);
        let names = task.map(Mention::TaskDefinition).into_iter().chain(job.map(Mention::JobDefinition));
        Ok(names.map(|mention| Mentioned { by: by.clone(), mention }).collect())
    }
}
