//! The audit trail.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::audit::{Actor, AuditRecord, Kind};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};

use crate::PipelineRunAnswer;

answer! {
    /// A change, with its actor and its reason.
    AuditAnswer of record: AuditRecord {
        /// The version of this format.
        version: u8,
        kind: Kind,
        application: ApplicationName,
        environment: Option<EnvironmentName>,
        /// The id of the promotion, rollback, drift or retention run.
        id: Option<String>,
        digest: Option<ImageDigest>,
        from: Option<String>,
        to: String,
        reason: Option<String>,
        actor: Actor,
        /// The SHA-256 of the facts that the approver saw. Only decisions have this field.
        facts: Option<String>,
        /// The run of the pipeline that made the build. Only records about promotions have a run.
        run: Option<PipelineRunAnswer> = record.run.as_ref().map(Into::into),
        at: Timestamp,
    }
}

/// A page of one month's audit records, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// A year and a month, such as `2026-11`.
    pub month: String,
    pub audit: Vec<AuditAnswer>,
    pub next: Option<String>,
}
