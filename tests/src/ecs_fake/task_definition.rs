//! Revisions of task definitions, with their registered JSON.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::fake::clock::epoch;
use crate::fake::input::Refused;

pub(super) struct StoredTaskDefinition {
    pub(super) arn: String,
    pub(super) family: String,
    pub(super) revision: u32,
    pub(super) active: bool,
    /// The fields of the registration request, including unknown fields.
    pub(super) members: Map<String, Value>,
    pub(super) tags: Vec<Value>,
    pub(super) registered_at: Timestamp,
    pub(super) deregistered_at: Option<Timestamp>,
}

#[derive(Default)]
pub(super) struct Definitions(pub(super) Vec<StoredTaskDefinition>);

impl StoredTaskDefinition {
    pub(super) fn containers(&self) -> &[Value] {
        self.members.get("containerDefinitions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_awsvpc(&self) -> bool {
        self.members.get("networkMode").and_then(Value::as_str) == Some("awsvpc")
    }

    /// Returns the body of a request that registers this revision again.
    pub(super) fn as_registered(&self) -> Value {
        let mut members = self.members.clone();
        members.insert("tags".into(), json!(self.tags));
        Value::Object(members)
    }

    /// Returns the revision in the form of `DescribeTaskDefinition`.
    pub(super) fn described(&self) -> Value {
        let mut shown = self.members.clone();
        shown.insert("taskDefinitionArn".into(), json!(self.arn));
        shown.insert("revision".into(), json!(self.revision));
        shown.insert("status".into(), json!(if self.active { "ACTIVE" } else { "INACTIVE" }));
        shown.insert("compatibilities".into(), json!(["EC2", "FARGATE"]));
        shown.insert(
            "requiresAttributes".into(),
            json!([{ "name": "com.amazonaws.ecs.capability.ecr-auth" }]),
        );
        shown.insert("registeredAt".into(), epoch(self.registered_at));
        shown.insert("registeredBy".into(), json!("arn:aws:iam::000000000000:role/somebody"));
        if let Some(at) = self.deregistered_at {
            shown.insert("deregisteredAt".into(), epoch(at));
        }
        Value::Object(shown)
    }
}

impl Definitions {
    pub(super) fn by_arn(&self, arn: &str) -> Option<&StoredTaskDefinition> {
        self.0.iter().find(|one| one.arn == arn)
    }

    /// Returns a revision by its ARN or by `family:revision`. A family without a revision number
    /// means the family's newest active revision.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html>
    pub(super) fn named(&self, name: &str) -> Option<&StoredTaskDefinition> {
        if name.starts_with("arn:") {
            return self.by_arn(name);
        }
        match name.split_once(':') {
            Some((family, revision)) => {
                let revision: u32 = revision.parse().ok()?;
                self.0.iter().find(|one| one.family == family && one.revision == revision)
            }
            None => self.0.iter().rev().find(|one| one.family == name && one.active),
        }
    }

    /// Returns a revision that a service may use.
    ///
    /// "You can't use an INACTIVE task definition to run new tasks or create new services, and you
    /// can't update an existing service to reference an INACTIVE task definition." AWS may enforce
    /// this rule only after ten minutes. The fake enforces the rule immediately.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html>
    pub(super) fn usable(&self, name: &str) -> Result<&StoredTaskDefinition, Refused> {
        let found = self.named(name).ok_or_else(|| client("TaskDefinition not found."))?;
        // Users have reported this text for UpdateService.
        if found.active { Ok(found) } else { Err(client("TaskDefinition is inactive")) }
    }
}

pub(super) fn client(message: impl Into<String>) -> Refused {
    Refused::new(400, "ClientException", message)
}
