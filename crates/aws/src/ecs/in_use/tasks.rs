//! The tasks of a cluster.

use aws_sdk_ecs::types::DesiredStatus;

use super::completeness::{CLUSTER_GONE, MOST_PAGES, PER_PAGE, require_all};
use super::images::{NamedImage, named};
use crate::call::{Call, CallError};
use crate::ecs::answer::{others_than_missing, text};
use crate::ecs::client::Ecs;
use crate::pages::Pages;

/// The most tasks that one [`Ecs::tasks_in_use`] call accepts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
pub const PER_DESCRIBE_TASKS: usize = 100;

/// A task and the images of its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInUse {
    pub arn: String,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    /// The task's group, such as `service:web`, or `family:web` for a task that no service started.
    pub group: Option<String>,
    pub images: Vec<NamedImage>,
}

/// The tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Tasks with the desired status `RUNNING`: ECS has not decided to stop them.
    Running,
    /// Tasks that have stopped or that ECS is stopping. ECS keeps a stopped task for about an hour.
    Stopped,
}

impl Ecs {
    /// The ARNs of a cluster's tasks, including tasks that belong to no service.
    pub async fn task_arns(&self, cluster: &str, wanted: Wanted) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListTasks", format!("list the tasks of {cluster}"));
        let status = match wanted {
            Wanted::Running => DesiredStatus::Running,
            Wanted::Stopped => DesiredStatus::Stopped,
        };
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_tasks().cluster(cluster).desired_status(status.clone());
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = call.none_if(&[CLUSTER_GONE], page.send().await)?;
            let Some(answer) = answer else { return Ok(Vec::new()) };
            let follows = pages.follows(&call, answer.next_token())?;
            arns.extend(answer.task_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// Reads up to [`PER_DESCRIBE_TASKS`] tasks of a cluster. Omits tasks that ECS no longer knows.
    pub async fn tasks_in_use(&self, cluster: &str, arns: &[String]) -> Result<Vec<TaskInUse>, CallError> {
        let call = Call::new("DescribeTasks", format!("describe tasks of {cluster}"));
        let request = self.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        let answer = request.send().await.map_err(|error| call.failed(error))?;
        others_than_missing(&call, answer.failures())?;
        let answered = answer.tasks().iter().map(|task| task.task_arn());
        require_all(&call, arns, answered, answer.failures())?;
        answer.tasks().iter().map(task_in_use).collect()
    }
}

fn task_in_use(task: &aws_sdk_ecs::types::Task) -> Result<TaskInUse, CallError> {
    let what = task.task_arn().unwrap_or("a task");
    let call = Call::new("DescribeTasks", format!("describe {what}"));
    let containers = task.containers().iter();
    let images = containers.map(|container| named(&call, container.image(), container.image_digest()));
    Ok(TaskInUse {
        arn: text(task.task_arn()).ok_or_else(|| call.lacks("taskArn"))?,
        task_definition: text(task.task_definition_arn()).ok_or_else(|| call.lacks("taskDefinitionArn"))?,
        group: text(task.group()),
        images: images.collect::<Result<_, _>>()?,
    })
}
