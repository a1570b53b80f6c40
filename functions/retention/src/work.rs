//! Carries out one run in one repository: reads, plans, applies, checks and reports.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use stablepin_aws::dynamodb::uuid_v7;
use stablepin_reconciler::Deadline;
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_retention_rules::plan::{Plan, plan};
use stablepin_retention_rules::policy::RetentionPolicy;
use stablepin_retention_rules::run::{Applied, Purpose, Run, RunId, RunProgress, Stored};
use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use crate::apply::{Apply, Completion};
use crate::document::document;
use crate::image_outcome::{ImageOutcome, Noted, Outcomes};
use crate::in_use::TaskDefinitions;
use crate::manifests::{KnownManifests, MOST_READS};
use crate::read::{Read, ReadError, clear_marks, listed_digests, read, warning};
use crate::repository_work::RepositoryWork;
use crate::saved_plan::counted;
use crate::undo::undo;
use crate::{Message, RetentionClients, RetentionError};

/// The time after the deadline during which the last call of an invocation may still take effect.
const LAST_CALL: SignedDuration = SignedDuration::from_secs(30);

/// The delay before the next attempt, in seconds, if another run works on the application's
/// images.
const BUSY_SECONDS: i32 = 60;

/// The most time that an invocation keeps in reserve at its end. The reserve is longer than any
/// call of a patient client. A short invocation keeps only a sixth of its time.
const MOST_SPARED: SignedDuration = SignedDuration::from_secs(150);

/// The most failures after which a message is sent again.
const MOST_FAILURES: u8 = 3;

/// Handles one queue message. Returns the outcome for the log.
pub(crate) async fn handle_message(
    clients: &RetentionClients,
    cache: &mut TaskDefinitions,
    message: &Message,
    deadline: Deadline,
) -> Result<&'static str, RetentionError> {
    let Message { application, run, repository, failures: _ } = message;
    let holder = uuid_v7(now());
    let until = deadline.ends_at() + LAST_CALL;
    if !clients.table.lock_images(application, *run, holder, now(), until).await? {
        message.later(clients, BUSY_SECONDS).await?;
        return Ok("another run works on the application's images: tried again later");
    }
    // The run is read after the lock is taken, so that it includes the work of an
    // earlier delivery of the same message.
    let run = clients.table.run(application, *run).await?;
    let open = |run: &Run| run.repositories.get(repository).is_some_and(|one| !one.state.is_terminal());
    let Some(run) = run.filter(open) else {
        clients.table.unlock_images(application, holder).await?;
        return Ok("the run does not exist or has ended");
    };
    let work = RepositoryWork { clients, run: &run, repository, deadline: with_time_to_spare(deadline) };
    let done = work.perform(cache).await;
    let how = match done {
        Ok(Some(end)) => {
            work.save_progress(&end).await?;
            "done"
        }
        Ok(None) => {
            // An invocation without progress counts as a failure, since the next invocation would
            // make no progress, either.
            let now = clients.table.run(application, run.id).await?;
            let further = now.as_ref().and_then(|now| now.repositories.get(repository))
                != run.repositories.get(repository);
            let failures = if further { 0 } else { message.failures + 1 };
            if failures > MOST_FAILURES {
                let problem =
                    "the time of one invocation was too short to start: the run stops here".to_owned();
                work.save_progress(&RunProgress::Failed { problem }).await?;
            } else {
                Message { failures, ..message.clone() }.later(clients, 0).await?;
            }
            "the rest follows later"
        }
        // A retry would not help, because the document remains unusable.
        Err(error @ (RetentionError::Changed { .. } | RetentionError::Document { .. })) => {
            work.save_progress(&RunProgress::Failed { problem: chain(&error) }).await?;
            "failed"
        }
        Err(error) => {
            tracing::error!(
                application.name = %application,
                repository.name = %repository,
                failures = message.failures,
                "retention of the repository failed: {}",
                chain(&error)
            );
            failed(&work, message, &error).await?
        }
    };
    clients.table.unlock_images(application, holder).await?;
    Ok(how)
}

/// Returns an earlier deadline than Lambda's, so that a batch that has begun can finish. A batch of
/// 100 images may need a minute when ECR is slow. An interrupted batch would wait until the queue
/// delivers the message again.
fn with_time_to_spare(deadline: Deadline) -> Deadline {
    let left = deadline.ends_at().duration_since(now());
    deadline.within(left - (left / 6).min(MOST_SPARED))
}

/// Sends the message again after a failure, at most `MOST_FAILURES` times. The next attempt does
/// not repeat finished work. The queue itself would deliver the message again only after a crash,
/// and much later.
async fn failed(
    work: &RepositoryWork<'_>,
    message: &Message,
    error: &RetentionError,
) -> Result<&'static str, RetentionError> {
    if message.failures < MOST_FAILURES {
        let again = Message { failures: message.failures + 1, ..message.clone() };
        again.later(work.clients, BUSY_SECONDS * i32::from(again.failures)).await?;
        return Ok("failed, tried again later");
    }
    // This run gives up, so it clears its deletion marks now. Otherwise the images stay marked
    // until the next run starts.
    if let Err(error) = clear_marks(work.clients, &work.run.application).await {
        tracing::error!(repository.name = %work.repository, "the marks could not be cleared: {}", chain(&error));
    }
    work.save_progress(&RunProgress::Failed { problem: chain(error) }).await?;
    Ok("failed too often")
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
            let problem = "the application no longer exists, or its file is not readable".to_owned();
            return Ok(Some(RunProgress::LeftAlone { problem }));
        };
        let own = application.environments.iter().map(|environment| &environment.repository);
        if !own.chain([&application.repository]).any(|own| own == self.repository) {
            let problem = "the application dropped the repository: Stablepin changed nothing".to_owned();
            return Ok(Some(RunProgress::LeftAlone { problem }));
        }
        if let Purpose::Undo { of } = self.run.purpose {
            return undo(self, of).await;
        }
        if let Purpose::Apply { .. } = self.run.purpose
            && application.retention.mode == RetentionMode::DryRun
        {
            let problem = "retention.mode is now dry-run: Stablepin changed nothing".to_owned();
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
                    "the repository is skipped: {}",
                    chain(&error)
                );
                return Ok(Some(RunProgress::LeftAlone { problem: chain(&error) }));
            }
        };
        let ended = self.plan_and_apply(&application, &read, &mut known).await?;
        // The run needs the layers of the removed images until the run ends, to count the freed
        // bytes.
        if ended.is_some() {
            known.forget(&listed_digests(&read));
        }
        known.keep(&self.clients.bucket, &self.run.application, self.repository).await?;
        Ok(ended)
    }

    /// Reads the inventory. If a read fails or the repository changes meanwhile, reads everything
    /// again, so that the inventory is one snapshot.
    async fn read(
        &self,
        application: &Application,
        known: &mut KnownManifests,
        cache: &mut TaskDefinitions,
    ) -> Result<Read, ReadError> {
        let mut rounds = 1..MOST_READS;
        loop {
            // A dry run may use results that were read for another repository after this run began.
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
        // The saved plan already respects the run's limit (`share`, in percent), so the fresh plan
        // has no limit.
        let share = if kept.is_some() { 100 } else { self.run.share };
        let fresh = plan(&read.inventory, &RetentionPolicy::of(application, share), now());
        let Some((saved, stored)) = kept else {
            let planned = self.save_plan(&fresh, read, known).await?;
            let stored = planned.plan.clone();
            self.save_progress(&RunProgress::Planned(planned)).await?;
            if self.run.purpose == Purpose::Plan {
                return Ok(Some(RunProgress::Done(Applied::default())));
            }
            // Manifests are saved first, since ECR does not return manifests of deleted images.
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
        // Counting the freed bytes reads more from ECR, so the run skips the count if ECR fails.
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
        // The report is saved after a failure, too: an undo needs the report to restore the
        // archived images.
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
            "images that must exist are missing: {}. Its manifest may be in the bucket below {}",
            missing.join("; "),
            self.key("manifests")
        );
        tracing::error!(repository.name = %self.repository, "{problem}");
        Ok(Some(RunProgress::Failed { problem }))
    }
}
