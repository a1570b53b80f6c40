//! What the application's file says about old images.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::application::{Application, RetentionMode};
use crate::build_tag::current;
use crate::image::ImageTag;
use crate::pattern::Pattern;

/// The newest of each environment that stay, whatever the file says.
pub const ALWAYS: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    pub removal: Removal,
    pub days: u32,
    pub backup_days: u32,
    /// How long an archived image can be had back before it is deleted.
    pub archive_days: u32,
    /// How many of the newest builds, and of the newest pins, of each environment stay.
    pub keep: usize,
    pub protect: Vec<Pattern>,
    /// Stable tags and current tags: whatever has one stays.
    pub standing: BTreeSet<ImageTag>,
    /// Percent of the repository's images that may go: 1 to 100. One image may go in any case.
    pub share: u8,
}

/// What is done with an image that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Delete,
    /// It is archived, and deleted some time after that.
    ArchiveFirst,
}

impl RetentionPolicy {
    /// As the file says. A dry run shows what would be deleted.
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

    /// How many of the newest stay.
    pub(super) fn newest(&self) -> usize {
        self.keep.max(ALWAYS)
    }

    /// How many of so many images one run may take.
    pub(super) fn at_most(&self, images: usize) -> usize {
        (images.saturating_mul(usize::from(self.share.min(100))) / 100).max(1)
    }
}

/// Whether that time is so many days ago, or more. What cannot be counted is not.
pub(super) fn is_past(at: Timestamp, days: u32, now: Timestamp) -> bool {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    at.checked_add(age).is_ok_and(|until| until <= now)
}
