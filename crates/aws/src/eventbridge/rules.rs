//! EventBridge rules: lists the ECS tasks and AWS Batch jobs that they start.

use serde::Deserialize;
use serde_json::json;
use stablepin_retention_rules::mentions::{Mention, mentions};

use crate::call::{Call, CallError};
use crate::mentioned::{EcsParameters, Mentioned};
use crate::session::{Service, Session};
use crate::signed_json::{JsonCall, SignedJson, unless_deleted};

const NOT_FOUND: &str = "ResourceNotFoundException";

/// A client of the EventBridge rules of the session's account and region.
#[derive(Debug, Clone)]
pub struct Rules {
    client: SignedJson,
}

/// The name of an EventBridge rule and the name of its bus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName {
    pub bus: String,
    pub rule: String,
}

impl RuleName {
    fn in_words(&self) -> String {
        match self.bus.as_str() {
            "default" => format!("the rule {}", self.rule),
            bus => format!("the rule {} of the bus {bus}", self.rule),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Buses {
    event_buses: Option<Vec<EventBusName>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventBusName {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleNames {
    rule_names: Option<Vec<String>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleTargets {
    targets: Option<Vec<RuleTarget>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleTarget {
    input: Option<String>,
    ecs_parameters: Option<EcsParameters>,
    batch_parameters: Option<BatchParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchParameters {
    job_definition: Option<String>,
}

impl Rules {
    /// Creates a client that slows down when EventBridge throttles it.
    pub fn new(session: &Session) -> Self {
        Self { client: session.patient_json(Service::EventBridge) }
    }

    /// The names of all buses.
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListEventBuses.html>
    pub async fn buses(&self) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListEventBuses", "read EventBridge's buses");
        let request = |token: Option<&str>| {
            JsonCall::json_1_1("AWSEvents.ListEventBuses", &json!({ "Limit": 100, "NextToken": token }))
        };
        let page = |page: Buses| (page.event_buses.unwrap_or_default(), page.next_token);
        let buses = self.client.list(&call, request, page).await?;
        buses.into_iter().map(|bus| bus.name.ok_or_else(|| call.lacks("Name"))).collect()
    }

    /// Lists the rules of the bus that have this target, the ARN of a cluster or of a job queue.
    /// The list includes disabled rules, because a person can enable them at any time.
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRuleNamesByTarget.html>
    pub async fn with_target(&self, bus: &str, target: &str) -> Result<Vec<RuleName>, CallError> {
        let purpose = format!("read the rules of the bus {bus} that start something in {target}");
        let call = Call::new("ListRuleNamesByTarget", purpose);
        let request = |token: Option<&str>| {
            let body = json!({ "EventBusName": bus, "TargetArn": target, "Limit": 100, "NextToken": token });
            JsonCall::json_1_1("AWSEvents.ListRuleNamesByTarget", &body)
        };
        let page = |page: RuleNames| (page.rule_names.unwrap_or_default(), page.next_token);
        let names = unless_deleted(self.client.list(&call, request, page).await, NOT_FOUND)?;
        Ok(names.into_iter().map(|rule| RuleName { bus: bus.to_owned(), rule }).collect())
    }

    /// Returns the task definitions, job definitions and images in the targets of an EventBridge
    /// rule. The list is empty if the rule was deleted after it was listed.
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListTargetsByRule.html>
    pub async fn mentioned(&self, name: &RuleName) -> Result<Vec<Mentioned>, CallError> {
        let by = name.in_words();
        let call = Call::new("ListTargetsByRule", format!("read the targets of {by}"));
        let request = |token: Option<&str>| {
            let body =
                json!({ "EventBusName": name.bus, "Rule": name.rule, "Limit": 100, "NextToken": token });
            JsonCall::json_1_1("AWSEvents.ListTargetsByRule", &body)
        };
        let page = |page: RuleTargets| (page.targets.unwrap_or_default(), page.next_token);
        let targets = self.client.list(&call, request, page).await;
        let mut found = Vec::new();
        for target in unless_deleted(targets, NOT_FOUND)? {
            if target.ecs_parameters.is_none() && target.batch_parameters.is_none() {
                continue;
            }
            let task = target.ecs_parameters.and_then(|ecs| ecs.task_definition_arn);
            let job = target.batch_parameters.and_then(|batch| batch.job_definition);
            let names = task.map(Mention::TaskDefinition).into_iter().chain(job.map(Mention::JobDefinition));
            // The input of an ECS or AWS Batch target cannot change the image. To be safe,
            // retention also protects the images in a readable input.
            let more = target.input.and_then(|input| mentions(&input).ok()).unwrap_or_default();
            found.extend(names.chain(more).map(|mention| Mentioned { by: by.clone(), mention }));
        }
        Ok(found)
    }
}
