//! The retention rules that keep or remove an image, and the reasons.

use serde::{Deserialize, Serialize};

/// The retention rule that keeps an image, or that allows its removal. The strongest rule is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionRule {
    /// The image is the current pin of an environment.
    Pin,
    /// The image is one of the newest earlier pins of an environment.
    PinHistory,
    /// The image is the last image that was proven to run in an environment.
    Current,
    /// An open promotion or rollback needs the image.
    Open,
    /// A workload runs the image, or may run the image again.
    InUse,
    /// The image has an environment's stable tag or current tag.
    Standing,
    /// The application's file protects a tag of the image.
    Protected,
    /// Stablepin does not understand a part of the image, so the use of the image is unknown.
    NotUnderstood,
    /// The image is an image index that refers to a needed image.
    IndexOfNeeded,
    /// A kept image index refers to the image.
    PartOfKept,
    /// The image is a referrer of a kept image: a signature, attestation, SBOM or the like.
    AboutKept,
    /// The image has no tag, and may be a child of an image index with unknown children.
    MayBePart,
    /// The image is one of the newest of its environment.
    Newest,
    /// The image is younger than the configured number of days, or has a recent tag.
    Young,
    /// The image was live when a recent rollback began.
    Backup,
    /// The age of the image is unknown.
    NoTime,
    /// The time of the image lies in the future.
    Future,
    /// ECR is restoring the image from the archive.
    Activating,
    /// The image is archived and can still be restored.
    Archived,
    /// Tags say that two images refer to each other, so there is no correct order of deletion.
    Tangled,
    /// The image may be removed, but this run has reached its limit.
    OverShare,
    /// The image is older than the configured number of days, and nothing needs the image.
    Old,
    /// The image is archived, and the time for a restore is over.
    ArchivedLongAgo,
}

impl RetentionRule {
    /// Returns true if retention must not delete the image at any age (rule 8).
    pub fn is_needed(self) -> bool {
        self <= Self::MayBePart
    }

    /// Returns true if this rule applies only to archived images.
    pub fn is_archived(self) -> bool {
        matches!(self, Self::Archived | Self::ArchivedLongAgo)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::PinHistory => "pin-history",
            Self::Current => "current",
            Self::Open => "open",
            Self::InUse => "in-use",
            Self::Standing => "standing",
            Self::Protected => "protected",
            Self::NotUnderstood => "not-understood",
            Self::IndexOfNeeded => "index-of-needed",
            Self::PartOfKept => "part-of-kept",
            Self::AboutKept => "about-kept",
            Self::MayBePart => "may-be-part",
            Self::Newest => "newest",
            Self::Young => "young",
            Self::Backup => "backup",
            Self::NoTime => "no-time",
            Self::Future => "future",
            Self::Activating => "activating",
            Self::Archived => "archived",
            Self::Tangled => "tangled",
            Self::OverShare => "over-share",
            Self::Old => "old",
            Self::ArchivedLongAgo => "archived-long-ago",
        }
    }
}

/// A retention rule with its explanation. If an image has several reasons, the smallest reason
/// counts, because it has the strongest rule.
pub(super) type Reason = (RetentionRule, String);

pub(super) fn keep(kept: &mut Option<Reason>, reason: Reason) {
    if kept.as_ref().is_none_or(|known| reason < *known) {
        *kept = Some(reason);
    }
}

/// Returns true if the image runs or may have to run. Its image indexes are then needed too.
pub(super) fn is_used(kept: &Option<Reason>) -> bool {
    kept.as_ref().is_some_and(|(rule, _)| *rule <= RetentionRule::InUse)
}
