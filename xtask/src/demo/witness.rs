//! An independent witness, which reads from the emulator's own API, the registry and the
//! containers, but never from Stablepin.

use super::run::{CLUSTER, SERVICE};
use crate::aws::{Aws, encode, plain_item, xml_text};
use crate::ecs::{EcsService, containers};
use crate::engine::Engine;
use crate::inbox::{self, Mail};
use crate::registry::Registry;
use crate::stack::Stack;
use crate::table::Table;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// The time limit of a container's response.
const CONTAINER_ANSWERS: Duration = Duration::from_secs(2);

pub(super) struct Witness {
    pub(super) aws: Aws,
    pub(super) registry: Registry,
    table: String,
    inbox: String,
    topic: String,
    engine: Option<Engine>,
    http: ureq::Agent,
}

/// A running container of the service, as the container engine lists it. The container itself
/// reports its version and health on its published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Running {
    pub(super) digest: String,
    /// The text that `/version` returns.
    pub(super) version: String,
    /// The status that `/health` returns, or 0 without a response.
    pub(super) health: u16,
}

impl Witness {
    pub(super) fn of(stack: &Stack) -> Self {
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CONTAINER_ANSWERS))
            .build();
        Self {
            aws: stack.aws(),
            registry: Registry::new(stack.registry(), "AWS", "token"),
            table: stack.table().to_owned(),
            inbox: stack.inbox().to_owned(),
            topic: stack.topic().to_owned(),
            engine: stack.engine(),
            http: http.into(),
        }
    }

    pub(super) fn containers_are_real(&self) -> bool {
        self.engine.is_some()
    }

    /// Returns the items of the whole table, sorted by key.
    pub(super) fn table(&self) -> Result<Vec<Value>> {
        let mut items: Vec<_> = self.dynamodb().items()?.iter().map(plain_item).collect();
        items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
        Ok(items)
    }

    /// Returns the record of one item of the table, or null if the item does not exist.
    pub(super) fn record(&self, pk: &str, sk: &str) -> Result<Value> {
        let mut item = self.dynamodb().item(pk, sk)?.unwrap_or_default();
        Ok(item["record"].take())
    }

    /// Returns the records of a partition's items with this prefix of the sort key, in order.
    pub(super) fn records(&self, pk: &str, prefix: &str) -> Result<Vec<Value>> {
        let mut all: Vec<_> = self.dynamodb().partition(pk)?.iter().map(plain_item).collect();
        all.retain(|item| item["sk"].as_str().is_some_and(|sk| sk.starts_with(prefix)));
        Ok(all.into_iter().map(|mut item| item["record"].take()).collect())
    }

    fn dynamodb(&self) -> Table<'_> {
        Table { aws: &self.aws, name: &self.table }
    }

    /// Returns the filters of an address's subscriptions. By these filters SNS selects mails for
    /// the address.
    pub(super) fn filters_of(&self, address: &str) -> Result<Vec<Value>> {
        let sns = |action: &str, name: &str, value: &str| {
            self.aws.query("sns", &[("Action", action), ("Version", "2010-03-31"), (name, value)])
        };
        let all = sns("ListSubscriptionsByTopic", "TopicArn", &self.topic)?;
        let own = all.split("<member>").filter(|one| one.contains(&format!("<Endpoint>{address}<")));
        own.filter_map(|one| xml_text(one, "SubscriptionArn"))
            .map(|arn| {
                let attributes = sns("GetSubscriptionAttributes", "SubscriptionArn", &arn)?;
                let entry = attributes.split("<entry>").find(|one| one.contains("<key>FilterPolicy</key>"));
                let filter = entry.and_then(|entry| xml_text(entry, "value")).unwrap_or_default();
                Ok(serde_json::from_str(&filter).unwrap_or_default())
            })
            .collect()
    }

    pub(super) fn mails(&self) -> Result<Vec<Mail>> {
        inbox::messages(&self.aws, &self.inbox)
    }

    /// Waits for the mail that contains this digest.
    pub(super) fn mail_about(&self, digest: &str, limit: Duration) -> Result<Mail> {
        inbox::wait_for(&self.aws, &self.inbox, limit, |mail| mail.body.contains(digest))
    }

    /// Returns the digest of a tag, as the registry protocol returns it.
    pub(super) fn tag_in_registry(&self, repository: &str, tag: &str) -> Result<Option<String>> {
        Ok(self.registry.manifest(repository, tag)?.map(|manifest| manifest.digest))
    }

    /// Returns the team's service.
    pub(super) fn ecs(&self) -> EcsService<'_> {
        EcsService { aws: &self.aws, cluster: CLUSTER, name: SERVICE }
    }

    /// Returns the digests that ECS reports for the service's running tasks.
    pub(super) fn digests_in_ecs(&self) -> Result<Vec<String>> {
        let tasks = self.ecs().tasks("RUNNING")?;
        let digest = |one: &Value| one["imageDigest"].as_str().unwrap_or("none").to_owned();
        Ok(tasks.iter().flat_map(containers).map(digest).collect())
    }

    /// Returns the exit codes of the containers in the service's stopped tasks of one task
    /// definition.
    pub(super) fn exit_codes(&self, task_definition: &str) -> Result<Vec<i64>> {
        let tasks = self.ecs().tasks("STOPPED")?;
        let ours = tasks.iter().filter(|task| task["taskDefinitionArn"] == task_definition);
        Ok(ours.flat_map(containers).filter_map(|one| one["exitCode"].as_i64()).collect())
    }

    /// Returns the running containers, sorted. The list is empty if tasks are simulated.
    pub(super) fn containers(&self) -> Result<Vec<Running>> {
        let Some(engine) = &self.engine else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for container in engine.running()? {
            let port = container.host_ports.first().copied().unwrap_or_default();
            let (_, version) = self.ask(port, "/version");
            let (health, _) = self.ask(port, "/health");
            let digest = container.digest().unwrap_or(&container.image).to_owned();
            all.push(Running { digest, version, health });
        }
        all.sort();
        Ok(all)
    }

    /// Sends a request to a port of the host. Returns the status, or 0 without a response, and the
    /// text.
    pub(super) fn ask(&self, port: u16, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("http://127.0.0.1:{port}{path}")).call();
        match answer {
            Ok(mut answer) => {
                (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default())
            }
            Err(error) => (0, format!("no answer: {error}")),
        }
    }

    /// Returns the log of a Lambda function.
    pub(super) fn function_log(&self, function: &str) -> Result<String> {
        let request = json!({ "logGroupName": format!("/aws/lambda/{function}") });
        let answer = self.aws.json("logs", "Logs_20140328.FilterLogEvents", &request)?;
        let lines = answer["events"].as_array().into_iter().flatten();
        let lines: Vec<_> = lines.filter_map(|line| line["message"].as_str()).collect();
        Ok(lines.join("\n"))
    }
}

/// Encodes a value for a URL's query or a form.
pub(super) fn form(value: &str) -> String {
    encode(value)
}
