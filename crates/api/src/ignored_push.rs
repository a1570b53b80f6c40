//! Pushes that opened no promotion.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::records::IgnoredPush;

answer! {
    /// A push that opened no promotion.
    IgnoredPushAnswer of push: IgnoredPush {
        repository: RepositoryName,
        tag: ImageTag,
        digest: ImageDigest,
        at: Timestamp,
        /// The reason why the push opened no promotion, in words for people.
        reason: String,
    }
}

/// The newest ignored pushes of an application's repository, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredPushes {
    pub ignored_pushes: Vec<IgnoredPushAnswer>,
}
