//! Image indexes as builds. A pipeline pushes an image for each architecture, and afterwards an
//! image index that contains these images. The image index is the build. Its images need no
//! promotions.

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

/// The time after the push of an image index in which a push of one of its images still belongs to
/// the same release.
const ONE_RELEASE: SignedDuration = SignedDuration::from_hours(1);

impl ContainingIndex {
    /// Returns whether a contained image that was pushed at the time `at` belongs to the image
    /// index's release: the push was before that of the image index, or at most an hour after it.
    /// Compares the times of the pushes and not the order of their events, because the events may
    /// arrive in any order.
    pub fn includes_push(&self, at: Timestamp) -> bool {
        at <= self.pushed_at + ONE_RELEASE
    }

    /// Returns the reason why the contained image gets no promotion.
    pub fn reason(&self) -> String {
        let Self { digest, tag, pushed_at } = self;
        format!(
            "part of an image index: {tag} ({digest}), pushed at {}, contains it and is promoted instead",
            time(*pushed_at)
        )
    }
}
