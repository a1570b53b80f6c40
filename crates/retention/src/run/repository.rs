//! The part of a run in one repository, and the reports of its progress.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use stablepin_rules::one_line::{LONGEST_REASON, one_line};

/// The part of a run in one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryRun {
    pub state: RepositoryState,
    /// The number of images in the repository.
    pub images: u64,
    /// The number of kept images for each retention rule.
    pub by_rule: BTreeMap<String, u64>,
    /// The number of images that the plan of this run removes.
    pub to_remove: u64,
    /// The number of images that a later run may remove, because this run has reached its limit.
    pub later: u64,
    pub deleted: u64,
    pub archived: u64,
    /// The number of tags that the run removed from kept images.
    pub untagged: u64,
    pub restored: u64,
    /// The number of images that the run kept, because they changed after the plan.
    pub skipped: u64,
    /// The bytes that the deletions freed: blobs that no remaining image uses. In a dry run, the
    /// bytes that its plan would free.
    pub freed_bytes: u64,
    /// False if Stablepin could not read every manifest. Then some shared layers are unknown.
    pub freed_is_exact: bool,
    /// The number of images that ECR did not delete, for each error code.
    pub errors: BTreeMap<String, u64>,
    pub warnings: Vec<String>,
    /// The workload sources that Stablepin did not read, because the application's file waives
    /// these sources.
    pub waived: BTreeSet<String>,
    /// The reason why the run skipped the repository, or failed.
    pub problem: Option<String>,
    pub plan: Option<Stored>,
    pub report: Option<Stored>,
    pub updated_at: Timestamp,
}

impl RepositoryRun {
    pub fn has_changed_something(&self) -> bool {
        [self.deleted, self.archived, self.untagged, self.restored].iter().any(|count| *count > 0)
    }

    pub(super) fn planned(&mut self, planned: &Planned) {
        self.images = planned.images;
        self.by_rule = planned.by_rule.clone();
        self.to_remove = planned.to_remove;
        self.later = planned.later;
        self.warn(&planned.warnings);
        self.waived = planned.waived.clone();
        self.plan = planned.plan.clone();
    }

    pub(super) fn applied(&mut self, applied: &Applied) {
        self.deleted = applied.deleted;
        self.archived = applied.archived;
        self.untagged = applied.untagged;
        self.restored = applied.restored;
        self.skipped = applied.skipped;
        self.freed_bytes = applied.freed_bytes;
        self.freed_is_exact = applied.freed_is_exact;
        self.errors = applied.errors.clone();
        self.warn(&applied.warnings);
        self.report = applied.report.clone().or(self.report.take());
    }

    fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            let warning = one_line(warning, LONGEST_REASON);
            if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
                self.warnings.push(warning);
            }
        }
    }
}

/// The most warnings per repository in the record. The report contains all warnings.
const MOST_WARNINGS: usize = 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepositoryState {
    #[default]
    Waiting,
    Planning,
    Applying,
    Done,
    /// Stablepin could not read a part of the inventory, and changed nothing.
    LeftAlone,
    Failed,
}

impl RepositoryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Planning => "Planning",
            Self::Applying => "Applying",
            Self::Done => "Done",
            Self::LeftAlone => "LeftAlone",
            Self::Failed => "Failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Self::Waiting | Self::Planning | Self::Applying => false,
            Self::Done | Self::LeftAlone | Self::Failed => true,
        }
    }
}

/// A document in the S3 bucket: a plan or a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub key: String,
    #[serde(default)]
    pub version: Option<String>,
    /// The document's SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// The numbers of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    pub images: u64,
    pub by_rule: BTreeMap<String, u64>,
    pub to_remove: u64,
    pub later: u64,
    pub freed_bytes: u64,
    pub freed_is_exact: bool,
    pub warnings: Vec<String>,
    pub waived: BTreeSet<String>,
    pub plan: Option<Stored>,
}

/// The totals of the work since the start of the run, not since the last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub deleted: u64,
    pub archived: u64,
    pub untagged: u64,
    pub restored: u64,
    pub skipped: u64,
    pub freed_bytes: u64,
    pub freed_is_exact: bool,
    pub errors: BTreeMap<String, u64>,
    pub warnings: Vec<String>,
    pub report: Option<Stored>,
}

/// A report of progress in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunProgress {
    /// The Lambda function is reading the inventory and making the plan.
    Planning,
    /// The plan exists. A dry run ends now. Any other run applies the plan.
    Planned(Planned),
    /// The Lambda function has applied a part of the plan.
    Applying(Applied),
    Done(Applied),
    LeftAlone {
        problem: String,
    },
    Failed {
        problem: String,
    },
}
