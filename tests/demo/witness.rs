//! An independent witness, which reads from the emulator's own API, the registry and the
//! containers, but never from Stablepin.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use stablepin_tests::ecs::{EcsService, containers};
use stablepin_tests::stack;
use stablepin_tests::table::Table;
use xtask::aws::{plain_item, xml_text};
use xtask::inbox::{self, Mail};

use crate::claims::SOON;
use crate::run::{CLUSTER, Demo, REPOSITORY, SERVICE};

/// The time limit of a container's response.
const CONTAINER_ANSWERS: Duration = Duration::from_secs(2);

/// A running container of the service, as the container engine lists it. The container itself
/// reports its version and health on its published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Running {
    pub(crate) digest: String,
    /// The text that `/version` returns.
    pub(crate) version: String,
    /// The status that `/health` returns, or 0 without a response.
    pub(crate) health: u16,
}

impl Demo {
    /// Returns the items of the whole table, sorted by key.
    pub(crate) fn table(&self) -> Result<Vec<Value>> {
        let table = Table { aws: &self.app.aws, name: stack().table() };
        let mut items: Vec<_> = table.items()?.iter().map(plain_item).collect();
        items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
        Ok(items)
    }

    /// Returns the filters of an address's subscriptions. SNS uses these filters to select the
    /// mails for the address.
    pub(crate) fn filters_of(&self, address: &str) -> Result<Vec<Value>> {
        let sns = |action: &str, name: &str, value: &str| {
            self.app.aws.query("sns", &[("Action", action), ("Version", "2010-03-31"), (name, value)])
        };
        let all = sns("ListSubscriptionsByTopic", "TopicArn", stack().topic())?;
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

    pub(crate) fn mails(&self) -> Result<Vec<Mail>> {
        inbox::messages(&self.app.aws, stack().inbox())
    }

    /// Waits for the mail that contains this digest.
    pub(crate) fn mail_about(&self, digest: &str) -> Result<Mail> {
        inbox::wait_for(&self.app.aws, stack().inbox(), SOON, |mail| mail.body.contains(digest))
    }

    /// Returns the digest of a tag, as the registry protocol returns it.
    pub(crate) fn tag_in_registry(&self, tag: &str) -> Result<Option<String>> {
        Ok(self.app.registry().manifest(REPOSITORY, tag)?.map(|manifest| manifest.digest))
    }

    /// Returns the team's service.
    pub(crate) fn ecs(&self) -> EcsService<'_> {
        EcsService { aws: &self.app.aws, cluster: CLUSTER, name: SERVICE }
    }

    /// Returns the digests that ECS reports for the service's running tasks.
    pub(crate) fn digests_in_ecs(&self) -> Result<Vec<String>> {
        let tasks = self.ecs().tasks("RUNNING")?;
        let digest = |one: &Value| one["imageDigest"].as_str().unwrap_or("none").to_owned();
        Ok(tasks.iter().flat_map(containers).map(digest).collect())
    }

    /// Returns the exit codes of the containers in the service's stopped tasks of one task
    /// definition.
    pub(crate) fn exit_codes(&self, task_definition: &str) -> Result<Vec<i64>> {
        let tasks = self.ecs().tasks("STOPPED")?;
        let ours = tasks.iter().filter(|task| task["taskDefinitionArn"] == task_definition);
        Ok(ours.flat_map(containers).filter_map(|one| one["exitCode"].as_i64()).collect())
    }

    /// Returns the running containers, sorted. The list is empty if tasks are simulated.
    pub(crate) fn containers(&self) -> Result<Vec<Running>> {
        let Some(engine) = stack().engine() else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for container in engine.running()? {
            let port = container.host_ports.first().copied().unwrap_or_default();
            let (_, version) = ask(port, "/version");
            let (health, _) = ask(port, "/health");
            let digest = container.digest().unwrap_or(&container.image).to_owned();
            all.push(Running { digest, version, health });
        }
        all.sort();
        Ok(all)
    }
}

/// Sends a request to a port of the host. Returns the status and the text. The status is 0 if there
/// is no response.
pub(crate) fn ask(port: u16, path: &str) -> (u16, String) {
    let http: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(CONTAINER_ANSWERS))
        .build()
        .into();
    match http.get(format!("http://127.0.0.1:{port}{path}")).call() {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default()),
        Err(error) => (0, format!("no answer: {error}")),
    }
}
