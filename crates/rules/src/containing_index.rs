//! Releases of several pushes: a pipeline pushes an image for each architecture, and then an image
//! index of them. The index is the build. Its images open no promotions.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::image::{ImageDigest, ImageTag};
use crate::words::time;

/// The newest build that is an image index and contains a given image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainingIndex {
    pub digest: ImageDigest,
    pub tag: ImageTag,
    pub pushed_at: Timestamp,
}

/// How long after its index an image may be pushed and still belong to the same release.
const ONE_RELEASE: SignedDuration = SignedDuration::from_hours(1);

impl ContainingIndex {
    /// Returns whether the push of a contained image belongs to the index's release, by the times
    /// of both pushes. Their events may arrive in any order.
    pub fn includes_push(&self, at: Timestamp) -> bool {
        at <= self.pushed_at + ONE_RELEASE
    }

    /// Returns why no promotion is opened for the contained image.
    pub fn reason(&self) -> String {
        let Self { digest, tag, pushed_at } = self;
        format!(
            "part of an image index: {tag} ({digest}), pushed at {}, contains it and is asked for instead",
            time(*pushed_at)
        )
    }
}
