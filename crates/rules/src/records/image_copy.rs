//! The copy of a promotion's image to the environment's own repository.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::image::RepositoryName;

/// The copy of an image to another repository. Stablepin copies layer by layer. A layer that has
/// arrived is not sent again, even if the copy is interrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCopy {
    pub to: RepositoryName,
    pub progress: CopyProgress,
    /// The last time at which more of the image had arrived than ever before. Until then, the time
    /// at which an invocation began the copy, or at which the copy became due.
    pub advanced_at: Timestamp,
    /// The number of failed tries since the last layer arrived.
    pub tries: u8,
    /// The number of these tries that ECR refused, so that another try would probably fail too.
    pub refusals: u8,
    /// The time at which the whole image was in the repository. None while the copy is in progress.
    pub done_at: Option<Timestamp>,
}

/// The progress of a copy. Layers that the repository had before count as copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    pub layers: u32,
    pub layers_done: u32,
    pub bytes: u64,
    pub bytes_done: u64,
}

/// The number of failed tries in a row, without a new layer, after which the copy fails.
pub const MOST_TRIES: u8 = 3;

/// The time without progress after which the copy fails. A layer that does not fit into one
/// invocation makes no progress, because every invocation begins the layer again.
pub(crate) const STALLS_AFTER: SignedDuration = SignedDuration::from_mins(45);

/// The time within which an invocation must begin the copy. Only ten invocations copy at once, so a
/// copy may wait behind others.
pub(crate) const BEGINS_WITHIN: SignedDuration = SignedDuration::from_hours(6);

impl ImageCopy {
    pub(crate) fn begun(to: RepositoryName, now: Timestamp) -> Self {
        let progress = CopyProgress::default();
        Self { to, progress, advanced_at: now, tries: 0, refusals: 0, done_at: None }
    }

    /// Returns true if an invocation has worked on the copy.
    pub(crate) fn has_begun(&self) -> bool {
        self.progress.layers > 0 || self.tries > 0
    }

    /// Records a failed try.
    pub(crate) fn failed(&mut self, now: Timestamp, is_refusal: bool) {
        if !self.has_begun() {
            self.advanced_at = now;
        }
        self.tries = self.tries.saturating_add(1);
        self.refusals = self.refusals.saturating_add(u8::from(is_refusal));
    }

    /// Records the progress. A layer that has arrived ends a series of failed tries.
    pub(crate) fn advanced(&mut self, now: Timestamp, progress: CopyProgress) {
        let before = self.progress;
        // The layers are not counted yet.
        if progress.layers == 0 {
            return;
        }
        let is_first = !self.has_begun();
        if progress.layers_done > before.layers_done {
            (self.tries, self.refusals) = (0, 0);
        }
        if is_first || progress.layers_done > before.layers_done || progress.bytes_done > before.bytes_done {
            self.advanced_at = now;
        }
        self.progress = CopyProgress { bytes_done: progress.bytes_done.max(before.bytes_done), ..progress };
    }
}
