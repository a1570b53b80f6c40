//! Retention runs, and the images of their plans.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_retention_rules::plan::{Fate, Planned, RetentionRule};
use stablepin_retention_rules::run::{Purpose, RepositoryRun, RepositoryState, Run, RunId, RunState, Stored};
use stablepin_rules::audit::Actor;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;

answer! {
    /// A retention run over the repositories of an application.
    RunAnswer of run: Run {
        id: RunId,
        application: ApplicationName,
        purpose: Purpose,
        by: Actor,
        reason: Option<String>,
        begun_at: Timestamp,
        ended_at: Option<Timestamp>,
        /// The largest percentage of a repository's images that the run may remove.
        share: u8,
        state: RunState = run.state(),
        /// The result of the run, for people.
        summary: String = run.summary(),
        repositories: BTreeMap<RepositoryName, RepositoryRunAnswer> =
            run.repositories.iter().map(|(name, repository)| (name.clone(), repository.into())).collect(),
        /// The API path of the run.
        follow: String = format!("/v1/applications/{}/retention/{}", run.application, run.id),
    }
}

/// A page of an application's runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPage {
    pub runs: Vec<RunAnswer>,
    pub next: Option<String>,
}

answer! {
    /// The part of a run that concerns one repository.
    RepositoryRunAnswer of repository: RepositoryRun {
        state: RepositoryState,
        /// The reason why the run changed nothing in the repository, or failed.
        problem: Option<String>,
        warnings: Vec<String>,
        /// The workload sources that the run did not read, because the application's file waives
        /// these sources.
        waived: BTreeSet<String>,
        /// The number of images in the repository.
        images: u64,
        /// The number of kept images, by retention rule.
        by_rule: BTreeMap<String, u64>,
        /// The number of images that the plan removes.
        to_remove: u64,
        /// The number of images that only a later run may remove, since they exceed the limit of
        /// this run.
        later: u64,
        deleted: u64,
        archived: u64,
        /// The number of tags that were removed from kept images.
        untagged: u64,
        restored: u64,
        /// The number of images that are kept because they changed after the plan was made.
        skipped: u64,
        /// The number of images that ECR did not delete, by error code.
        errors: BTreeMap<String, u64>,
        /// The bytes that the run frees: the removed layers that no remaining image uses.
        freed_bytes: u64,
        /// True if `freed_bytes` is exact. If false, `freed_bytes` is an upper bound.
        freed_is_exact: bool,
        plan: Option<StoredDocument> = repository.plan.as_ref().map(Into::into),
        report: Option<StoredDocument> = repository.report.as_ref().map(Into::into),
        updated_at: Timestamp,
    }
}

answer! {
    /// A document in the stack's bucket.
    StoredDocument of stored: Stored {
        key: String,
        version: Option<String>,
        sha256: String,
    }
}

/// A page of the images of a plan, sorted by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePage {
    pub repository: RepositoryName,
    /// The time of the inventory.
    pub at: Timestamp,
    /// The number of images of the whole plan, by retention rule.
    pub rules: BTreeMap<RetentionRule, usize>,
    pub images: Vec<ImageAnswer>,
    pub next: Option<ImageDigest>,
}

answer! {
    /// An image of a plan, with its action and the reason.
    ImageAnswer of image: Planned {
        digest: ImageDigest,
        tags: Vec<ImageTag>,
        /// The time from which the retention rules count the image's age.
        time: Option<Timestamp>,
        size_bytes: Option<u64>,
        action: ImageAction = (&image.fate).into(),
        /// The tags that the run removes from a kept image.
        untag: Vec<ImageTag> = match &image.fate {
            Fate::Untag { untag } => untag.clone(),
            Fate::Keep | Fate::Delete { .. } | Fate::Archive { .. } => Vec::new(),
        },
        /// The place in the order of removals. A later wave starts after all earlier waves.
        wave: Option<u16> = image.fate.wave(),
        rule: RetentionRule,
        /// The explanation of the retention rule, for people.
        why: String,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageAction {
    Keep,
    /// Keeps the image, and removes some of Stablepin's own tags from it.
    Untag,
    Delete,
    Archive,
}

impl ImageAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::Archive => "archive",
        }
    }
}

impl From<&Fate> for ImageAction {
    fn from(fate: &Fate) -> Self {
        match fate {
            Fate::Keep => Self::Keep,
            Fate::Untag { .. } => Self::Untag,
            Fate::Delete { .. } => Self::Delete,
            Fate::Archive { .. } => Self::Archive,
        }
    }
}
