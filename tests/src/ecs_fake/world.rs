//! The state of the fake, and the dispatch of calls.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::by_test::Meddling;
use super::home::EcsHome;
use super::services::StoredService;
use crate::fake::buckets::Buckets;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{Page, page};

/// A recorded call.
#[derive(Debug, Clone, PartialEq)]
pub struct EcsCall {
    /// The operation, such as `UpdateService`.
    pub operation: String,
    pub body: Value,
    /// The HTTP status of the answer.
    pub status: u16,
}

pub(super) struct EcsWorld {
    pub(super) home: EcsHome,
    /// The names of the clusters.
    pub(super) clusters: BTreeSet<String>,
    pub(super) services: Vec<StoredService>,
    pub(super) calls: Vec<EcsCall>,
    /// The number of calls so far that change something.
    pub(super) changes: usize,
    pub(super) meddling: Vec<Meddling>,
    /// Errors for the next call of an operation.
    pub(super) refusals: Vec<(String, Refused)>,
    /// Errors for every call of an operation whose body contains the second text.
    pub(super) standing_refusals: Vec<(String, String, Refused)>,
    pub(super) buckets: Option<Buckets>,
    pub(super) by_hand: bool,
    pub(super) names_late: bool,
    pub(super) shows_late: bool,
    pub(super) surprises: Vec<String>,
}

impl EcsWorld {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self {
            home: EcsHome::new(account, region),
            clusters: BTreeSet::new(),
            services: Vec::new(),
            calls: Vec::new(),
            changes: 0,
            meddling: Vec::new(),
            refusals: Vec::new(),
            standing_refusals: Vec::new(),
            buckets: None,
            by_hand: false,
            names_late: false,
            shows_late: false,
            surprises: Vec::new(),
        }
    }

    pub(super) fn answer(&mut self, input: &Input<'_>) -> Answer {
        if let Some(buckets) = &mut self.buckets {
            buckets.take(input.operation, self.home.clock.now())?;
        }
        if let Some(at) = self.refusals.iter().position(|(operation, _)| operation == input.operation) {
            return Err(self.refusals.remove(at).1);
        }
        let body = || Value::Object(input.members.clone()).to_string();
        let stands = |(operation, part, _): &&(String, String, Refused)| {
            operation == input.operation && body().contains(part.as_str())
        };
        if let Some((.., refused)) = self.standing_refusals.iter().find(stands) {
            return Err(refused.clone());
        }
        match input.operation {
            "RegisterTaskDefinition" => self.home.register_task_definition(input),
            "DescribeTaskDefinition" => self.home.describe_task_definition(input),
            "DeregisterTaskDefinition" => self.home.deregister_task_definition(input),
            "ListTaskDefinitions" => self.home.list_task_definitions(input),
            "ListTaskDefinitionFamilies" => self.home.list_task_definition_families(input),
            "ListClusters" => self.list_clusters(input),
            "ListDaemons" => self.list_daemons(input),
            "CreateService" => self.create_service(input),
            "UpdateService" => self.update_service(input),
            "DescribeServices" => self.describe_services(input),
            "ListServices" => self.list_services(input),
            "ListServiceDeployments" => self.list_service_deployments(input),
            "DescribeServiceDeployments" => self.describe_service_deployments(input),
            "DescribeServiceRevisions" => self.describe_service_revisions(input),
            "StopServiceDeployment" => self.stop_service_deployment(input),
            "ContinueServiceDeployment" => self.continue_service_deployment(input),
            "ListTasks" => self.list_tasks(input),
            "DescribeTasks" => self.describe_tasks(input),
            other => Err(Refused::unknown(format!("the fake does not know the call {other}"))),
        }
    }

    /// Lists the ARNs of the clusters.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListClusters.html>
    fn list_clusters(&self, input: &Input<'_>) -> Answer {
        input.knows(&["maxResults", "nextToken"])?;
        let arn = |name: &String| json!(self.home.arn(&format!("cluster/{name}")));
        let arns = self.clusters.iter().map(arn).collect();
        page(input, "clusterArns", arns, &Page { default: 100, greatest: 100 })
    }

    /// Lists no daemons, since the fake's clusters have none.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemons.html>
    fn list_daemons(&self, input: &Input<'_>) -> Answer {
        input.knows(&["clusterArn", "maxResults", "nextToken"])?;
        self.cluster_named(input.text("clusterArn")?)?;
        page(input, "daemonSummariesList", Vec::new(), &Page { default: 100, greatest: 100 })
    }

    /// Returns the name of the cluster that the request names by name or ARN, or the default
    /// cluster's.
    pub(super) fn cluster(&self, input: &Input<'_>) -> Result<String, Refused> {
        self.cluster_named(input.text("cluster")?)
    }

    fn cluster_named(&self, given: Option<&str>) -> Result<String, Refused> {
        let given = given.unwrap_or("default");
        let name = given.strip_prefix(&self.home.arn("cluster/")).unwrap_or(given);
        match self.clusters.get(name) {
            Some(name) => Ok(name.clone()),
            None => Err(Refused::new(400, "ClusterNotFoundException", "Cluster not found.")),
        }
    }

    /// Returns the index of a service by its name or ARN.
    pub(super) fn place(&self, cluster: &str, service: &str) -> Option<usize> {
        let is_it =
            |one: &StoredService| one.cluster == cluster && (one.name == service || one.arn == service);
        // A deleted service may precede a new one of the same name.
        self.services.iter().rposition(is_it)
    }

    pub(super) fn found(&self, cluster: &str, service: &str) -> Result<usize, Refused> {
        let lacks = || Refused::new(400, "ServiceNotFoundException", "Service not found.");
        self.place(cluster, service).ok_or_else(lacks)
    }
}
