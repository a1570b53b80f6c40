//! AWS Batch: lists the images of job definitions and jobs.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::call::{Call, CallError};
use crate::session::{Service, Session};
use crate::signed_json::{JsonCall, SignedJson};

/// The most job ids that one [`Batch::jobs`] call accepts.
/// <https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html>
pub const PER_DESCRIBE_JOBS: usize = 100;

/// The states of a job that has not ended.
/// <https://docs.aws.amazon.com/batch/latest/userguide/job_states.html>
pub const OPEN_STATES: [&str; 5] = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"];

/// A client of AWS Batch in the session's account and region.
#[derive(Debug, Clone)]
pub struct Batch {
    client: SignedJson,
}

/// A revision of a job definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobDefinition {
    pub name: String,
    pub revision: u64,
    /// True if AWS Batch accepts new jobs of this revision.
    pub is_active: bool,
    pub images: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub id: String,
    pub images: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobDefinitions {
    job_definitions: Option<Vec<Described>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    job_definition_name: Option<String>,
    revision: Option<u64>,
    status: Option<String>,
    container_properties: Option<JobContainer>,
    #[serde(flatten)]
    pods: Pods,
    node_properties: Option<Nodes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    jobs: Option<Vec<DescribedJob>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedJob {
    job_id: Option<String>,
    container: Option<JobContainer>,
    #[serde(flatten)]
    pods: Pods,
    node_properties: Option<Nodes>,
}

#[derive(Deserialize)]
struct JobContainer {
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pods {
    ecs_properties: Option<EcsProperties>,
    eks_properties: Option<EksProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EcsProperties {
    task_properties: Option<Vec<Containers>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EksProperties {
    pod_properties: Option<Containers>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Containers {
    containers: Option<Vec<JobContainer>>,
    init_containers: Option<Vec<JobContainer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    node_range_properties: Option<Vec<NodeRange>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeRange {
    container: Option<JobContainer>,
    #[serde(flatten)]
    pods: Pods,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobQueues {
    job_queues: Option<Vec<JobQueue>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobQueue {
    job_queue_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobList {
    job_summary_list: Option<Vec<JobSummary>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobSummary {
    job_id: Option<String>,
}

/// Returns every image that a job definition or a job names: in its container, its ECS tasks, its
/// EKS pods, and the nodes of a multi-node job.
fn images(container: Option<JobContainer>, pods: Pods, nodes: Option<Nodes>) -> BTreeSet<String> {
    let mut found: Vec<JobContainer> = container.into_iter().collect();
    add_containers(pods, &mut found);
    for range in nodes.and_then(|nodes| nodes.node_range_properties).into_iter().flatten() {
        found.extend(range.container);
        add_containers(range.pods, &mut found);
    }
    found.into_iter().filter_map(|container| container.image).filter(|image| !image.is_empty()).collect()
}

fn add_containers(pods: Pods, found: &mut Vec<JobContainer>) {
    let tasks = pods.ecs_properties.and_then(|ecs| ecs.task_properties).into_iter().flatten();
    let pod = pods.eks_properties.and_then(|eks| eks.pod_properties);
    for group in tasks.chain(pod) {
        found.extend(group.containers.into_iter().flatten());
        found.extend(group.init_containers.into_iter().flatten());
    }
}

impl Batch {
    /// Creates a client that slows down when AWS Batch throttles it.
    pub fn new(session: &Session) -> Self {
        Self { client: session.patient_json(Service::Batch) }
    }

    /// Returns all revisions of all job definitions. AWS Batch keeps a deregistered revision for
    /// 180 days.
    /// <https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobDefinitions.html>
    pub async fn job_definitions(&self) -> Result<Vec<JobDefinition>, CallError> {
        let call = Call::new("DescribeJobDefinitions", "read the job definitions of Batch");
        let request = |token: Option<&str>| {
            let body = json!({ "maxResults": 100, "nextToken": token });
            JsonCall::post("/v1/describejobdefinitions", &body)
        };
        let page = |page: JobDefinitions| (page.job_definitions.unwrap_or_default(), page.next_token);
        let definition = |described: Described| {
            Ok(JobDefinition {
                name: described.job_definition_name.ok_or_else(|| call.lacks("jobDefinitionName"))?,
                revision: described.revision.ok_or_else(|| call.lacks("revision"))?,
                is_active: described.status.as_deref() != Some("INACTIVE"),
                images: images(described.container_properties, described.pods, described.node_properties),
            })
        };
        self.client.list(&call, request, page).await?.into_iter().map(definition).collect()
    }

    /// The ARNs of all job queues.
    /// <https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobQueues.html>
    pub async fn job_queues(&self) -> Result<Vec<String>, CallError> {
        let call = Call::new("DescribeJobQueues", "read the job queues of Batch");
        let request = |token: Option<&str>| {
            JsonCall::post("/v1/describejobqueues", &json!({ "maxResults": 100, "nextToken": token }))
        };
        let page = |page: JobQueues| (page.job_queues.unwrap_or_default(), page.next_token);
        let queues = self.client.list(&call, request, page).await?;
        let arn = |queue: JobQueue| queue.job_queue_arn.ok_or_else(|| call.lacks("jobQueueArn"));
        queues.into_iter().map(arn).collect()
    }

    /// The ids of a queue's jobs that are in `state`, one of the [`OPEN_STATES`].
    /// <https://docs.aws.amazon.com/batch/latest/APIReference/API_ListJobs.html>
    pub async fn job_ids(&self, queue: &str, state: &str) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListJobs", format!("read the jobs of {queue}"));
        let request = |token: Option<&str>| {
            let body =
                json!({ "jobQueue": queue, "jobStatus": state, "maxResults": 100, "nextToken": token });
            JsonCall::post("/v1/listjobs", &body)
        };
        let page = |page: JobList| (page.job_summary_list.unwrap_or_default(), page.next_token);
        let jobs = self.client.list(&call, request, page).await?;
        jobs.into_iter().map(|job| job.job_id.ok_or_else(|| call.lacks("jobId"))).collect()
    }

    /// Reads up to [`PER_DESCRIBE_JOBS`] jobs. Omits jobs that AWS Batch no longer knows.
    pub async fn jobs(&self, ids: &[String]) -> Result<Vec<Job>, CallError> {
        let call = Call::new("DescribeJobs", "read the jobs of Batch");
        let request = JsonCall::post("/v1/describejobs", &json!({ "jobs": ids }));
        let found: Jobs = self.client.call(&call, request).await?;
        let job = |described: DescribedJob| {
            let images = images(described.container, described.pods, described.node_properties);
            Ok(Job { id: described.job_id.ok_or_else(|| call.lacks("jobId"))?, images })
        };
        found.jobs.unwrap_or_default().into_iter().map(job).collect()
    }
}
