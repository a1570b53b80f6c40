//! One release in several pushes: a pipeline pushes an image for each architecture, and an image index of them. The index
//! is the build. An image that it contains asks for nothing of its own.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::image::{ImageDigest, ImageTag};
use crate::words::time;

/// The newest build that is an image index and contains a certain image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainingIndex {
    pub digest: ImageDigest,
    pub tag: ImageTag,
    pub pushed_at: Timestamp,
}

/// How long after its index an image of the same release may be pushed. What comes later is a release of its own.
const ONE_RELEASE: SignedDuration = SignedDuration::from_hours(1);

impl ContainingIndex {
    /// Whether the push of a contained image belongs to the index's release, by the times of both pushes. Events come in
    /// any order.
    pub fn includes_push(&self, at: Timestamp) -> bool {
        at <= self.pushed_at + ONE_RELEASE
    }

    /// Why nobody is asked for the contained image.
    pub fn reason(&self) -> String {
        let Self { digest, tag, pushed_at } = self;
        format!(
            "part of an image index: {tag} ({digest}), pushed at {}, contains it and is asked for instead",
            time(*pushed_at)
        )
    }
}
