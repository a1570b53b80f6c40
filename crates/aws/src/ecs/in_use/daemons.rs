//! The daemons of a cluster, with their deployments and revisions.

use std::collections::BTreeSet;

use super::completeness::{
    MOST_PAGES, PER_PAGE, endless, none_left_out, or_empty_if_gone, read, require_all,
};
use super::images::{RevisionInUse, named};
use crate::ecs::answer::text;
use crate::ecs::client::Ecs;
use crate::ecs::error::EcsError;
use crate::ecs::service_deployment::is_not_offered;
use crate::failed_call::FailedCall;
use crate::pages::Pages;

/// The revisions that a daemon may run or return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInUse {
    pub arn: String,
    /// The ARNs of the current daemon revisions.
    pub revisions: BTreeSet<String>,
    /// The ARN of the current or latest deployment.
    pub deployment: Option<String>,
}

impl Ecs {
    /// The ARNs of a cluster's daemons. A daemon runs one task on each managed instance, outside
    /// any service. Empty if ECS does not offer the call.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListDaemons.html>
    pub async fn daemon_arns(&self, cluster: &str) -> Result<Vec<String>, EcsError> {
        or_empty_if_gone(self.daemon_arns_of(cluster).await)
    }

    async fn daemon_arns_of(&self, cluster: &str) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListDaemons";
        let what = || format!("the daemons of {cluster}");
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_daemons().cluster_arn(cluster).max_results(PER_PAGE);
            let answer = match page.set_next_token(pages.token()).send().await.map_err(FailedCall::new) {
                Ok(answer) => answer,
                Err(failed) if is_not_offered(&failed) => return Ok(arns),
                Err(source) => return Err(EcsError::Read { operation: OPERATION, what: what(), source }),
            };
            for daemon in answer.daemon_summaries_list() {
                let lacks = || EcsError::Answer { operation: OPERATION, what: what(), member: "daemonArn" };
                arns.push(text(daemon.daemon_arn()).ok_or_else(lacks)?);
            }
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, what()))?;
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// Reads a daemon. Returns `None` if it was deleted meanwhile.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeDaemon.html>
    pub async fn daemon_in_use(&self, arn: &str) -> Result<Option<DaemonInUse>, EcsError> {
        const OPERATION: &str = "DescribeDaemon";
        let answer = match self.client.describe_daemon().daemon_arn(arn).send().await.map_err(FailedCall::new)
        {
            Ok(answer) => answer,
            Err(failed) if failed.code() == Some("DaemonNotFoundException") => return Ok(None),
            Err(source) => return Err(EcsError::Read { operation: OPERATION, what: arn.to_owned(), source }),
        };
        let lacks = || EcsError::Answer { operation: OPERATION, what: arn.to_owned(), member: "daemon" };
        let daemon = answer.daemon().ok_or_else(lacks)?;
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
    ) -> Result<BTreeSet<String>, EcsError> {
        const OPERATION: &str = "DescribeDaemonDeployments";
        let call = self.client.describe_daemon_deployments();
        let answer = call.set_daemon_deployment_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(read(OPERATION, "daemon deployments"))?;
        none_left_out(OPERATION, answer.failures())?;
        let answered =
            answer.daemon_deployments().iter().map(|deployment| deployment.daemon_deployment_arn());
        require_all(OPERATION, arns, answered, &[])?;
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
    pub async fn daemon_revisions(&self, arns: &[String]) -> Result<Vec<RevisionInUse>, EcsError> {
        const OPERATION: &str = "DescribeDaemonRevisions";
        let call = self.client.describe_daemon_revisions();
        let answer = call.set_daemon_revision_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(read(OPERATION, "daemon revisions"))?;
        none_left_out(OPERATION, answer.failures())?;
        let answered = answer.daemon_revisions().iter().map(|revision| revision.daemon_revision_arn());
        require_all(OPERATION, arns, answered, &[])?;
        let revision = |described: &aws_sdk_ecs::types::DaemonRevision| {
            let arn = described.daemon_revision_arn().unwrap_or_default();
            let images = described.container_images().iter();
            let images = images.map(|image| named(OPERATION, arn, image.image(), image.image_digest()));
            Ok(RevisionInUse { arn: arn.to_owned(), images: images.collect::<Result<_, _>>()? })
        };
        answer.daemon_revisions().iter().map(revision).collect()
    }
}
