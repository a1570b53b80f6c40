//! Lists clusters, and resolves the cluster in a request.

use serde_json::json;

use super::world::EcsWorld;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

impl EcsWorld {
    /// Lists the ARNs of the clusters.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListClusters.html>
    pub(super) fn list_clusters(&self, input: &Input<'_>) -> Answer {
        input.knows(&["maxResults", "nextToken"])?;
        let arn = |name: &String| json!(self.home.arn(&format!("cluster/{name}")));
        let arns = self.clusters.iter().map(arn).collect();
        page(input, "clusterArns", arns, &PageLimits { default: 100, greatest: 100 })
    }

    /// Returns an empty list, since the fake's clusters have no daemons.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemons.html>
    pub(super) fn list_daemons(&self, input: &Input<'_>) -> Answer {
        input.knows(&["clusterArn", "maxResults", "nextToken"])?;
        self.cluster_named(input.text("clusterArn")?)?;
        page(input, "daemonSummariesList", Vec::new(), &PageLimits { default: 100, greatest: 100 })
    }

    /// Returns the name of the request's cluster. A request contains the cluster's name or ARN.
    /// Without either, the cluster is `default`.
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
}
