//! The rules that keep an image or let it go, and the reason that a rule gives.

use serde::{Deserialize, Serialize};

/// The reason why an image is kept, the strongest first, or why it may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionRule {
    /// The image is an environment's pin.
    Pin,
    /// The image was recently an environment's pin.
    PinHistory,
    /// The image was last proven to run.
    Current,
    /// A promotion or rollback of the image is open.
    Open,
    /// A workload runs the image, or may return to it.
    InUse,
    /// The image has an environment's stable tag or current tag.
    Standing,
    /// The application's file protects a tag of the image.
    Protected,
    /// A part of the image is not understood, so its use is unknown.
    NotUnderstood,
    /// The image is an index that refers to a needed image.
    IndexOfNeeded,
    /// A kept index refers to the image.
    PartOfKept,
    /// The image is an accessory of a kept image: a signature, attestation, SBOM or the like.
    AboutKept,
    /// The image has no tag, and may be part of an index whose parts are unknown.
    MayBePart,
    /// The image is one of the newest of its environment.
    Newest,
    Young,
    /// The image was live when a recent rollback began.
    Backup,
    /// The age of the image is unknown.
    NoTime,
    /// The time of the image lies in the future.
    Future,
    /// The image is being restored from the archive.
    Activating,
    /// The image is archived and can still be restored.
    Archived,
    /// Two images describe each other by their tags, so neither can go first.
    Tangled,
    /// The image may be removed, but is over this run's limit.
    OverShare,
    /// The image is old, and nothing needs it.
    Old,
    /// The image is archived, and the time to restore it is over.
    ArchivedLongAgo,
}

impl RetentionRule {
    /// Returns whether the image must never be deleted, whatever its age (rule 8).
    pub fn is_needed(self) -> bool {
        self <= Self::MayBePart
    }

    /// Returns whether the decision shows that the image is archived.
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

/// A rule with its explanation. The strongest rule is the smallest value, so one of several reasons
/// always wins.
pub(super) type Reason = (RetentionRule, String);

pub(super) fn keep(kept: &mut Option<Reason>, reason: Reason) {
    if kept.as_ref().is_none_or(|known| reason < *known) {
        *kept = Some(reason);
    }
}

/// Returns whether the image runs or may have to run. The indexes of such images are needed too.
pub(super) fn is_used(kept: &Option<Reason>) -> bool {
    kept.as_ref().is_some_and(|(rule, _)| *rule <= RetentionRule::InUse)
}
