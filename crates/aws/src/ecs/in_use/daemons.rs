//! The daemons of a cluster, with their deployments and revisions.

use std::collections::BTreeSet;

use super::completeness::{CLUSTER_GONE, MOST_PAGES, PER_PAGE, none_left_out, require_all};
use super::images::{RevisionInUse, named};
use crate::call::{Call, CallError};
use crate::ecs::answer::text;
use crate::ecs::client::Ecs;
use crate::ecs::service_deployment::NOT_OFFERED;
use crate::pages::Pages;

/// The revisions that a daemon may run or roll back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInUse {
    pub arn: String,
    /// The ARNs of the current daemon revisions.
    pub revisions: BTreeSet<String>,
    /// The ARN of the current or latest deployment.
    pub deployment: Option<String>,
}

impl Ecs {
    /// The ARNs of a cluster's daemons. A daemon runs one task on each managed instance, and
    /// belongs to no service. The list is empty if ECS does not support the call.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemons.html>
    pub async fn daemon_arns(&self, cluster: &str) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListDaemons", format!("list the daemons of {cluster}"));
        let absent = [&NOT_OFFERED[..], &[CLUSTER_GONE]].concat();
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE);
            let answer = page.set_next_token(pages.token()).send().await;
            let Some(answer) = call.none_if(&absent, answer)? else { return Ok(Vec::new()) };
            for daemon in answer.daemon_summaries_list() {
                arns.push(text(daemon.daemon_arn()).ok_or_else(|| call.lacks("daemonArn"))?);
            }
            if !pages.follows(&call, answer.next_token())? {
                return Ok(arns);
            }
        }
    }

    /// Reads a daemon. Returns `None` if the daemon was deleted after it was listed.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemon.html>
    pub async fn daemon_in_use(&self, arn: &str) -> Result<Option<DaemonInUse>, CallError> {
        let call = Call::new("DescribeDaemon", format!("describe the daemon {arn}"));
        let answer = self.client.describe_daemon().daemon_arn(arn).send().await;
        let answer = call.none_if(&["DaemonNotFoundException"], answer)?;
        let Some(answer) = answer else { return Ok(None) };
        let daemon = answer.daemon().ok_or_else(|| call.lacks("daemon"))?;
        let revisions = daemon.current_revisions().iter().filter_map(|revision| text(revision.arn()));
        Ok(Some(DaemonInUse {
            arn: arn.to_owned(),
            revisions: revisions.collect(),
            deployment: text(daemon.deployment_arn()),
        }))
    }

    /// The ARNs of the source, target and rollback revisions of up to
    /// [`super::PER_DESCRIBE_REVISIONS`] daemon deployments.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemonDeployments.html>
    pub async fn revisions_of_daemon_deployments(
        &self,
        arns: &[String],
    ) -> Result<BTreeSet<String>, CallError> {
        let call = Call::new("DescribeDaemonDeployments", "describe daemon deployments");
        let request = self.client.describe_daemon_deployments();
        let answer = request.set_daemon_deployment_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        none_left_out(&call, answer.failures())?;
        let answered =
            answer.daemon_deployments().iter().map(|deployment| deployment.daemon_deployment_arn());
        require_all(&call, arns, answered, &[])?;
        let mut revisions = BTreeSet::new();
        for deployment in answer.daemon_deployments() {
            let source = deployment.source_daemon_revisions().iter().filter_map(|revision| revision.arn());
            let target = deployment.target_daemon_revision().and_then(|revision| revision.arn());
            let back =
                deployment.rollback().and_then(|rollback| rollback.rollback_target_daemon_revision_arn());
            revisions.extend(source.chain(target).chain(back).map(str::to_owned));
        }
        Ok(revisions)
    }

    /// Reads up to [`super::PER_DESCRIBE_REVISIONS`] daemon revisions.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemonRevisions.html>
    pub async fn daemon_revisions(&self, arns: &[String]) -> Result<Vec<RevisionInUse>, CallError> {
        let call = Call::new("DescribeDaemonRevisions", "describe daemon revisions");
        let request = self.client.describe_daemon_revisions();
        let answer = request.set_daemon_revision_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        none_left_out(&call, answer.failures())?;
        let answered = answer.daemon_revisions().iter().map(|revision| revision.daemon_revision_arn());
        require_all(&call, arns, answered, &[])?;
        let revision = |described: &aws_sdk_ecs::types::DaemonRevision| {
            let arn = described.daemon_revision_arn().unwrap_or_default();
            let call = Call::new("DescribeDaemonRevisions", format!("describe the daemon revision {arn}"));
            let images = described.container_images().iter();
            let images = images.map(|image| named(&call, image.image(), image.image_digest()));
            Ok(RevisionInUse { arn: arn.to_owned(), images: images.collect::<Result<_, _>>()? })
        };
        answer.daemon_revisions().iter().map(revision).collect()
    }
}
