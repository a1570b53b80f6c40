//! The runs of retention. The sort key of a run is `RUN#{id}`, and the ids sort by time.

use stablepin_retention_rules::run::{Run, RunId};
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::name::ApplicationName;

use super::audit::audit_item;
use super::error::TableError;
use super::item::item;
use super::keys;
use super::lists::{Cursor, Page, Range};
use super::table::Table;
use super::transaction::{CommitError, Part, Writes};

impl Table {
    /// Writes a new run with its audit record. Returns the run with its version. The error `Lost`
    /// means that a run with this id already exists.
    pub async fn put_run(&self, run: &Run, audit: &AuditRecord) -> Result<Run, CommitError> {
        self.write_run(0, run, std::slice::from_ref(audit)).await
    }

    /// Writes a run's new state with its audit records, if the table still has the version of
    /// `before`. Returns the run with its new version. After the error `Lost`, the caller must read
    /// the run and decide again.
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
        self.stored(&keys::run(application, id)).await
    }

    /// A page of an application's retention runs, newest first.
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
