//! What schedules, rules and pipes have in common: each names what it starts.

use serde::Deserialize;
use stablepin_rules::retention::sources::Mention;

/// A name, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mentioned {
    /// In words: `the schedule default/nightly`.
    pub by: String,
    pub mention: Mention,
}

/// What a target says of the task that it starts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EcsParameters {
    pub(crate) task_definition_arn: Option<String>,
}

/// The service in an ARN: `ecs` of `arn:aws:ecs:eu-west-1:111122223333:cluster/prod`.
pub(crate) fn service_of(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}
