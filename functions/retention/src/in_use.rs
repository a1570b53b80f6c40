//! Finds the images that the account uses.
//!
//! If one read fails, the result is an error, and retention deletes nothing. An image is in use if
//! a workload runs it, or if ECS, Lambda or a scheduler may start it at any moment. Examples are a
//! service that scales up from 0, a deployment that rolls back, and a task that a schedule starts
//! by the name of its task definition family.
//!
//! An account with 500 services, 3,000 tasks and 500 task definitions in 500 families needs these
//! calls for the first read: 5 ListServices, 50 DescribeServices, 60 ListTasks and DescribeTasks,
//! 25 DescribeServiceRevisions, 5 ListTaskDefinitionFamilies, 500 ListTaskDefinitions, 500
//! DescribeTaskDefinition.
//!
//! DescribeTaskDefinition needs the most time, because ECS allows 20 calls per second. Dry runs
//! within a few minutes share the list of newest revisions and the results from `sources`. Service
//! deployments are listed only for services with an open or a failed deployment.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

mod concurrency;
mod error;
mod sources;
mod used;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use stablepin_aws::call::CallError;
use stablepin_aws::ecs::{
    Ecs, ListedServiceDeployment, NamedImage, PER_DESCRIBE_REVISIONS, PER_DESCRIBE_SERVICES,
    PER_DESCRIBE_TASKS, ServiceDeploymentStatus, TaskInUse, Wanted,
};
use stablepin_aws::lambda::Lambda;
use stablepin_rules::application::Source;

pub use error::InUseError;
pub use sources::Sources;
pub use used::Used;

use self::concurrency::read_concurrently;
use self::sources::SourcesRead;

/// The clients for everything in the account and region that may use an image.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    pub ecs: &'a Ecs,
    pub lambda: &'a Lambda,
    pub sources: &'a Sources,
    /// The AWS services that the application waives, such as EventBridge. Retention does not read
    /// these services.
    pub waived: &'a BTreeSet<Source>,
}

/// The time for which dry runs reuse the list of newest task definition revisions, and the images
/// that schedules and rules start. Every run reads services, tasks and deployments.
const SHARED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// The cache that survives from one invocation to the next.
#[derive(Debug, Clone, Default)]
pub struct TaskDefinitions {
    /// The images of each task definition, by ARN. A task definition never changes, so it is read
    /// once. Each read of the account removes the entries that it did not need.
    images: BTreeMap<String, Vec<String>>,
    shared: Option<Shared>,
}

/// The results that dry runs within a few minutes share.
#[derive(Debug, Clone)]
struct Shared {
    /// The time when the reads began.
    at: Timestamp,
    /// The newest revisions of all task definition families. The revisions of a family are sorted,
    /// the newest first.
    newest: Vec<String>,
    waived: BTreeSet<Source>,
    started: SourcesRead,
}

/// Returns all uses of images in the account and region, sorted. The `newest` revisions of each
/// task definition family count as used, since callers start tasks by the family's name. Shared
/// results are no older than `since`. All other reads are fresh.
pub async fn in_use(
    account: Account<'_>,
    newest: usize,
    since: Timestamp,
    now: Timestamp,
    cache: &mut TaskDefinitions,
) -> Result<Vec<Used>, InUseError> {
    let Account { ecs, lambda, sources, waived } = account;
    let mut used = Vec::new();
    let mut references = References::default();
    let clusters = ecs.clusters().await.map_err(InUseError::Ecs)?;
    services(ecs, &clusters, &mut references, &mut used).await.map_err(InUseError::Ecs)?;
    tasks(ecs, &clusters, &mut used).await.map_err(InUseError::Ecs)?;
    daemons(ecs, &clusters, &mut used).await.map_err(InUseError::Ecs)?;
    let is_fresh = |kept: &Shared| {
        kept.at >= since && now.duration_since(kept.at) < SHARED_FOR && kept.waived == *waived
    };
    let shared = match cache.shared.take().filter(is_fresh) {
        Some(shared) => shared,
        None => Shared {
            at: now,
            newest: newest_task_definitions(ecs, newest).await.map_err(InUseError::Ecs)?,
            started: sources.read(&clusters, waived).await?,
            waived: waived.clone(),
        },
    };
    shared.newest.iter().for_each(|arn| references.add(arn, None));
    add_started(&shared, &mut references, &mut used);
    task_definitions(ecs, references, cache, &mut used).await?;
    functions(lambda, &mut used).await?;
    // The cache keeps results only after success: a failure may mean that a listed revision no
    // longer exists.
    cache.shared = Some(shared);
    used.sort();
    used.dedup();
    Ok(used)
}

/// Adds the images that schedules, EventBridge rules and pipes start. The name of a task definition
/// family means its newest active revision. A family without an active revision cannot start a
/// task.
fn add_started(shared: &Shared, references: &mut References, used: &mut Vec<Used>) {
    used.extend(shared.started.images.iter().cloned());
    let by_name = |by: &String| Some(by.clone());
    for (family, by) in &shared.started.families {
        let is_of = |arn: &&String| last(arn).rsplit_once(':').is_some_and(|(of, _)| of == family);
        if let Some(arn) = shared.newest.iter().find(is_of) {
            by.iter().for_each(|by| references.add(arn, by_name(by)));
        }
    }
    for (revision, by) in &shared.started.revisions {
        // If the revision is one of the newest, its ARN replaces its name, so that the revision is
        // read once.
        let arn = shared.newest.iter().find(|arn| last(arn) == revision).unwrap_or(revision);
        by.iter().for_each(|by| references.add(arn, by_name(by)));
    }
}

/// The services, EventBridge rules, schedules and pipes that use a task definition, by the ARN of
/// the task definition. The entry `None` means that the task definition is one of the newest of its
/// family.
#[derive(Default)]
struct References(BTreeMap<String, BTreeSet<Option<String>>>);

impl References {
    fn add(&mut self, task_definition: &str, by: Option<String>) {
        self.0.entry(task_definition.to_owned()).or_default().insert(by);
    }
}

/// Adds the images of the services' revisions to `used`, and the services' task definitions to
/// `references`.
async fn services(
    ecs: &Ecs,
    clusters: &[String],
    references: &mut References,
    used: &mut Vec<Used>,
) -> Result<(), CallError> {
    let listed = read_concurrently(clusters.to_vec(), |cluster| async move {
        let arns = ecs.service_arns(&cluster).await?;
        Ok::<_, CallError>(describe_batches(&cluster, &arns, PER_DESCRIBE_SERVICES))
    });
    let described = read_concurrently(listed.await?.concat(), |(cluster, arns)| async move {
        let services = ecs.services_in_use(&cluster, &arns).await?;
        Ok::<_, CallError>((cluster, services))
    });
    let mut revisions = BTreeMap::new();
    let mut unsettled = Vec::new();
    for (cluster, services) in described.await? {
        for service in services {
            let place = format!("{}/{}", last(&cluster), service.name);
            for arn in &service.task_definitions {
                references.add(arn, Some(format!("service {place}")));
            }
            revisions.extend(service.revisions.into_iter().map(|arn| (arn, place.clone())));
            if service.by_ecs && !service.is_settled {
                unsettled.push((cluster.clone(), service.arn, place));
            }
        }
    }
    let returns_to = read_concurrently(unsettled, |(cluster, arn, place)| async move {
        let returns_to = returns_to(ecs, &cluster, &arn).await?;
        Ok::<_, CallError>(returns_to.into_iter().map(|arn| (arn, place.clone())).collect::<Vec<_>>())
    });
    revisions.extend(returns_to.await?.concat());
    let read = read_concurrently(revision_batches(revisions.keys()), |arns| async move {
        ecs.service_revisions(&arns).await
    });
    for revision in read.await?.concat() {
        let place = revisions.get(&revision.arn).map_or("a service", String::as_str);
        add(used, &format!("service revision {} of {place}", last(&revision.arn)), revision.images);
    }
    Ok(())
}

/// Returns the revisions to which a service may roll back: the revisions of its open deployments,
/// and the revision of its last successful deployment. The caller needs these revisions while a
/// deployment is open or has failed.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
async fn returns_to(ecs: &Ecs, cluster: &str, service: &str) -> Result<BTreeSet<String>, CallError> {
    let deployments = ecs.all_service_deployments(cluster, service).await?;
    let went_well = deployments.iter().filter(|one| one.status == ServiceDeploymentStatus::Successful);
    let mut revisions: BTreeSet<String> = went_well
        .max_by_key(|one| one.created_at)
        .and_then(|one| one.target_revision.clone())
        .into_iter()
        .collect();
    let open = deployments.iter().filter(|one| is_open(one)).map(|one| &one.arn);
    for arns in revision_batches(open) {
        revisions.extend(ecs.revisions_of_deployments(&arns).await?);
    }
    Ok(revisions)
}

fn is_open(deployment: &ListedServiceDeployment) -> bool {
    match deployment.status {
        ServiceDeploymentStatus::Pending
        | ServiceDeploymentStatus::InProgress
        | ServiceDeploymentStatus::StopRequested
        | ServiceDeploymentStatus::RollbackRequested
        | ServiceDeploymentStatus::RollbackInProgress
        | ServiceDeploymentStatus::Unknown(_) => true,
        ServiceDeploymentStatus::Successful
        | ServiceDeploymentStatus::Stopped
        | ServiceDeploymentStatus::RollbackSuccessful
        | ServiceDeploymentStatus::RollbackFailed => false,
    }
}

/// Adds the images of all tasks that ECS lists. ECS also lists tasks that stopped within about the
/// last hour, and a person may examine or restart such a task.
async fn tasks(ecs: &Ecs, clusters: &[String], used: &mut Vec<Used>) -> Result<(), CallError> {
    let listed = read_concurrently(clusters.to_vec(), |cluster| async move {
        let mut arns = ecs.task_arns(&cluster, Wanted::Running).await?;
        arns.extend(ecs.task_arns(&cluster, Wanted::Stopped).await?);
        Ok::<_, CallError>(describe_batches(&cluster, &arns, PER_DESCRIBE_TASKS))
    });
    let described = read_concurrently(listed.await?.concat(), |(cluster, arns)| async move {
        let tasks = ecs.tasks_in_use(&cluster, &arns).await?;
        Ok::<_, CallError>((cluster, tasks))
    });
    for (cluster, tasks) in described.await? {
        for task in tasks {
            add(used, &task_in_words(last(&cluster), &task), task.images);
        }
    }
    Ok(())
}

fn task_in_words(cluster: &str, task: &TaskInUse) -> String {
    let id = last(&task.arn);
    match task.group.as_deref().and_then(|group| group.split_once(':')) {
        Some(("service", service)) => format!("task {id} of service {cluster}/{service}"),
        _ => format!("task {id} of {} in {cluster}", last(&task.task_definition)),
    }
}

async fn daemons(ecs: &Ecs, clusters: &[String], used: &mut Vec<Used>) -> Result<(), CallError> {
    let listed =
        read_concurrently(clusters.to_vec(), |cluster| async move { ecs.daemon_arns(&cluster).await });
    let found = read_concurrently(listed.await?.concat(), |arn| async move { ecs.daemon_in_use(&arn).await });
    let (mut revisions, mut deployments) = (BTreeSet::new(), BTreeSet::new());
    for daemon in found.await?.into_iter().flatten() {
        revisions.extend(daemon.revisions);
        deployments.extend(daemon.deployment);
    }
    let more = read_concurrently(revision_batches(&deployments), |arns| async move {
        ecs.revisions_of_daemon_deployments(&arns).await
    });
    revisions.extend(more.await?.into_iter().flatten());
    let read =
        read_concurrently(
            revision_batches(&revisions),
            |arns| async move { ecs.daemon_revisions(&arns).await },
        );
    for revision in read.await?.concat() {
        add(used, &format!("daemon revision {}", last(&revision.arn)), revision.images);
    }
    Ok(())
}

async fn newest_task_definitions(ecs: &Ecs, newest: usize) -> Result<Vec<String>, CallError> {
    let families = ecs.task_definition_families().await?;
    let listed =
        read_concurrently(
            families,
            |family| async move { ecs.newest_task_definitions(&family, newest).await },
        );
    Ok(listed.await?.concat())
}

async fn task_definitions(
    ecs: &Ecs,
    references: References,
    cache: &mut TaskDefinitions,
    used: &mut Vec<Used>,
) -> Result<(), InUseError> {
    cache.images.retain(|arn, _| references.0.contains_key(arn));
    let unread: Vec<String> =
        references.0.keys().filter(|arn| !cache.images.contains_key(*arn)).cloned().collect();
    let read = read_concurrently(unread, |arn| async move {
        let images = ecs.task_definition_images(&arn).await.map_err(InUseError::Ecs)?;
        Ok((arn, images))
    });
    for (arn, images) in read.await? {
        match images {
            Some(images) => drop(cache.images.insert(arn, images)),
            // ECS has just listed this ARN, so the task definition must exist.
            None if arn.starts_with("arn:") => return Err(InUseError::Undescribed(arn)),
            // This revision was deleted or does not exist yet, so its name cannot start a task now.
            None => {}
        }
    }
    for (arn, by) in references.0 {
        let definition = last(&arn);
        for by in by {
            let by = match by {
                Some(service) => format!("{service}, task definition {definition}"),
                None => format!("task definition {definition}"),
            };
            for image in cache.images.get(&arn).into_iter().flatten() {
                used.push(Used { by: by.clone(), image: Some(image.clone()), digest: None });
            }
        }
    }
    Ok(())
}

async fn functions(lambda: &Lambda, used: &mut Vec<Used>) -> Result<(), InUseError> {
    for function in lambda.images().await.map_err(InUseError::Lambda)? {
        let by = format!("function {}, version {}", function.function, function.version);
        // Lambda reports the resolved image as a reference with a digest.
        if let Some(resolved) = function.resolved.filter(|resolved| *resolved != function.image) {
            used.push(Used { by: by.clone(), image: Some(resolved), digest: None });
        }
        used.push(Used { by, image: Some(function.image), digest: None });
    }
    Ok(())
}

fn add(used: &mut Vec<Used>, by: &str, images: Vec<NamedImage>) {
    used.extend(images.into_iter().map(|NamedImage { image, digest }| Used {
        by: by.to_owned(),
        image,
        digest,
    }));
}

/// Splits the ARNs into batches, one for each Describe call.
fn describe_batches(cluster: &str, arns: &[String], size: usize) -> Vec<(String, Vec<String>)> {
    arns.chunks(size).map(|arns| (cluster.to_owned(), arns.to_vec())).collect()
}

/// Splits the ARNs of revisions or deployments into batches. Calls for these ARNs need no cluster.
fn revision_batches<'a>(arns: impl IntoIterator<Item = &'a String>) -> Vec<Vec<String>> {
    let arns: Vec<String> = arns.into_iter().cloned().collect();
    arns.chunks(PER_DESCRIBE_REVISIONS).map(<[String]>::to_vec).collect()
}

/// Returns the last part of an ARN: a name, an id, or `family:revision`.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests;
