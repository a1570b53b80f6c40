//! Runs of retention: `RUN#{id}`, whose ids sort by time.

use stablepin_rules::audit::AuditRecord;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::retention::run::{Run, RunId};

use super::lists::Range;
use super::{CommitError, Cursor, Page, Part, Table, TableError, Writes, audit_item, item, keys, record};

impl Table {
    /// A new run, with the record of it. Answers the run with its version; `Lost`: it is there already.
    pub async fn put_run(&self, run: &Run, audit: &AuditRecord) -> Result<Run, CommitError> {
        self.write_run(0, run, std::slice::from_ref(audit)).await
    }

    /// What became of a run, with the records of it, where it is still as `before` was. Answers the run with its new
    /// version; `Lost`: read it again, and decide again.
    pub async fn update_run(
        &self,
        before: &Run,
        after: &Run,
        audit: &[AuditRecord],
    ) -> Result<Run, CommitError> {
        self.write_run(before.version, after, audit).await
    }

    async fn write_run(&self, old: u64, run: &Run, audit: &[AuditRecord]) -> Result<Run, CommitError> {
        let run = Run { version: old + 1, ..run.clone() };
        let mut writes = Writes::new(&self.name);
        writes.put(item(&keys::run(&run.application, run.id), run.version, &run)?, Some(old), Part::Version);
        for (place, audit) in (0..).zip(audit) {
            writes.put(audit_item(audit, place)?, Some(0), Part::Version);
        }
        self.transact(writes).await?;
        Ok(run)
    }

    pub async fn run(&self, application: &ApplicationName, id: RunId) -> Result<Option<Run>, TableError> {
        let item = self.get(&keys::run(application, id)).await?;
        item.map(|item| record("RUN", &item)).transpose()
    }

    /// Newest first.
    pub async fn runs(
        &self,
        application: &ApplicationName,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<Run>, TableError> {
        self.query(Range {
            partition: keys::partition(application),
            prefix: keys::RUNS,
            newest_first: true,
            limit: Some(limit),
            after,
        })
        .await
    }
}
