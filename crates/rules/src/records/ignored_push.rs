//! Pushes that opened no promotion.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::{ImageDigest, ImageTag, RepositoryName};

/// A push that opened no promotion. The table keeps the push, so that a developer can read the
/// reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredPush {
    pub repository: RepositoryName,
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub at: Timestamp,
    /// The reason why the push opened no promotion, in words for people.
    pub reason: String,
}
