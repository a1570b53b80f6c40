//! Which images something uses: the keep-set that the account's own state makes.
//!
//! It fails closed: what cannot be read is an error, and nothing is deleted. It counts what runs, and what would run
//! after ECS, Lambda or a scheduler did what they may do at any moment: a service scaled to 0 is scaled up again, a
//! deployment goes back, a task is run by its family's name.
//!
//! Calls, in an account of 500 services with 3,000 tasks and 500 task definitions in 500 families: 5 ListServices,
//! 50 DescribeServices, 60 ListTasks and DescribeTasks, 25 DescribeServiceRevisions, 5 and 500 for the families'
//! newest revisions, 500 DescribeTaskDefinition when it is the first time. The reads of task definitions, 20 a second,
//! are what takes time. Which revisions are a family's newest, and what rules and schedules name ([`sources`]), is read once
//! for the dry runs of some minutes. Service deployments are listed only of services whose last deployment is not over.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use stablepin_aws::ecs::{
    Ecs, EcsError, ListedServiceDeployment, NamedImage, PER_DESCRIBE_REVISIONS, PER_DESCRIBE_SERVICES,
    PER_DESCRIBE_TASKS, ServiceDeploymentStatus, TaskInUse, Wanted,
};
use stablepin_aws::lambda::{Lambda, LambdaError};
use stablepin_aws::signed_json::SourceError;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::retention::sources::Source;

pub use sources::Sources;

use self::sources::SourcesRead;

/// How many calls are under way at once: well below what ECS lets an account do in a second.
const AT_ONCE: usize = 8;

/// That something uses an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    /// Who, in words: `task 0123… of service prod/web`.
    pub by: String,
    /// The reference as it was written. It may name another digest than `digest`: that of the index, where the other is
    /// that of one platform's image. Both are used.
    pub image: Option<String>,
    /// What it was resolved to, by who uses it. None where nobody did: then it is what the reference names now.
    pub digest: Option<ImageDigest>,
}

/// Everything in the account and region that may use an image.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    pub ecs: &'a Ecs,
    pub lambda: &'a Lambda,
    pub sources: &'a Sources,
    /// The sources that somebody else looks after: they are not read.
    pub waived: &'a BTreeSet<Source>,
}

/// For so long the newest revisions, and what starts tasks and jobs by a name, are taken to be those that were read, where
/// nothing is deleted by it. What a service, a task or a deployment uses is read each time.
const SHARED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What is kept from one invocation to the next.
#[derive(Debug, Clone, Default)]
pub struct TaskDefinitions {
    /// The images by ARN. Task definitions never change: each is read once. Those that nothing refers to any more are
    /// forgotten.
    images: BTreeMap<String, Vec<String>>,
    shared: Option<Shared>,
}

/// What the dry runs of some minutes share.
#[derive(Debug, Clone)]
struct Shared {
    /// When the reading began.
    at: Timestamp,
    /// The newest revisions of every family, each family's newest first.
    newest: Vec<String>,
    waived: BTreeSet<Source>,
    started: SourcesRead,
}

/// What was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStep {
    Clusters,
    Services,
    ServiceDeployments,
    ServiceRevisions,
    Tasks,
    Daemons,
    NewestTaskDefinitions,
    TaskDefinitions,
}

impl fmt::Display for ReadStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clusters => "its clusters",
            Self::Services => "its services",
            Self::ServiceDeployments => "the deployments of its services",
            Self::ServiceRevisions => "the revisions that its services may return to",
            Self::Tasks => "its tasks",
            Self::Daemons => "its daemons",
            Self::NewestTaskDefinitions => "the newest revisions of its task definitions",
            Self::TaskDefinitions => "the images of its task definitions",
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InUseError {
    #[error("it is not known which images ECS uses: {step} could not be read")]
    Ecs {
        step: ReadStep,
        #[source]
        source: EcsError,
    },
    #[error("it is not known which images Lambda uses")]
    Lambda(#[source] LambdaError),
    #[error("it is not known which images {of} uses; whoever looks after them may write waive = [\"{of}\"]")]
    Source {
        of: Source,
        #[source]
        source: SourceError,
    },
    #[error(
        "{by} names {text:?}, and it is not known which image that is: name a revision there, or write \
         waive = [\"{of}\"] and look after it"
    )]
    Unknown { of: Source, by: String, text: String },
}

impl InUseError {
    /// Whether the same reading may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ecs { source, .. } => source.is_retryable(),
            Self::Lambda(source) => source.is_retryable(),
            Self::Source { source, .. } => source.is_retryable(),
            Self::Unknown { .. } => false,
        }
    }
}

fn at(step: ReadStep) -> impl Fn(EcsError) -> InUseError + Copy + Send {
    move |source| InUseError::Ecs { step, source }
}

/// All that is used in the account and region, sorted. `newest`: how many revisions of each family of task definitions
/// count as used, since tasks are run by the family's name. What is shared was read after `since`; all else is as it is
/// `now`.
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
    let clusters = ecs.clusters().await.map_err(at(ReadStep::Clusters))?;
    services(ecs, &clusters, &mut references, &mut used).await?;
    tasks(ecs, &clusters, &mut used).await?;
    daemons(ecs, &clusters, &mut used).await?;
    let is_fresh = |kept: &Shared| {
        kept.at >= since && now.duration_since(kept.at) < SHARED_FOR && kept.waived == *waived
    };
    let shared = match cache.shared.take().filter(is_fresh) {
        Some(shared) => shared,
        None => Shared {
            at: now,
            newest: newest_task_definitions(ecs, newest).await?,
            started: sources.read(&clusters, waived).await?,
            waived: waived.clone(),
        },
    };
    shared.newest.iter().for_each(|arn| references.add(arn, None));
    started(&shared, &mut references, &mut used);
    task_definitions(ecs, references, cache, &mut used).await?;
    functions(lambda, &mut used).await?;
    // Where something failed, one of them may be gone.
    cache.shared = Some(shared);
    used.sort();
    used.dedup();
    Ok(used)
}

/// What schedules and the like name. A family's newest active revision is the first of those that were listed; a family
/// that has none can start nothing.
fn started(shared: &Shared, references: &mut References, used: &mut Vec<Used>) {
    used.extend(shared.started.images.iter().cloned());
    let by_name = |by: &String| Some(by.clone());
    for (family, by) in &shared.started.families {
        let is_of = |arn: &&String| last(arn).rsplit_once(':').is_some_and(|(of, _)| of == family);
        if let Some(arn) = shared.newest.iter().find(is_of) {
            by.iter().for_each(|by| references.add(arn, by_name(by)));
        }
    }
    for (revision, by) in &shared.started.revisions {
        // By its ARN where it is one of the newest, so that it is read once.
        let arn = shared.newest.iter().find(|arn| last(arn) == revision).unwrap_or(revision);
        by.iter().for_each(|by| references.add(arn, by_name(by)));
    }
}

/// Who refers to which task definition, by its ARN. None: it is one of its family's newest.
#[derive(Default)]
struct References(BTreeMap<String, BTreeSet<Option<String>>>);

impl References {
    fn add(&mut self, task_definition: &str, by: Option<String>) {
        self.0.entry(task_definition.to_owned()).or_default().insert(by);
    }
}

/// Every service's revisions go to `used`, its task definitions to `references`.
async fn services(
    ecs: &Ecs,
    clusters: &[String],
    references: &mut References,
    used: &mut Vec<Used>,
) -> Result<(), InUseError> {
    let listed = side_by_side(clusters.to_vec(), |cluster| async move {
        let arns = ecs.service_arns(&cluster).await.map_err(at(ReadStep::Services))?;
        Ok(parts(&cluster, &arns, PER_DESCRIBE_SERVICES))
    });
    let described = side_by_side(listed.await?.concat(), |(cluster, arns)| async move {
        let services = ecs.services_in_use(&cluster, &arns).await.map_err(at(ReadStep::Services))?;
        Ok((cluster, services))
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
    let returns_to = side_by_side(unsettled, |(cluster, arn, place)| async move {
        let returns_to = returns_to(ecs, &cluster, &arn).await?;
        Ok(returns_to.into_iter().map(|arn| (arn, place.clone())).collect::<Vec<_>>())
    });
    revisions.extend(returns_to.await?.concat());
    let read = side_by_side(of_twenty(revisions.keys()), |arns| async move {
        ecs.service_revisions(&arns).await.map_err(at(ReadStep::ServiceRevisions))
    });
    for revision in read.await?.concat() {
        let place = revisions.get(&revision.arn).map_or("a service", String::as_str);
        add(used, &format!("service revision {} of {place}", last(&revision.arn)), revision.images);
    }
    Ok(())
}

/// The revisions that a service comes from, brings or may go back to, while a deployment is not over or has failed:
/// those of the deployments that still go on, and that of the last which went well.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
async fn returns_to(ecs: &Ecs, cluster: &str, service: &str) -> Result<BTreeSet<String>, InUseError> {
    let deployments = ecs.all_service_deployments(cluster, service).await;
    let deployments = deployments.map_err(at(ReadStep::ServiceDeployments))?;
    let went_well = deployments.iter().filter(|one| one.status == ServiceDeploymentStatus::Successful);
    let mut revisions: BTreeSet<String> = went_well
        .max_by_key(|one| one.created_at)
        .and_then(|one| one.target_revision.clone())
        .into_iter()
        .collect();
    let open = deployments.iter().filter(|one| is_open(one)).map(|one| &one.arn);
    for arns in of_twenty(open) {
        let more = ecs.revisions_of_deployments(&arns).await.map_err(at(ReadStep::ServiceDeployments))?;
        revisions.extend(more);
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

/// All that ECS knows: also those that it stops, and those that stopped within about the last hour, which may be what
/// somebody looks at or starts again.
async fn tasks(ecs: &Ecs, clusters: &[String], used: &mut Vec<Used>) -> Result<(), InUseError> {
    let listed = side_by_side(clusters.to_vec(), |cluster| async move {
        let mut arns = ecs.task_arns(&cluster, Wanted::Running).await.map_err(at(ReadStep::Tasks))?;
        arns.extend(ecs.task_arns(&cluster, Wanted::Stopped).await.map_err(at(ReadStep::Tasks))?);
        Ok(parts(&cluster, &arns, PER_DESCRIBE_TASKS))
    });
    let described = side_by_side(listed.await?.concat(), |(cluster, arns)| async move {
        let tasks = ecs.tasks_in_use(&cluster, &arns).await.map_err(at(ReadStep::Tasks))?;
        Ok((cluster, tasks))
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

async fn daemons(ecs: &Ecs, clusters: &[String], used: &mut Vec<Used>) -> Result<(), InUseError> {
    let failed = at(ReadStep::Daemons);
    let listed =
        side_by_side(
            clusters.to_vec(),
            |cluster| async move { ecs.daemon_arns(&cluster).await.map_err(failed) },
        );
    let found =
        side_by_side(
            listed.await?.concat(),
            |arn| async move { ecs.daemon_in_use(&arn).await.map_err(failed) },
        );
    let (mut revisions, mut deployments) = (BTreeSet::new(), BTreeSet::new());
    for daemon in found.await?.into_iter().flatten() {
        revisions.extend(daemon.revisions);
        deployments.extend(daemon.deployment);
    }
    let more = side_by_side(of_twenty(&deployments), |arns| async move {
        ecs.revisions_of_daemon_deployments(&arns).await.map_err(failed)
    });
    revisions.extend(more.await?.into_iter().flatten());
    let read = side_by_side(of_twenty(&revisions), |arns| async move {
        ecs.daemon_revisions(&arns).await.map_err(failed)
    });
    for revision in read.await?.concat() {
        add(used, &format!("daemon revision {}", last(&revision.arn)), revision.images);
    }
    Ok(())
}

async fn newest_task_definitions(ecs: &Ecs, newest: usize) -> Result<Vec<String>, InUseError> {
    let failed = at(ReadStep::NewestTaskDefinitions);
    let families = ecs.task_definition_families().await.map_err(failed)?;
    let listed = side_by_side(families, |family| async move {
        ecs.newest_task_definitions(&family, newest).await.map_err(failed)
    });
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
    let read = side_by_side(unread, |arn| async move {
        let images = ecs.task_definition_images(&arn).await.map_err(at(ReadStep::TaskDefinitions))?;
        Ok((arn, images))
    });
    for (arn, images) in read.await? {
        match images {
            Some(images) => drop(cache.images.insert(arn, images)),
            // ECS told its ARN a moment ago.
            None if arn.starts_with("arn:") => {
                let source = EcsError::Answer {
                    operation: "DescribeTaskDefinition",
                    what: arn,
                    member: "taskDefinition",
                };
                return Err(at(ReadStep::TaskDefinitions)(source));
            }
            // Somebody names what is deleted, or is not there yet: nothing can be started by it now.
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
        // What it was resolved to is written as a reference too, by digest.
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

/// One describing call's arguments each.
fn parts(cluster: &str, arns: &[String], size: usize) -> Vec<(String, Vec<String>)> {
    arns.chunks(size).map(|arns| (cluster.to_owned(), arns.to_vec())).collect()
}

/// The same for revisions and deployments, which need no cluster.
fn of_twenty<'a>(arns: impl IntoIterator<Item = &'a String>) -> Vec<Vec<String>> {
    let arns: Vec<String> = arns.into_iter().cloned().collect();
    arns.chunks(PER_DESCRIBE_REVISIONS).map(<[String]>::to_vec).collect()
}

/// What an ARN ends with: a name, an id, `family:revision`.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// All of them, a few at a time, in no order; or the first failure.
///
/// They are owned: of what borrows, the compiler cannot tell that it may be moved between threads.
async fn side_by_side<I, T, F>(items: Vec<I>, read: impl FnMut(I) -> F) -> Result<Vec<T>, InUseError>
where
    F: Future<Output = Result<T, InUseError>>,
{
    stream::iter(items).map(read).buffer_unordered(AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests;
