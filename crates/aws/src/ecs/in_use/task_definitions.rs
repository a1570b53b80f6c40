//! The task definitions from which ECS can start tasks.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionFamilyStatus, TaskDefinitionStatus};

use super::completeness::{MOST_PAGES, PER_PAGE};
use crate::call::{Call, CallError};
use crate::ecs::answer::text;
use crate::ecs::client::Ecs;
use crate::pages::Pages;

impl Ecs {
    /// Lists the task definition families that have an active revision. `RunTask` accepts only
    /// active revisions.
    pub async fn task_definition_families(&self) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListTaskDefinitionFamilies", "list the families of task definitions");
        let (mut families, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_task_definition_families().status(TaskDefinitionFamilyStatus::Active);
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = page.send().await.map_err(|error| call.failed(error))?;
            let follows = pages.follows(&call, answer.next_token())?;
            families.extend(answer.families.unwrap_or_default());
            if !follows {
                return Ok(families);
            }
        }
    }

    /// The ARNs of the newest active revisions of a task definition family, newest first, at most
    /// `count`.
    ///
    /// AWS describes the parameter `familyPrefix` as "the full family name". An emulator may treat
    /// the parameter as a prefix, so this method omits revisions of other families.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html>
    pub async fn newest_task_definitions(
        &self,
        family: &str,
        count: usize,
    ) -> Result<Vec<String>, CallError> {
        let purpose = format!("list the revisions of the task definition {family}");
        let call = Call::new("ListTaskDefinitions", purpose);
        let wanted = i32::try_from(count).unwrap_or(PER_PAGE).clamp(1, PER_PAGE);
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_task_definitions().family_prefix(family);
            let page = page.status(TaskDefinitionStatus::Active).sort(SortOrder::Desc);
            let page = page.max_results(wanted).set_next_token(pages.token());
            let answer = page.send().await.map_err(|error| call.failed(error))?;
            let follows = pages.follows(&call, answer.next_token())?;
            let of_family = |arn: &String| {
                let name = arn.rsplit('/').next().unwrap_or_default();
                name.rsplit_once(':').is_some_and(|(of, _)| of == family)
            };
            arns.extend(answer.task_definition_arns.unwrap_or_default().into_iter().filter(of_family));
            if arns.len() >= count || !follows {
                arns.truncate(count);
                return Ok(arns);
            }
        }
    }

    /// The image references in a task definition, which never change. `None` if the task definition
    /// never existed or was deleted: ECS reports both cases in the same way.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/delete-task-definition-v2.html>
    pub async fn task_definition_images(&self, arn: &str) -> Result<Option<Vec<String>>, CallError> {
        let call = Call::new("DescribeTaskDefinition", format!("describe the task definition {arn}"));
        let answer = match self.client.describe_task_definition().task_definition(arn).send().await {
            Err(error)
                if error.code() == Some("ClientException")
                    && error.message().is_some_and(|text| text.starts_with("Unable to describe")) =>
            {
                return Ok(None);
            }
            answer => answer.map_err(|error| call.failed(error))?,
        };
        let described = answer.task_definition().ok_or_else(|| call.lacks("taskDefinition"))?;
        let containers = described.container_definitions();
        if containers.is_empty() {
            return Err(call.lacks("containerDefinitions"));
        }
        let image = |container: &aws_sdk_ecs::types::ContainerDefinition| {
            text(container.image()).ok_or_else(|| call.lacks("image"))
        };
        containers.iter().map(image).collect::<Result<_, _>>().map(Some)
    }
}
