//! Carries out one run in one repository: read, plan, apply, check, report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stablepin_aws::dynamodb::{CommitError, uuid_v7};
use stablepin_aws::ecr::ImageStatus;
use stablepin_aws::s3::Bucket;
use stablepin_reconciler::Deadline;
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::retention::inventory::StorageState;
use stablepin_rules::retention::plan::{Fate, Plan, RetentionRule, plan};
use stablepin_rules::retention::policy::RetentionPolicy;
use stablepin_rules::retention::run::{Applied, Planned, Purpose, Run, RunId, RunProgress, Stored};

use crate::apply::{Apply, Completion};
use crate::in_use::TaskDefinitions;
use crate::manifests::KnownManifests;
use crate::read::{Read, ReadError, clear_marks, read, warning};
use crate::{Message, RetentionClients, RetentionError, metrics, runs, undo};

/// How long after its deadline an invocation's last call may still take effect.
const LAST_CALL: SignedDuration = SignedDuration::from_secs(30);

/// The delay, in seconds, before a repository that another run holds is tried again.
const BUSY_SECONDS: i32 = 60;

/// The most time to spare at the end of an invocation, longer than any call of a patient client
/// takes. A short invocation spares only a sixth.
const MOST_SPARED: SignedDuration = SignedDuration::from_secs(150);

/// How often a message may fail and be tried again.
const MOST_FAILURES: u8 = 3;

/// How often the whole inventory is read if a later read may succeed.
pub(crate) const MOST_READS: u32 = 3;

/// Handles one message. Returns the outcome, for the log.
pub(crate) async fn handle_message(
    clients: &RetentionClients,
    cache: &mut TaskDefinitions,
    message: &Message,
    deadline: Deadline,
) -> Result<&'static str, RetentionError> {
    let Message { application, run, repository, failures: _ } = message;
    let holder = uuid_v7(now());
    let until = deadline.ends_at() + LAST_CALL;
    if !clients.table.take_repository(application, repository, *run, holder, now(), until).await? {
        message.later(clients, BUSY_SECONDS).await?;
        return Ok("another run has the repository: later");
    }
    // Read after taking the repository, so that the work of an earlier delivery of this message
    // counts.
    let run = clients.table.run(application, *run).await?;
    let open = |run: &Run| run.repositories.get(repository).is_some_and(|one| !one.state.is_terminal());
    let Some(run) = run.filter(open) else {
        clients.table.give_repository_back(application, repository, holder).await?;
        return Ok("there is no such run, or it is done");
    };
    let work = RepositoryWork { clients, run: &run, repository, deadline: with_time_to_spare(deadline) };
    let done = work.perform(cache).await;
    let how = match done {
        Ok(Some(end)) => {
            work.save_progress(&end).await?;
            "done"
        }
        Ok(None) => {
            // An invocation without any progress would make none the next time, either.
            let now = clients.table.run(application, run.id).await?;
            let further = now.as_ref().and_then(|now| now.repositories.get(repository))
                != run.repositories.get(repository);
            let failures = if further { 0 } else { message.failures + 1 };
            if failures > MOST_FAILURES {
                let problem =
                    "the time of an invocation was not enough to begin: nothing more is touched".to_owned();
                work.save_progress(&RunProgress::Failed { problem }).await?;
            } else {
                Message { failures, ..message.clone() }.later(clients, 0).await?;
            }
            "the rest of it: later"
        }
        // The document is unusable, and stays so.
        Err(error @ (RetentionError::Changed { .. } | RetentionError::Document { .. })) => {
            work.save_progress(&RunProgress::Failed { problem: chain(&error) }).await?;
            "failed"
        }
        Err(error) => {
            tracing::error!(
                application.name = %application,
                repository.name = %repository,
                failures = message.failures,
                "the work on the repository failed: {}",
                chain(&error)
            );
            failed(&work, message, &error).await?
        }
    };
    clients.table.give_repository_back(application, repository, holder).await?;
    Ok(how)
}

/// Sets an earlier deadline, so that a part that has begun can finish: a hundred images may take a
/// minute when ECR is slow. If a part is cut off, it waits until the queue delivers the message
/// again.
fn with_time_to_spare(deadline: Deadline) -> Deadline {
    let left = deadline.ends_at().duration_since(now());
    deadline.within(left - (left / 6).min(MOST_SPARED))
}

/// Sends the message again after a failure, a few times, without repeating finished work. The queue
/// itself would deliver the message again only after a crash, and much later.
async fn failed(
    work: &RepositoryWork<'_>,
    message: &Message,
    error: &RetentionError,
) -> Result<&'static str, RetentionError> {
    if message.failures < MOST_FAILURES {
        let again = Message { failures: message.failures + 1, ..message.clone() };
        again.later(work.clients, BUSY_SECONDS * i32::from(again.failures)).await?;
        return Ok("it failed: again later");
    }
    // Clear the marks now: nobody else would before the next run.
    if let Err(error) = clear_marks(work.clients, &work.run.application).await {
        tracing::error!(repository.name = %work.repository, "the marks could not be cleared: {}", chain(&error));
    }
    work.save_progress(&RunProgress::Failed { problem: chain(error) }).await?;
    Ok("it failed too often")
}

/// The work of one run in one repository, during this invocation.
pub(crate) struct RepositoryWork<'a> {
    pub(crate) clients: &'a RetentionClients,
    pub(crate) run: &'a Run,
    pub(crate) repository: &'a RepositoryName,
    /// No call begins after it.
    pub(crate) deadline: Deadline,
}

/// The outcome of one image that the plan removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum ImageOutcome {
    Deleted,
    Archived,
    Untagged {
        tags: Vec<ImageTag>,
    },
    Restored,
    /// The image differs from the plan, or is needed now.
    Skipped {
        why: String,
    },
    Refused {
        code: String,
        why: String,
    },
}

/// The outcomes of a report, by image.
pub(crate) type Outcomes = BTreeMap<ImageDigest, ImageOutcome>;

/// The outcomes that an earlier invocation of the run has saved.
#[derive(Deserialize)]
pub(crate) struct Noted {
    pub(crate) outcomes: Outcomes,
}

#[derive(Serialize)]
struct RunReport<'a> {
    run: RunId,
    repository: &'a RepositoryName,
    at: Timestamp,
    plan: &'a Option<Stored>,
    outcomes: &'a Outcomes,
    applied: &'a Applied,
}

impl RepositoryWork<'_> {
    /// Carries out the run's work, or returns `None` if there is not enough time for the rest.
    async fn perform(&self, cache: &mut TaskDefinitions) -> Result<Option<RunProgress>, RetentionError> {
        let stored = self.clients.table.application(&self.run.application).await?;
        let Some(application) = stored.and_then(|stored| Application::parse(&stored.text, None).ok()) else {
            let problem = "there is no such application any more, or its file is not readable".to_owned();
            return Ok(Some(RunProgress::LeftAlone { problem }));
        };
        let own = application.environments.iter().map(|environment| &environment.repository);
        if !own.chain([&application.repository]).any(|own| own == self.repository) {
            let problem = "the repository is not the application's any more: nothing was touched".to_owned();
            return Ok(Some(RunProgress::LeftAlone { problem }));
        }
        if let Purpose::Undo { of } = self.run.purpose {
            return undo::undo(self, of).await;
        }
        if let Purpose::Apply { .. } = self.run.purpose
            && application.retention.mode == RetentionMode::DryRun
        {
            let problem = "retention.mode is dry-run by now: nothing was touched".to_owned();
            return Ok(Some(RunProgress::LeftAlone { problem }));
        }
        self.save_progress(&RunProgress::Planning).await?;
        let mut known =
            KnownManifests::load(&self.clients.bucket, &self.run.application, self.repository).await?;
        let read = match self.read(&application, &mut known, cache).await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(
                    application.name = %self.run.application,
                    repository.name = %self.repository,
                    is_retryable = error.is_retryable(),
                    "the repository is left alone: {}",
                    chain(&error)
                );
                return Ok(Some(RunProgress::LeftAlone { problem: chain(&error) }));
            }
        };
        let ended = self.plan_and_apply(&application, &read, &mut known).await?;
        // Until the end, the removed images are weighed together with the rest.
        if ended.is_some() {
            known.forget(&listed_digests(&read));
        }
        known.keep(&self.clients.bucket, &self.run.application, self.repository).await?;
        Ok(ended)
    }

    /// Reads the inventory. If a read fails or the repository changes meanwhile, everything is read
    /// again, so that the inventory is one snapshot.
    async fn read(
        &self,
        application: &Application,
        known: &mut KnownManifests,
        cache: &mut TaskDefinitions,
    ) -> Result<Read, ReadError> {
        let mut rounds = 1..MOST_READS;
        loop {
            // A plan without deletions may use what was read for another repository of the same
            // night.
            let since = if self.run.purpose == Purpose::Plan { self.run.begun_at } else { now() };
            match read(self.clients, application, self.repository, since, known, cache).await {
                Err(error) if error.is_retryable() && !self.deadline.is_near() && rounds.next().is_some() => {
                    tracing::warn!(repository.name = %self.repository, "reading the repository again: {}", chain(&error));
                }
                done => return done,
            }
        }
    }

    async fn plan_and_apply(
        &self,
        application: &Application,
        read: &Read,
        known: &mut KnownManifests,
    ) -> Result<Option<RunProgress>, RetentionError> {
        let kept = self.saved_plan().await?;
        // The share was applied when the plan was made.
        let share = if kept.is_some() { 100 } else { self.run.share };
        let fresh = plan(&read.inventory, &RetentionPolicy::of(application, share), now());
        let Some((saved, stored)) = kept else {
            let planned = self.save_plan(&fresh, read, known).await?;
            let stored = planned.plan.clone();
            self.save_progress(&RunProgress::Planned(planned)).await?;
            if self.run.purpose == Purpose::Plan {
                return Ok(Some(RunProgress::Done(Applied::default())));
            }
            // Manifests are saved first: those of deleted images cannot be read.
            known.keep(&self.clients.bucket, &self.run.application, self.repository).await?;
            return self.apply(application, &fresh, &fresh, read, known, stored).await;
        };
        known.keep(&self.clients.bucket, &self.run.application, self.repository).await?;
        if let Purpose::Apply { plan_of: Some(_) } = self.run.purpose {
            let planned = counted(&saved, Some(stored.clone()), read);
            self.save_progress(&RunProgress::Planned(planned)).await?;
        }
        self.apply(application, &saved, &fresh, read, known, Some(stored)).await
    }

    async fn apply(
        &self,
        application: &Application,
        saved: &Plan,
        fresh: &Plan,
        read: &Read,
        known: &mut KnownManifests,
        stored: Option<Stored>,
    ) -> Result<Option<RunProgress>, RetentionError> {
        if !read.external_accounts.is_empty() {
            return Ok(Some(RunProgress::LeftAlone { problem: warning(&read.external_accounts) }));
        }
        let before = self.run.repositories.get(self.repository);
        let noted = before.and_then(|one| one.report.clone());
        let noted = match &noted {
            Some(stored) => document::<Noted>(&self.clients.bucket, stored).await?.outcomes,
            None => Outcomes::new(),
        };
        let begun = before.is_some_and(|one| one.plan.is_some());
        let mut apply = Apply::new(self, saved, fresh, noted, begun);
        let completion = apply.carry_out().await;
        let mut applied = apply.applied();
        let deleted: BTreeSet<&ImageDigest> = apply
            .outcomes
            .iter()
            .filter(|(_, outcome)| **outcome == ImageOutcome::Deleted)
            .map(|(digest, _)| digest)
            .collect();
        // Weighing reads more from ECR, so it is left out if ECR fails.
        let exact = match completion {
            Ok(_) => known.freed(&self.clients.ecr, self.repository, &deleted, &listed_digests(read)).await,
            Err(_) => None,
        };
        applied.freed_bytes = exact.unwrap_or_else(|| known.freed_at_most(saved, &deleted));
        applied.freed_is_exact = exact.is_some();
        let report = RunReport {
            run: self.run.id,
            repository: self.repository,
            at: now(),
            plan: &stored,
            outcomes: &apply.outcomes,
            applied: &applied,
        };
        // A report is saved after a failure, too: an undo needs it to restore the archived images.
        applied.report = Some(self.put_report(&report).await?);
        match completion {
            Ok(Completion::Complete) => {}
            Ok(Completion::Partial) => {
                self.save_progress(&RunProgress::Applying(applied)).await?;
                return Ok(None);
            }
            Err(error) => {
                self.save_progress(&RunProgress::Applying(applied)).await?;
                return Err(error);
            }
        }
        let missing = if apply.outcomes.is_empty() {
            Vec::new()
        } else {
            self.missing(application, fresh, read).await?
        };
        if missing.is_empty() {
            return Ok(Some(RunProgress::Done(applied)));
        }
        self.save_progress(&RunProgress::Applying(applied)).await?;
        let problem = format!(
            "what has to be there is not there any more: {}. Its manifest may be in the bucket below {}",
            missing.join("; "),
            self.key("manifests")
        );
        tracing::error!(repository.name = %self.repository, "{problem}");
        Ok(Some(RunProgress::Failed { problem }))
    }

    /// Lists what the run must not have removed but is missing now: images that the plan keeps,
    /// pins, and stable tags. An image that was archived counts as missing if it could be pulled
    /// before. An image that was missing before does not count.
    async fn missing(
        &self,
        application: &Application,
        plan: &Plan,
        read: &Read,
    ) -> Result<Vec<String>, RetentionError> {
        let could_be_pulled: BTreeSet<&ImageDigest> = read
            .inventory
            .images
            .iter()
            .filter(|image| !matches!(image.status, StorageState::Archived(_)))
            .map(|image| &image.digest)
            .collect();
        let found = self.clients.ecr.inventory(self.repository).await?;
        let there: BTreeMap<&ImageDigest, ImageStatus> =
            found.images.iter().map(|one| (&one.digest, one.status)).collect();
        let tags: BTreeMap<&ImageTag, &ImageDigest> =
            found.images.iter().flat_map(|image| image.tags.iter().map(|tag| (tag, &image.digest))).collect();
        let mut missing = BTreeSet::new();
        for one in plan.images.iter().filter(|one| one.rule.is_needed() && one.fate.wave().is_none()) {
            match there.get(&one.digest) {
                Some(ImageStatus::Archived) if could_be_pulled.contains(&one.digest) => {
                    missing.insert(format!("{} is archived ({})", one.digest, one.why));
                }
                Some(_) => {}
                None => drop(missing.insert(format!("{} ({})", one.digest, one.why))),
            }
        }
        for (name, environment) in self.clients.table.environments_of(&self.run.application).await? {
            let Some(pin) = environment.pin else { continue };
            match there.get(&pin.digest) {
                _ if !could_be_pulled.contains(&pin.digest) => {}
                Some(ImageStatus::Active | ImageStatus::Activating) => {}
                Some(ImageStatus::Archived) => {
                    missing.insert(format!("{}, the pin of {name}, is archived", pin.digest));
                }
                None => drop(missing.insert(format!("{}, the pin of {name}", pin.digest))),
            }
            // While the tag moves to a new pin, it may be missing.
            let follows = environment.applied == Some(pin.number);
            let stable = application.environment(&name).map(|environment| &environment.stable_tag);
            if let Some(stable) = stable.filter(|_| follows)
                && !tags.contains_key(stable)
                && plan.images.iter().any(|one| one.tags.contains(stable))
            {
                missing.insert(format!("the tag {stable}"));
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Returns the plan to carry out, if one exists: the plan of the run that the caller has
    /// reviewed, or this run's own plan from before an interruption.
    async fn saved_plan(&self) -> Result<Option<(Plan, Stored)>, RetentionError> {
        let own = self.run.repositories.get(self.repository).and_then(|one| one.plan.clone());
        let stored = match (own, self.run.purpose) {
            (Some(own), _) => Some(own),
            (None, Purpose::Apply { plan_of: Some(of) }) => {
                let run = self.clients.table.run(&self.run.application, of).await?;
                // The reviewed run has no plan here, so nothing may be removed: save an empty plan.
                let stored = run.and_then(|run| run.repositories.get(self.repository)?.plan.clone());
                let Some(stored) = stored else {
                    let none = Plan { repository: self.repository.clone(), at: now(), images: Vec::new() };
                    let stored = self.put("plan.json", &none).await?;
                    return Ok(Some((none, stored)));
                };
                Some(stored)
            }
            (None, Purpose::Apply { plan_of: None } | Purpose::Plan | Purpose::Undo { .. }) => None,
        };
        let Some(stored) = stored else { return Ok(None) };
        let plan = document(&self.clients.bucket, &stored).await?;
        Ok(Some((plan, stored)))
    }

    async fn save_plan(
        &self,
        plan: &Plan,
        read: &Read,
        known: &mut KnownManifests,
    ) -> Result<Planned, RetentionError> {
        let stored = self.put("plan.json", plan).await?;
        let mut planned = counted(plan, Some(stored), read);
        let goes: BTreeSet<&ImageDigest> =
            plan.images.iter().filter(|one| one.fate.wave().is_some()).map(|one| &one.digest).collect();
        let mut exact = known.freed(&self.clients.ecr, self.repository, &goes, &listed_digests(read)).await;
        // Archiving frees no bytes. Archived images are weighed anyway, since their manifests
        // cannot be read later.
        let deleted = plan.images.iter().filter(|one| matches!(one.fate, Fate::Delete { .. }));
        let deleted: BTreeSet<&ImageDigest> = deleted.map(|one| &one.digest).collect();
        if deleted.len() < goes.len() {
            exact = known.freed(&self.clients.ecr, self.repository, &deleted, &listed_digests(read)).await;
        }
        planned.freed_bytes = exact.unwrap_or_else(|| known.freed_at_most(plan, &deleted));
        planned.freed_is_exact = exact.is_some();
        Ok(planned)
    }

    /// Saves the report under a new key, so that the report that the run names stays unchanged
    /// until the run names the new one.
    pub(crate) async fn put_report<T: Serialize>(&self, report: &T) -> Result<Stored, RetentionError> {
        self.put(&format!("report-{}.json", now().as_millisecond()), report).await
    }

    /// Saves a document of this run in the bucket.
    pub(crate) async fn put<T: Serialize>(&self, name: &str, document: &T) -> Result<Stored, RetentionError> {
        let key = self.key(name);
        let bytes = serde_json::to_vec(document)
            .map_err(|source| RetentionError::Document { key: key.clone(), source })?;
        let stored = self.clients.bucket.put(&key, bytes, "application/json").await?;
        Ok(Stored { key: stored.key, version: stored.version, sha256: stored.sha256 })
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("retention/{}/{}/{}/{name}", self.run.application, self.repository, self.run.id)
    }

    /// Saves the progress in the run, and retries if another writer was faster. The invocation that
    /// ends the run notifies people.
    pub(crate) async fn save_progress(&self, progress: &RunProgress) -> Result<(), RetentionError> {
        loop {
            let Some(before) = self.clients.table.run(&self.run.application, self.run.id).await? else {
                return Ok(());
            };
            let (after, audit) = before.after(now(), self.repository, progress);
            if after == before {
                return Ok(());
            }
            match self.clients.table.update_run(&before, &after, &audit).await {
                Ok(run) => {
                    runs::notify_end(self.clients, &before, &run, self.repository).await;
                    if let Some(one) =
                        run.repositories.get(self.repository).filter(|one| one.state.is_terminal())
                    {
                        metrics::print(&run.application, self.repository, one);
                    }
                    return Ok(());
                }
                Err(CommitError::Lost) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn listed_digests(read: &Read) -> BTreeSet<&ImageDigest> {
    read.inventory.images.iter().map(|image| &image.digest).collect()
}

fn counted(plan: &Plan, stored: Option<Stored>, read: &Read) -> Planned {
    let mut planned = Planned {
        images: plan.images.len() as u64,
        plan: stored,
        warnings: read.warnings.clone(),
        waived: read.waived.iter().map(ToString::to_string).collect(),
        freed_is_exact: true,
        ..Planned::default()
    };
    for one in &plan.images {
        match (&one.fate, one.rule) {
            (Fate::Delete { .. } | Fate::Archive { .. }, _) => planned.to_remove += 1,
            (Fate::Keep | Fate::Untag { .. }, rule) => {
                planned.later += u64::from(rule == RetentionRule::OverShare);
                *planned.by_rule.entry(rule.as_str().to_owned()).or_default() += 1;
            }
        }
    }
    planned
}

/// Reads a document from the bucket, and checks that it is unchanged.
pub(crate) async fn document<T: serde::de::DeserializeOwned>(
    bucket: &Bucket,
    stored: &Stored,
) -> Result<T, RetentionError> {
    let key = || stored.key.clone();
    let bytes = bucket.get(&stored.key).await?.ok_or_else(|| RetentionError::Changed { key: key() })?;
    if stablepin_aws::s3::sha256(&bytes) != stored.sha256 {
        return Err(RetentionError::Changed { key: key() });
    }
    serde_json::from_slice(&bytes).map_err(|source| RetentionError::Document { key: key(), source })
}
