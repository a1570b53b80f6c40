//! Image indexes as builds. A pipeline pushes an image for each architecture, and then an image
//! index that contains these images. The index is the build, and its images open no promotions.

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

/// The longest time after the push of an index in which a pushed image still belongs to the same
/// release.
const ONE_RELEASE: SignedDuration = SignedDuration::from_hours(1);

impl ContainingIndex {
    /// Returns whether a contained image that was pushed `at` this time belongs to the index's
    /// release. Compares the times of the pushes, because the events of both pushes may arrive in
    /// any order.
    pub fn includes_push(&self, at: Timestamp) -> bool {
        at <= self.pushed_at + ONE_RELEASE
    }

    /// Returns the reason why the contained image gets no promotion.
    pub fn reason(&self) -> String {
        let Self { digest, tag, pushed_at } = self;
        format!(
            "part of an image index: {tag} ({digest}), pushed at {}, contains it and is asked for instead",
            time(*pushed_at)
        )
    }
}
