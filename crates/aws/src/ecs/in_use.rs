//! Everything in an account that names images: services, tasks, revisions, task definitions,
//! daemons.
//!
//! These reads decide which images must not be deleted, so they fail closed. A list is complete or
//! an error. An item missing from an answer is an error too, unless it is a task or service that
//! ended after it was listed. Each describing call is one request with as many items as ECS takes;
//! the caller runs them concurrently.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{
    DeploymentControllerType, DeploymentRolloutState, DesiredStatus, Failure, SortOrder,
    TaskDefinitionFamilyStatus, TaskDefinitionStatus,
};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use stablepin_rules::image::ImageDigest;

use super::service_deployment::{is_not_offered, listed};
use super::{Ecs, EcsError, ListedServiceDeployment, others_than_missing, text};
use crate::failed_call::FailedCall;
use crate::pages::{Endless, Pages};

/// The most services that one [`Ecs::services_in_use`] call takes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
pub const PER_DESCRIBE_SERVICES: usize = 10;
/// The most tasks that one [`Ecs::tasks_in_use`] call takes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
pub const PER_DESCRIBE_TASKS: usize = 100;
/// The most service deployments, service revisions, daemon deployments or daemon revisions that one
/// call takes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>
pub const PER_DESCRIBE_REVISIONS: usize = 20;

/// The largest page of any of these lists. ListServices returns ten unless asked for more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
const PER_PAGE: i32 = 100;

/// The most pages of a list: ten times a cluster's usual quota of services or tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
const MOST_PAGES: usize = 1000;

/// An image as a resource names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedImage {
    /// The reference as it is written in the resource.
    pub image: Option<String>,
    /// The digest to which ECS resolved the reference, if it is known. For an index it may be the
    /// digest of one platform's image.
    pub digest: Option<ImageDigest>,
}

/// The images that a service may run or return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInUse {
    pub arn: String,
    pub name: String,
    /// The ARNs of the task definitions of the service, its deployments and its task sets.
    pub task_definitions: BTreeSet<String>,
    /// The ARNs of the current service revisions.
    pub revisions: BTreeSet<String>,
    /// Whether ECS itself deploys the service. Only then are there service deployments and service
    /// revisions.
    pub by_ecs: bool,
    /// Whether the last deployment has completed. ECS would then return only to the one current
    /// revision. Otherwise the caller reads the service deployments.
    pub is_settled: bool,
}

/// The images of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInUse {
    pub arn: String,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    /// The task's group, such as `service:web`, or `family:web` for a task that was started by
    /// hand.
    pub group: Option<String>,
    pub images: Vec<NamedImage>,
}

/// The images of a revision of a service or of a daemon. They do not change, but their digests are
/// known only after the first task has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionInUse {
    pub arn: String,
    pub images: Vec<NamedImage>,
}

/// The revisions that a daemon may run or return to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonInUse {
    pub arn: String,
    /// The ARNs of the current daemon revisions.
    pub revisions: BTreeSet<String>,
    /// The ARN of the current or latest deployment.
    pub deployment: Option<String>,
}

/// The tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Tasks that ECS has not decided to stop.
    Running,
    /// Tasks that have stopped or that ECS is stopping. ECS keeps them for about an hour.
    Stopped,
}

/// Converts a failed call into [`EcsError::Read`].
fn read<E>(
    operation: &'static str,
    what: impl Into<String>,
) -> impl FnOnce(SdkError<E, Response<SdkBody>>) -> EcsError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let what = what.into();
    move |error| EcsError::Read { operation, what, source: FailedCall::new(error) }
}

fn endless(operation: &'static str, what: impl Into<String>) -> impl FnOnce(Endless) -> EcsError {
    let what = what.into();
    move |Endless| EcsError::Endless { operation, what }
}

/// Returns an empty value if the cluster was deleted after it was listed. ECS does not delete a
/// cluster with services, tasks or instances.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html>
fn or_empty_if_gone<T: Default>(answer: Result<T, EcsError>) -> Result<T, EcsError> {
    match answer {
        Err(EcsError::Read { source, .. }) if source.code() == Some("ClusterNotFoundException") => {
            Ok(T::default())
        }
        other => other,
    }
}

impl Ecs {
    /// The ARNs of all clusters.
    pub async fn clusters(&self) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListClusters";
        const WHAT: &str = "the clusters";
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_clusters().max_results(PER_PAGE).set_next_token(pages.token());
            let answer = page.send().await.map_err(read(OPERATION, WHAT))?;
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, WHAT))?;
            arns.extend(answer.cluster_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// The ARNs of a cluster's services. Without a filter, ECS also lists Express Gateway services,
    /// which it manages itself.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
    pub async fn service_arns(&self, cluster: &str) -> Result<Vec<String>, EcsError> {
        or_empty_if_gone(self.service_arns_of(cluster).await)
    }

    async fn service_arns_of(&self, cluster: &str) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListServices";
        let what = || format!("the services of {cluster}");
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_services().cluster(cluster).max_results(PER_PAGE);
            let answer = page.set_next_token(pages.token()).send().await.map_err(read(OPERATION, what()))?;
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, what()))?;
            arns.extend(answer.service_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// Reads up to [`PER_DESCRIBE_SERVICES`] services of a cluster. Services that were deleted
    /// meanwhile are left out.
    pub async fn services_in_use(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Vec<ServiceInUse>, EcsError> {
        const OPERATION: &str = "DescribeServices";
        let what = format!("services of {cluster}");
        let call = self.client.describe_services().cluster(cluster).set_services(Some(arns.to_vec()));
        let answer = call.send().await.map_err(read(OPERATION, &what))?;
        others_than_missing(OPERATION, answer.failures())?;
        let answered = answer.services().iter().map(|service| service.service_arn());
        require_all(OPERATION, arns, answered, answer.failures())?;
        answer.services().iter().map(service_in_use).collect()
    }

    /// The ARNs of a cluster's tasks, including tasks outside services.
    pub async fn task_arns(&self, cluster: &str, wanted: Wanted) -> Result<Vec<String>, EcsError> {
        or_empty_if_gone(self.task_arns_of(cluster, wanted).await)
    }

    async fn task_arns_of(&self, cluster: &str, wanted: Wanted) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListTasks";
        let what = || format!("the tasks of {cluster}");
        let status = match wanted {
            Wanted::Running => DesiredStatus::Running,
            Wanted::Stopped => DesiredStatus::Stopped,
        };
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_tasks().cluster(cluster).desired_status(status.clone());
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = page.send().await.map_err(read(OPERATION, what()))?;
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, what()))?;
            arns.extend(answer.task_arns.unwrap_or_default());
            if !follows {
                return Ok(arns);
            }
        }
    }

    /// Reads up to [`PER_DESCRIBE_TASKS`] tasks of a cluster. Tasks that ECS no longer knows are
    /// left out.
    pub async fn tasks_in_use(&self, cluster: &str, arns: &[String]) -> Result<Vec<TaskInUse>, EcsError> {
        const OPERATION: &str = "DescribeTasks";
        let call = self.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        let answer = call.send().await.map_err(read(OPERATION, format!("tasks of {cluster}")))?;
        others_than_missing(OPERATION, answer.failures())?;
        let answered = answer.tasks().iter().map(|task| task.task_arn());
        require_all(OPERATION, arns, answered, answer.failures())?;
        answer.tasks().iter().map(task_in_use).collect()
    }

    /// Lists a service's known deployments, in no particular order. Empty if ECS does not offer the
    /// call.
    pub async fn all_service_deployments(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<ListedServiceDeployment>, EcsError> {
        const OPERATION: &str = "ListServiceDeployments";
        let what = || format!("the service deployments of {service}");
        let (mut found, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_service_deployments().cluster(cluster).service(service);
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = match page.send().await.map_err(FailedCall::new) {
                Ok(answer) => answer,
                Err(failed) if is_not_offered(&failed) => return Ok(found),
                Err(source) => return Err(EcsError::Read { operation: OPERATION, what: what(), source }),
            };
            for brief in answer.service_deployments() {
                found.push(listed(brief)?);
            }
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, what()))?;
            if !follows {
                return Ok(found);
            }
        }
    }

    /// The ARNs of the source, target and rollback revisions of up to [`PER_DESCRIBE_REVISIONS`]
    /// service deployments.
    pub async fn revisions_of_deployments(&self, arns: &[String]) -> Result<BTreeSet<String>, EcsError> {
        const OPERATION: &str = "DescribeServiceDeployments";
        let call = self.client.describe_service_deployments();
        let answer = call.set_service_deployment_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(read(OPERATION, "service deployments"))?;
        none_left_out(OPERATION, answer.failures())?;
        let answered =
            answer.service_deployments().iter().map(|deployment| deployment.service_deployment_arn());
        require_all(OPERATION, arns, answered, &[])?;
        let mut revisions = BTreeSet::new();
        for deployment in answer.service_deployments() {
            let source = deployment.source_service_revisions().iter().filter_map(|revision| revision.arn());
            let target = deployment.target_service_revision().and_then(|revision| revision.arn());
            let back = deployment.rollback().and_then(|rollback| rollback.service_revision_arn());
            revisions.extend(source.chain(target).chain(back).map(str::to_owned));
        }
        Ok(revisions)
    }

    /// Reads up to [`PER_DESCRIBE_REVISIONS`] service revisions.
    pub async fn service_revisions(&self, arns: &[String]) -> Result<Vec<RevisionInUse>, EcsError> {
        const OPERATION: &str = "DescribeServiceRevisions";
        let call = self.client.describe_service_revisions();
        let answer = call.set_service_revision_arns(Some(arns.to_vec())).send().await;
        let answer = answer.map_err(read(OPERATION, "service revisions"))?;
        none_left_out(OPERATION, answer.failures())?;
        let answered = answer.service_revisions().iter().map(|revision| revision.service_revision_arn());
        require_all(OPERATION, arns, answered, &[])?;
        let revision = |described: &aws_sdk_ecs::types::ServiceRevision| {
            let arn = described.service_revision_arn().unwrap_or_default();
            let images = described.container_images().iter();
            let images = images.map(|image| named(OPERATION, arn, image.image(), image.image_digest()));
            Ok(RevisionInUse { arn: arn.to_owned(), images: images.collect::<Result<_, _>>()? })
        };
        answer.service_revisions().iter().map(revision).collect()
    }

    /// Lists the families with an active task definition, from which tasks can be started.
    pub async fn task_definition_families(&self) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListTaskDefinitionFamilies";
        const WHAT: &str = "the families of task definitions";
        let (mut families, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_task_definition_families().status(TaskDefinitionFamilyStatus::Active);
            let page = page.max_results(PER_PAGE).set_next_token(pages.token());
            let answer = page.send().await.map_err(read(OPERATION, WHAT))?;
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, WHAT))?;
            families.extend(answer.families.unwrap_or_default());
            if !follows {
                return Ok(families);
            }
        }
    }

    /// The ARNs of a family's newest active revisions, newest first. There may be fewer than
    /// `count`.
    ///
    /// AWS describes `familyPrefix` as "the full family name". Revisions of other families are left
    /// out in any case.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html>
    pub async fn newest_task_definitions(&self, family: &str, count: usize) -> Result<Vec<String>, EcsError> {
        const OPERATION: &str = "ListTaskDefinitions";
        let what = || format!("the revisions of the task definition {family}");
        let wanted = i32::try_from(count).unwrap_or(PER_PAGE).clamp(1, PER_PAGE);
        let (mut arns, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_task_definitions().family_prefix(family);
            let page = page.status(TaskDefinitionStatus::Active).sort(SortOrder::Desc);
            let page = page.max_results(wanted).set_next_token(pages.token());
            let answer = page.send().await.map_err(read(OPERATION, what()))?;
            let follows = pages.follows(answer.next_token()).map_err(endless(OPERATION, what()))?;
            let of_family = |arn: &String| {
                let name = arn.rsplit('/').next().unwrap_or_default();
                name.rsplit_once(':').is_some_and(|(of, _)| of == family)
            };
            arns.extend(answer.task_definition_arns.unwrap_or_default().into_iter().filter(of_family));
            if arns.len() >= count || !follows {
                arns.truncate(count);
                return Ok(arns);
            }
        }
    }

    /// The images of a task definition's containers as written there. They never change. `None` if
    /// there is no such task definition; ECS does not distinguish a deleted one.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/delete-task-definition-v2.html>
    pub async fn task_definition_images(&self, arn: &str) -> Result<Option<Vec<String>>, EcsError> {
        const OPERATION: &str = "DescribeTaskDefinition";
        let call = self.client.describe_task_definition().task_definition(arn);
        let answer = match call.send().await {
            Err(error)
                if error.code() == Some("ClientException")
                    && error.message().is_some_and(|text| text.starts_with("Unable to describe")) =>
            {
                return Ok(None);
            }
            answer => answer.map_err(read(OPERATION, arn))?,
        };
        let lacks = |member| EcsError::Answer { operation: OPERATION, what: arn.to_owned(), member };
        let described = answer.task_definition().ok_or_else(|| lacks("taskDefinition"))?;
        let containers = described.container_definitions();
        if containers.is_empty() {
            return Err(lacks("containerDefinitions"));
        }
        let image = |container: &aws_sdk_ecs::types::ContainerDefinition| {
            text(container.image()).ok_or_else(|| lacks("image"))
        };
        containers.iter().map(image).collect::<Result<_, _>>().map(Some)
    }

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

    /// The ARNs of the source, target and rollback revisions of up to [`PER_DESCRIBE_REVISIONS`]
    /// daemon deployments.
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

    /// Reads up to [`PER_DESCRIBE_REVISIONS`] daemon revisions.
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

/// Fails at any failure. Deployments and revisions do not end by themselves, so none may be
/// missing.
fn none_left_out(operation: &'static str, failures: &[Failure]) -> Result<(), EcsError> {
    others_than_missing(operation, failures)?;
    match failures.first() {
        None => Ok(()),
        Some(failure) => Err(EcsError::LeftOut {
            operation,
            what: failure.arn().unwrap_or("something").to_owned(),
            reason: failure.reason().unwrap_or("no reason given").to_owned(),
        }),
    }
}

/// Fails if a requested item is neither in the answer nor missing.
fn require_all<'a>(
    operation: &'static str,
    asked: &[String],
    answered: impl Iterator<Item = Option<&'a str>>,
    missing: &'a [Failure],
) -> Result<(), EcsError> {
    let answered: BTreeSet<&str> =
        answered.flatten().chain(missing.iter().filter_map(Failure::arn)).collect();
    match asked.iter().find(|arn| !answered.contains(arn.as_str())) {
        None => Ok(()),
        Some(arn) => Err(EcsError::LeftOut {
            operation,
            what: arn.clone(),
            reason: "it is neither found nor missing".to_owned(),
        }),
    }
}

/// Converts a container's image. An unreadable digest is an error, because it could be any image's.
fn named(
    operation: &'static str,
    of: &str,
    image: Option<&str>,
    digest: Option<&str>,
) -> Result<NamedImage, EcsError> {
    let parsed = |digest: String| {
        ImageDigest::parse(&digest).map_err(|_| EcsError::Answer {
            operation,
            what: of.to_owned(),
            member: "imageDigest",
        })
    };
    Ok(NamedImage { image: text(image), digest: text(digest).map(parsed).transpose()? })
}

fn service_in_use(service: &aws_sdk_ecs::types::Service) -> Result<ServiceInUse, EcsError> {
    let what = service.service_arn().or(service.service_name()).unwrap_or("a service");
    let lacks = |member| EcsError::Answer { operation: "DescribeServices", what: what.to_owned(), member };
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

fn task_in_use(task: &aws_sdk_ecs::types::Task) -> Result<TaskInUse, EcsError> {
    const OPERATION: &str = "DescribeTasks";
    let what = task.task_arn().unwrap_or("a task");
    let lacks = |member| EcsError::Answer { operation: OPERATION, what: what.to_owned(), member };
    let containers = task.containers().iter();
    let images =
        containers.map(|container| named(OPERATION, what, container.image(), container.image_digest()));
    Ok(TaskInUse {
        arn: text(task.task_arn()).ok_or_else(|| lacks("taskArn"))?,
        task_definition: text(task.task_definition_arn()).ok_or_else(|| lacks("taskDefinitionArn"))?,
        group: text(task.group()),
        images: images.collect::<Result<_, _>>()?,
    })
}
