//! The work of one run in one repository: its documents and its progress.

use serde::Serialize;
use stablepin_aws::dynamodb::CommitError;
use stablepin_reconciler::Deadline;
use stablepin_reconciler::clock::now;
use stablepin_retention_rules::run::{Run, RunProgress, Stored};
use stablepin_rules::image::RepositoryName;

use crate::{RetentionClients, RetentionError, metrics, runs};

/// The work of one run in one repository, during this invocation.
pub(crate) struct RepositoryWork<'a> {
    pub(crate) clients: &'a RetentionClients,
    pub(crate) run: &'a Run,
    pub(crate) repository: &'a RepositoryName,
    /// The time after which no call begins.
    pub(crate) deadline: Deadline,
}

impl RepositoryWork<'_> {
    /// Saves the report under a new key. The run's current report must stay unchanged until the run
    /// refers to the new report.
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

    /// Saves the progress in the run's record. If another writer changed the record first, tries
    /// again. The invocation that ends the run also notifies people.
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
