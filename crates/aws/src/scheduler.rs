//! EventBridge Scheduler: lists the tasks, jobs and images in schedules.

use serde::Deserialize;
use stablepin_retention_rules::mentions::{Mention, mentions};

use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;
use crate::mentioned::{EcsParameters, Mentioned, service_of};
use crate::session::{Service, Session};
use crate::signed_json::{JsonCall, SignedJson, unless_deleted};

/// A client of the schedules of the session's account and region.
#[derive(Debug, Clone)]
pub struct Scheduler {
    client: SignedJson,
}

/// The name of a schedule whose target may run an image, and the name of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleName {
    pub group: String,
    pub name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schedules {
    schedules: Option<Vec<ScheduleSummary>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleSummary {
    group_name: Option<String>,
    name: Option<String>,
    target: Option<ScheduleTarget>,
}

/// The target of a schedule. In a list, a schedule's target has only its ARN.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleTarget {
    arn: Option<String>,
    input: Option<String>,
    ecs_parameters: Option<EcsParameters>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schedule {
    target: Option<ScheduleTarget>,
}

impl Scheduler {
    /// Creates a client that slows down when EventBridge Scheduler throttles it.
    pub fn new(session: &Session) -> Self {
        Self { client: session.patient_json(Service::Scheduler) }
    }

    /// Lists the schedules, in all groups, that may name a task definition, a job definition or an
    /// image in their target. The list includes disabled schedules, because a person can enable
    /// them at any time.
    /// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ListSchedules.html>
    pub async fn schedules(&self) -> Result<Vec<ScheduleName>, CallError> {
        let call = Call::new("ListSchedules", "read the schedules of EventBridge Scheduler");
        let request = |token: Option<&str>| {
            JsonCall::get(&["schedules"], &[("MaxResults", Some("100")), ("NextToken", token)])
        };
        let page = |page: Schedules| (page.schedules.unwrap_or_default(), page.next_token);
        let mut found = Vec::new();
        for summary in self.client.list(&call, request, page).await? {
            let target = summary.target.and_then(|target| target.arn).ok_or_else(|| call.lacks("Target"))?;
            if starts_what_has_an_image(&target) {
                let group = summary.group_name.ok_or_else(|| call.lacks("GroupName"))?;
                found.push(ScheduleName { group, name: summary.name.ok_or_else(|| call.lacks("Name"))? });
            }
        }
        Ok(found)
    }

    /// Returns the task definitions, job definitions and images that a schedule names. The list is
    /// empty if the schedule was deleted after it was listed.
    /// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_GetSchedule.html>
    pub async fn mentioned(&self, of: &ScheduleName) -> Result<Vec<Mentioned>, CallError> {
        let by = format!("the schedule {}/{}", of.group, of.name);
        let call = Call::new("GetSchedule", format!("read {by}"));
        let request = JsonCall::get(&["schedules", &of.name], &[("groupName", Some(&of.group))]);
        let read: Result<Option<Schedule>, _> = self.client.call(&call, request).await;
        let Some(schedule) = unless_deleted(read, "ResourceNotFoundException")? else {
            return Ok(Vec::new());
        };
        let lacks = || call.lacks("Target");
        let target = schedule.target.ok_or_else(lacks)?;
        let arn = target.arn.as_deref().ok_or_else(lacks)?;
        let task = target.ecs_parameters.and_then(|ecs| ecs.task_definition_arn);
        let more = match target.input.as_deref().filter(|input| !input.is_empty()).map(mentions) {
            None => Default::default(),
            Some(Ok(found)) => found,
            // The input contains all parameters of the API call. If the input is unreadable,
            // retention cannot know the images in the input.
            Some(Err(error)) if is_universal(arn) => {
                let why = "its input is no valid JSON: correct it or delete it";
                return Err(call.failed(FailedCall::unusable(why, false).with_source(error)));
            }
            // If the target is a cluster, the input cannot change the image.
            Some(Err(_)) => Default::default(),
        };
        let all = task.map(Mention::TaskDefinition).into_iter().chain(more);
        Ok(all.map(|mention| Mentioned { by: by.clone(), mention }).collect())
    }
}

/// Returns true if the target is an API call, such as `arn:aws:scheduler:::aws-sdk:ecs:runTask`.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html>
fn is_universal(arn: &str) -> bool {
    service_of(arn) == "scheduler" && arn.contains(":aws-sdk:")
}

/// Returns true if a target can run an image: a cluster, any API call of ECS or AWS Batch, or one
/// of the two API calls that set the image of a Lambda function.
fn starts_what_has_an_image(arn: &str) -> bool {
    let Some((_, call)) = arn.split_once(":aws-sdk:").filter(|_| is_universal(arn)) else {
        return matches!(service_of(arn), "ecs" | "batch");
    };
    let call = call.to_ascii_lowercase();
    let (service, action) = call.split_once(':').unwrap_or((&call, ""));
    match service {
        "ecs" | "batch" => true,
        "lambda" => matches!(action, "createfunction" | "updatefunctioncode"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduler_recognizes_targets_that_can_run_an_image() {
        for (arn, expected) in [
            ("arn:aws:ecs:eu-west-1:111122223333:cluster/prod", true),
            ("arn:aws-us-gov:ecs:us-gov-west-1:111122223333:cluster/prod", true),
            ("arn:aws:scheduler:::aws-sdk:ecs:runTask", true),
            ("arn:aws-cn:scheduler:::aws-sdk:ecs:updateService", true),
            ("arn:aws:scheduler:::aws-sdk:batch:submitJob", true),
            ("arn:aws:scheduler:::aws-sdk:lambda:updateFunctionCode", true),
            ("arn:aws:scheduler:::aws-sdk:lambda:invoke", false),
            ("arn:aws:scheduler:::aws-sdk:sqs:sendMessage", false),
            ("arn:aws:scheduler:::aws-sdk:ecs", true),
            ("arn:aws:lambda:eu-west-1:111122223333:function:ecs", false),
            ("arn:aws:sqs:eu-west-1:111122223333:a:aws-sdk:ecs:runTask", false),
            ("", false),
        ] {
            assert_eq!(starts_what_has_an_image(arn), expected, "{arn}");
        }
    }
}
