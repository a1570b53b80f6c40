//! Clusters and their ECS services, with the service deployments and service revisions.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{DeploymentControllerType, DeploymentRolloutState};

use super::completeness::{CLUSTER_GONE, MOST_PAGES, PER_PAGE, none_left_out, require_all};
use super::images::{RevisionInUse, named};
use crate::call::{Call, CallError};
use crate::ecs::answer::{others_than_missing, text};
use crate::ecs::client::Ecs;
use crate::ecs::service_deployment::{ListedServiceDeployment, NOT_OFFERED, listed};
use crate::pages::Pages;

/// The most services that one [`Ecs::services_in_use`] call accepts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
pub const PER_DESCRIBE_SERVICES: usize = 10;

/// The task definitions and revisions that an ECS service may run or roll back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInUse {
    pub arn: String,
    pub name: String,
    /// The ARNs of the task definitions of the service, its deployments and its task sets.
    pub task_definitions: BTreeSet<String>,
    /// The ARNs of the current service revisions.
    pub revisions: BTreeSet<String>,
    /// True if ECS itself deploys the service. Other services have no service deployments and no
    /// service revisions.
    pub by_ecs: bool,
    /// True if the last deployment has completed. ECS can then roll back only to the one current
    /// revision. If false, the caller must read the service deployments.
    pub is_settled: bool,
}

impl Ecs {
    /// The ARNs of all clusters.
    pub async fn clusters(&self) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListClusters", "list the clusters");
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_clusters().max_results(PER_PAGE).set_next_token(pages.token());
            let answer = page.send().await.map_err(|error| call.failed(error))?;
            let follows = pages.follows(&call, answer.next_token())?;
            arns.extend(answer.cluster_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// The ARNs of a cluster's services. The request has no filter, so ECS also lists Express
    /// Gateway services, which ECS itself manages.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
    pub async fn service_arns(&self, cluster: &str) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListServices", format!("list the services of {cluster}"));
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_services().cluster(cluster).max_results(PER_PAGE);
            let answer = page.set_next_token(pages.token()).send().await;
            let answer = call.none_if(&[CLUSTER_GONE], answer)?;
            let Some(answer) = answer else { return Ok(Vec::new()) };
            let follows = pages.follows(&call, answer.next_token())?;
            arns.extend(answer.service_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// Reads up to [`PER_DESCRIBE_SERVICES`] services of a cluster. Omits services that were
    /// deleted after they were listed.
    pub async fn services_in_use(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Vec<ServiceInUse>, CallError> {
        let call = Call::new("DescribeServices", format!("describe services of {cluster}"));
        let request = self.client.describe_services().cluster(cluster).set_services(Some(arns.to_vec()));
        let answer = request.send().await.map_err(|error| call.failed(error))?;
        others_than_missing(&call, answer.failures())?;
        let answered = answer.services().iter().map(|service| service.service_arn());
        require_all(&call, arns, answered, answer.failures())?;
        answer.services().iter().map(service_in_use).collect()
    }

    /// Lists all service deployments that ECS still keeps for a service, in no particular order.
    /// The list is empty if ECS does not support the call.
    pub async fn all_service_deployments(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<ListedServiceDeployment>, CallError> {
        let purpose = format!("list the service deployments of {service}");
        let call = Call::new("ListServiceDeployments", purpose);
        let (mut found, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_service_deployments().cluster(cluster).service(service);
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = call.none_if(&NOT_OFFERED, page.send().await)?;
            let Some(answer) = answer else { return Ok(found) };
            for brief in answer.service_deployments() {
                found.push(listed(&call, brief)?);
            }
            if !pages.follows(&call, answer.next_token())? {
                return Ok(found);
            }
        }
    }

    /// The ARNs of the source, target and rollback revisions of up to
    /// [`super::PER_DESCRIBE_REVISIONS`] service deployments.
    pub async fn revisions_of_deployments(&self, arns: &[String]) -> Result<BTreeSet<String>, CallError> {
        let call = Call::new("DescribeServiceDeployments", "describe service deployments");
        let request = self.client.describe_service_deployments();
        let answer = request.set_service_deployment_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        none_left_out(&call, answer.failures())?;
        let answered =
            answer.service_deployments().iter().map(|deployment| deployment.service_deployment_arn());
        require_all(&call, arns, answered, &[])?;
        let mut revisions = BTreeSet::new();
        for deployment in answer.service_deployments() {
            let source = deployment.source_service_revisions().iter().filter_map(|revision| revision.arn());
            let target = deployment.target_service_revision().and_then(|revision| revision.arn());
            let back = deployment.rollback().and_then(|rollback| rollback.service_revision_arn());
            revisions.extend(source.chain(target).chain(back).map(str::to_owned));
        }
        Ok(revisions)
    }

    /// Reads up to [`super::PER_DESCRIBE_REVISIONS`] service revisions.
    pub async fn service_revisions(&self, arns: &[String]) -> Result<Vec<RevisionInUse>, CallError> {
        let call = Call::new("DescribeServiceRevisions", "describe service revisions");
        let request = self.client.describe_service_revisions();
        let answer = request.set_service_revision_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        none_left_out(&call, answer.failures())?;
        let answered = answer.service_revisions().iter().map(|revision| revision.service_revision_arn());
        require_all(&call, arns, answered, &[])?;
        let revision = |described: &aws_sdk_ecs::types::ServiceRevision| {
            let arn = described.service_revision_arn().unwrap_or_default();
            let call = Call::new("DescribeServiceRevisions", format!("describe the service revision {arn}"));
            let images = described.container_images().iter();
            let images = images.map(|image| named(&call, image.image(), image.image_digest()));
            Ok(RevisionInUse { arn: arn.to_owned(), images: images.collect::<Result<_, _>>()? })
        };
        answer.service_revisions().iter().map(revision).collect()
    }
}

fn service_in_use(service: &aws_sdk_ecs::types::Service) -> Result<ServiceInUse, CallError> {
    let what = service.service_arn().or(service.service_name()).unwrap_or("a service");
    let lacks = |member| Call::new("DescribeServices", format!("describe {what}")).lacks(member);
    let deployments = service.deployments();
    let mut task_definitions = BTreeSet::new();
    task_definitions.extend(text(service.task_definition()));
    for deployment in deployments {
        let named = text(deployment.task_definition()).ok_or_else(|| lacks("deployments"))?;
        task_definitions.insert(named);
    }
    task_definitions.extend(service.task_sets().iter().filter_map(|set| text(set.task_definition())));
    let current = service.current_service_revisions().iter().filter_map(|revision| text(revision.arn()));
    let revisions: BTreeSet<String> = current.collect();
    let controller = service.deployment_controller().map(|controller| controller.r#type());
    let by_ecs = matches!(controller, None | Some(DeploymentControllerType::Ecs));
    let completed = deployments
        .iter()
        .all(|deployment| deployment.rollout_state() == Some(&DeploymentRolloutState::Completed));
    Ok(ServiceInUse {
        arn: text(service.service_arn()).ok_or_else(|| lacks("serviceArn"))?,
        name: text(service.service_name()).ok_or_else(|| lacks("serviceName"))?,
        task_definitions,
        is_settled: by_ecs && deployments.len() == 1 && revisions.len() == 1 && completed,
        revisions,
        by_ecs,
    })
}
