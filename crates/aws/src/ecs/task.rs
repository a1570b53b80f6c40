//! A service's tasks, and the images that their containers run.

use aws_sdk_ecs::types::{Attachment, DesiredStatus, HealthStatus, NetworkBinding};
use jiff::Timestamp;
use stablepin_rules::image::{ImageDigest, ImageReference};
use stablepin_rules::task_definition::OwnContainers;

use super::answer::{others_than_missing, port, text, timestamp, unmentioned};
use super::client::Ecs;
use super::error::EcsError;
use crate::call::{Call, CallError};

/// The most tasks that one DescribeTasks call accepts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const PER_DESCRIBE_TASKS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Unhealthy,
    /// The container has no health check, or its first health check has not ended.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub image: Option<String>,
    /// The digest of the pulled image, as ECS reports it. `None` before the pull, or if the ECS
    /// agent does not report the digest.
    pub digest: Option<ImageDigest>,
    pub last_status: Option<String>,
    pub health: Health,
    pub exit_code: Option<i32>,
    /// The container's ports on the host. Empty for a task that has its own addresses.
    pub bindings: Vec<Binding>,
    pub reason: Option<String>,
}

impl Container {
    /// Returns the digest of the image that the container runs. If ECS reports no digest, a started
    /// container runs the digest in its image reference, which the container runtime has verified.
    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>
    pub fn running_digest(&self) -> Option<ImageDigest> {
        let has_started = self.last_status.as_deref() == Some("RUNNING") || self.exit_code.is_some();
        let named = || {
            let image = ImageReference::parse(self.image.as_deref()?);
            ImageDigest::parse(&image.digest?).ok()
        };
        self.digest.clone().or_else(|| if has_started { named() } else { None })
    }

    /// Returns true if the container is one of the application's own containers.
    pub fn is_one_of(&self, own: &OwnContainers<'_>) -> bool {
        let image = self.image.as_deref().map(ImageReference::parse);
        image.is_some_and(|image| own.includes(&self.name, &image))
    }
}

/// A port of a container and the host's port for it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkBinding.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    pub container_port: u16,
    pub host_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub arn: String,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    /// The id of the deployment that started the task.
    pub started_by: Option<String>,
    pub last_status: String,
    pub desired_status: String,
    pub health: Health,
    pub containers: Vec<Container>,
    /// The addresses of the task's own network interfaces, which a target group of type `ip` uses.
    /// Empty in network modes without such interfaces.
    pub addresses: Vec<String>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    /// The time at which the task stopped. `None` while the task runs.
    pub stopped_at: Option<Timestamp>,
}

impl Ecs {
    /// The service's tasks with the desired status `RUNNING`: ECS has not decided to stop them.
    pub async fn running(&self, cluster: &str, service: &str) -> Result<Vec<Task>, EcsError> {
        self.tasks(cluster, service, DesiredStatus::Running).await
    }

    /// The service's tasks that have stopped or that ECS is stopping. ECS keeps a stopped task for
    /// about an hour.
    pub async fn stopped(&self, cluster: &str, service: &str) -> Result<Vec<Task>, EcsError> {
        self.tasks(cluster, service, DesiredStatus::Stopped).await
    }

    async fn tasks(
        &self,
        cluster: &str,
        service: &str,
        desired: DesiredStatus,
    ) -> Result<Vec<Task>, EcsError> {
        let call = Call::new("ListTasks", format!("list the tasks of {cluster}/{service}"));
        let mut arns = Vec::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .list_tasks()
                .cluster(cluster)
                .service_name(service)
                .desired_status(desired.clone())
                .set_next_token(page)
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            arns.extend(answer.task_arns().iter().cloned());
            page = answer.next_token;
            if page.is_none() {
                break;
            }
        }
        let call = Call::new("DescribeTasks", format!("describe the tasks of {cluster}/{service}"));
        let mut tasks = Vec::with_capacity(arns.len());
        for arns in arns.chunks(PER_DESCRIBE_TASKS) {
            let answer = self
                .client
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(arns.to_vec()))
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            // A missing task ended between the two calls, and ECS no longer knows it.
            others_than_missing(&call, answer.failures())?;
            for described in answer.tasks() {
                tasks.push(task(described)?);
            }
            if answer.tasks().len() + answer.failures().len() < arns.len() {
                return Err(unmentioned(&call, "a task").into());
            }
        }
        Ok(tasks)
    }
}

fn task(task: &aws_sdk_ecs::types::Task) -> Result<Task, CallError> {
    let what = task.task_arn().unwrap_or("a task");
    let lacks = |member| Call::new("DescribeTasks", format!("describe {what}")).lacks(member);
    let required = |value: Option<&str>, member| value.map(str::to_owned).ok_or_else(|| lacks(member));
    let containers = task.containers().iter().map(|container| {
        Ok(Container {
            name: required(container.name(), "container name")?,
            image: text(container.image()),
            digest: container.image_digest().and_then(|digest| ImageDigest::parse(digest).ok()),
            last_status: text(container.last_status()),
            health: health(container.health_status()),
            exit_code: container.exit_code(),
            bindings: container.network_bindings().iter().filter_map(binding).collect(),
            reason: text(container.reason()),
        })
    });
    Ok(Task {
        arn: required(task.task_arn(), "taskArn")?,
        task_definition: required(task.task_definition_arn(), "taskDefinitionArn")?,
        started_by: text(task.started_by()),
        last_status: required(task.last_status(), "lastStatus")?,
        desired_status: required(task.desired_status(), "desiredStatus")?,
        health: health(task.health_status()),
        containers: containers.collect::<Result<_, _>>()?,
        addresses: addresses(task.attachments()),
        stop_code: text(task.stop_code().map(|code| code.as_str())),
        stopped_reason: text(task.stopped_reason()),
        stopped_at: task.stopped_at().and_then(timestamp),
    })
}

/// Converts a binding. Returns `None` for a range of ports, because a target group cannot use a
/// range.
fn binding(binding: &NetworkBinding) -> Option<Binding> {
    Some(Binding { container_port: port(binding.container_port())?, host_port: port(binding.host_port())? })
}

fn health(status: Option<&HealthStatus>) -> Health {
    match status {
        Some(HealthStatus::Healthy) => Health::Healthy,
        Some(HealthStatus::Unhealthy) => Health::Unhealthy,
        _ => Health::Unknown,
    }
}

/// The addresses of a task's network interfaces.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html>
fn addresses(attachments: &[Attachment]) -> Vec<String> {
    attachments
        .iter()
        .filter(|attachment| attachment.r#type() == Some("ElasticNetworkInterface"))
        .flat_map(Attachment::details)
        .filter(|detail| matches!(detail.name(), Some("privateIPv4Address" | "ipv6Address")))
        .filter_map(|detail| text(detail.value()))
        .collect()
}
