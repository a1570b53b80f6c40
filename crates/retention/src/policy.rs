//! The retention policy, from the application's file.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::build_tag::current;
use stablepin_rules::image::ImageTag;
use stablepin_rules::pattern::Pattern;

/// The number of newest images that retention always keeps per environment. An application's file
/// cannot lower this number.
pub const ALWAYS: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    pub removal: Removal,
    pub days: u32,
    pub backup_days: u32,
    /// The days during which an archived image can be restored, before retention deletes it.
    pub archive_days: u32,
    /// The number of newest builds, and of newest pins, that retention keeps per environment.
    pub keep: usize,
    pub protect: Vec<Pattern>,
    /// The stable tags and current tags. Retention keeps an image with such a tag.
    pub standing: BTreeSet<ImageTag>,
    /// The percentage of the repository's images that one run may remove: 1 to 100. Every run may
    /// remove at least one image.
    pub share: u8,
}

/// The way to remove an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Delete,
    /// Archives the image. A later run deletes the archived image.
    ArchiveFirst,
}

impl RetentionPolicy {
    /// Reads the policy from an application's file. In a dry run, the plan contains deletions.
    pub fn of(application: &Application, share: u8) -> Self {
        let retention = &application.retention;
        let standing = application
            .environments
            .iter()
            .flat_map(|environment| [environment.stable_tag.clone(), current(&environment.name)])
            .collect();
        Self {
            removal: match retention.mode {
                RetentionMode::DryRun | RetentionMode::Delete => Removal::Delete,
                RetentionMode::Archive => Removal::ArchiveFirst,
            },
            days: retention.days,
            backup_days: retention.backup_days,
            archive_days: retention.archive_days,
            keep: usize::try_from(retention.keep).unwrap_or(usize::MAX),
            protect: retention.protect.clone(),
            standing,
            share,
        }
    }

    /// Returns the number of newest images to keep: at least [`ALWAYS`].
    pub(super) fn newest(&self) -> usize {
        self.keep.max(ALWAYS)
    }

    /// Returns the number of images that one run may remove from a repository of `images` images.
    pub(super) fn at_most(&self, images: usize) -> usize {
        (images.saturating_mul(usize::from(self.share.min(100))) / 100).max(1)
    }
}

/// Returns true if `at` is at least `days` days ago. False if `at` plus `days` is out of range.
pub(super) fn is_past(at: Timestamp, days: u32, now: Timestamp) -> bool {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    at.checked_add(age).is_ok_and(|until| until <= now)
}
