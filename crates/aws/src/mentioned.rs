//! Types that EventBridge schedules, rules and pipes have in common. Each of these resources names
//! the task or job that it starts.

use serde::Deserialize;
use stablepin_retention_rules::mentions::Mention;

/// A task definition, job definition or image, and the resource that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mentioned {
    /// The resource in words, such as `the schedule default/nightly`.
    pub by: String,
    pub mention: Mention,
}

/// The parameters of a target that starts an ECS task.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EcsParameters {
    pub(crate) task_definition_arn: Option<String>,
}

/// Returns the AWS service in an ARN: `ecs` for `arn:aws:ecs:eu-west-1:111122223333:cluster/prod`.
pub(crate) fn service_of(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}
