//! Finds the tasks and jobs that EventBridge rules, schedules, pipes and AWS Batch can start by
//! name, even if no such task or job runs now.
//!
//! If 1,000 EventBridge rules and 1,000 schedules start tasks in one cluster, the reads need these
//! calls: 1 ListEventBuses, 10 ListRuleNamesByTarget, 1,000 ListTargetsByRule, 10 ListSchedules,
//! 1,000 GetSchedule. Rules and schedules with other targets need no further call. Each further
//! cluster or job queue needs one ListRuleNamesByTarget for each bus.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::batch::{Batch, Job, JobDefinition, OPEN_STATES, PER_DESCRIBE_JOBS};
use stablepin_aws::call::CallError;
use stablepin_aws::eventbridge::rules::Rules;
use stablepin_aws::mentioned::Mentioned;
use stablepin_aws::pipes::Pipes;
use stablepin_aws::scheduler::Scheduler;
use stablepin_aws::session::Session;
use stablepin_retention_rules::mentions::{DefinitionName, Mention, Place, is_dynamic};
use stablepin_rules::application::Source;

use super::concurrency::read_concurrently;
use super::error::InUseError;
use super::used::Used;

/// The clients of the AWS services that start tasks or jobs by name.
#[derive(Debug, Clone)]
pub struct Sources {
    rules: Rules,
    scheduler: Scheduler,
    pipes: Pipes,
    batch: Batch,
    region: String,
    account: String,
}

/// The result of reading all AWS services that the application does not waive.
#[derive(Debug, Clone, Default)]
pub(super) struct SourcesRead {
    /// The images that EventBridge rules, schedules and pipes name, and the images of AWS Batch.
    pub(super) images: Vec<Used>,
    /// The named revisions, such as `web:3`, each with the EventBridge rules, schedules and pipes
    /// that name it.
    pub(super) revisions: BTreeMap<String, BTreeSet<String>>,
    /// The named task definition families, each with the EventBridge rules, schedules and pipes
    /// that name it. The newest active revision of a family counts as used.
    pub(super) families: BTreeMap<String, BTreeSet<String>>,
}

fn failed(of: Source) -> impl Fn(CallError) -> InUseError + Copy + Send {
    move |source| InUseError::Source { of, source }
}

impl Sources {
    pub fn new(session: &Session, account: String) -> Self {
        Self {
            rules: Rules::new(session),
            scheduler: Scheduler::new(session),
            pipes: Pipes::new(session),
            batch: Batch::new(session),
            region: session.region().to_owned(),
            account,
        }
    }

    /// Reads every AWS service that can start tasks or jobs, except the services that the
    /// application waives. `clusters` are the ARNs of the ECS clusters.
    pub(super) async fn read(
        &self,
        clusters: &[String],
        waived: &BTreeSet<Source>,
    ) -> Result<SourcesRead, InUseError> {
        let is_read = |source| !waived.contains(&source);
        let mut found: Vec<(Source, Mentioned)> = Vec::new();
        let (mut queues, mut definitions, mut started) = (Vec::new(), Vec::new(), SourcesRead::default());
        if is_read(Source::Batch) {
            queues = self.batch.job_queues().await.map_err(failed(Source::Batch))?;
            definitions = self.batch.job_definitions().await.map_err(failed(Source::Batch))?;
            for job in self.open_jobs(&queues).await? {
                add(&mut started.images, &format!("job {}", job.id), job.images);
            }
        }
        if is_read(Source::EventBridge) {
            let mentioned = self.mentioned_by_rules(clusters, &queues).await?;
            found.extend(mentioned.into_iter().map(|one| (Source::EventBridge, one)));
        }
        if is_read(Source::Scheduler) {
            let schedules = self.scheduler.schedules().await.map_err(failed(Source::Scheduler))?;
            let read = read_concurrently(schedules, |name| async move {
                self.scheduler.mentioned(&name).await.map_err(failed(Source::Scheduler))
            });
            found.extend(read.await?.into_iter().flatten().map(|one| (Source::Scheduler, one)));
        }
        if is_read(Source::Pipes) {
            let names = self.pipes.names().await.map_err(failed(Source::Pipes))?;
            let read = read_concurrently(names, |name| async move {
                self.pipes.mentioned(&name).await.map_err(failed(Source::Pipes))
            });
            found.extend(read.await?.into_iter().flatten().map(|one| (Source::Pipes, one)));
        }
        let mut jobs: Vec<(DefinitionName<'_>, String)> = Vec::new();
        let place = Place { region: &self.region, account: &self.account };
        for (of, Mentioned { by, mention }) in &found {
            let unknown = |text: &str| InUseError::Unknown { of: *of, by: by.clone(), text: text.to_owned() };
            match mention {
                Mention::Image(image) if is_dynamic(image) => return Err(unknown(image)),
                Mention::Image(image) => add(&mut started.images, by, [image.clone()]),
                Mention::TaskDefinition(text) => {
                    match place.task_definition(text).ok_or_else(|| unknown(text))? {
                        DefinitionName::Revision { name, revision } => {
                            let named = started.revisions.entry(format!("{name}:{revision}")).or_default();
                            named.insert(by.clone());
                        }
                        DefinitionName::Newest { name } => {
                            started.families.entry(name.to_owned()).or_default().insert(by.clone());
                        }
                        // ECS starts only task definitions of its own account and region.
                        DefinitionName::Elsewhere => {}
                    }
                }
                // The application waives AWS Batch, so AWS Batch jobs do not count as uses.
                Mention::JobDefinition(_) if !is_read(Source::Batch) => {}
                // A dynamic name is known only when the job starts. Such a name can match only
                // active revisions. All active revisions already count as used, so nothing is added
                // here.
                Mention::JobDefinition(text) if is_dynamic(text) => {}
                Mention::JobDefinition(text) => {
                    jobs.push((place.job_definition(text).ok_or_else(|| unknown(text))?, by.clone()));
                }
            }
        }
        add_definitions(definitions, &jobs, &mut started.images);
        Ok(started)
    }

    async fn mentioned_by_rules(
        &self,
        clusters: &[String],
        queues: &[String],
    ) -> Result<Vec<Mentioned>, InUseError> {
        let failed = failed(Source::EventBridge);
        let buses = self.rules.buses().await.map_err(failed)?;
        let targets = clusters.iter().chain(queues);
        let pairs: Vec<(String, String)> =
            targets.flat_map(|target| buses.iter().map(|bus| (bus.clone(), target.clone()))).collect();
        let rules = read_concurrently(pairs, |(bus, target)| async move {
            self.rules.with_target(&bus, &target).await.map_err(failed)
        });
        // The set removes duplicates, because one EventBridge rule may have several of the targets.
        let rules: BTreeSet<_> = rules.await?.into_iter().flatten().collect();
        let read = read_concurrently(rules.into_iter().collect(), |rule| async move {
            self.rules.mentioned(&rule).await.map_err(failed)
        });
        Ok(read.await?.concat())
    }

    /// Returns the jobs that wait or run. AWS Batch keeps the images of these jobs even if their
    /// definition is deregistered.
    async fn open_jobs(&self, queues: &[String]) -> Result<Vec<Job>, InUseError> {
        let failed = failed(Source::Batch);
        let states =
            queues.iter().flat_map(|queue| OPEN_STATES.map(|state| (queue.clone(), state.to_owned())));
        let listed = read_concurrently(states.collect(), |(queue, state)| async move {
            self.batch.job_ids(&queue, &state).await.map_err(failed)
        });
        let ids: BTreeSet<String> = listed.await?.into_iter().flatten().collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let parts: Vec<Vec<String>> = ids.chunks(PER_DESCRIBE_JOBS).map(<[String]>::to_vec).collect();
        let jobs =
            read_concurrently(parts, |part| async move { self.batch.jobs(&part).await.map_err(failed) });
        Ok(jobs.await?.concat())
    }
}

/// Adds the images of job definitions. Every active definition counts, since a person may submit a
/// job with it. A deregistered definition counts only if an EventBridge rule, schedule or pipe
/// names it.
fn add_definitions(
    definitions: Vec<JobDefinition>,
    named: &[(DefinitionName<'_>, String)],
    images: &mut Vec<Used>,
) {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for one in definitions.iter().filter(|one| one.is_active) {
        let newest = newest.entry(one.name.clone()).or_default();
        *newest = one.revision.max(*newest);
    }
    for one in definitions {
        let words = format!("job definition {}:{}", one.name, one.revision);
        let is_newest = one.is_active && newest.get(&one.name) == Some(&one.revision);
        for (definition, by) in named {
            let names_it = match definition {
                DefinitionName::Revision { name, revision } => *name == one.name && *revision == one.revision,
                DefinitionName::Newest { name } => *name == one.name && is_newest,
                DefinitionName::Elsewhere => false,
            };
            if names_it {
                add(images, &format!("{by}, {words}"), one.images.clone());
            }
        }
        if one.is_active {
            add(images, &words, one.images);
        }
    }
}

fn add(used: &mut Vec<Used>, by: &str, images: impl IntoIterator<Item = String>) {
    let named = |image| Used { by: by.to_owned(), image: Some(image), digest: None };
    used.extend(images.into_iter().map(named));
}
