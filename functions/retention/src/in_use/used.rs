//! The record of one use of an image.

use stablepin_rules::image::ImageDigest;

/// A use of an image by a workload of the account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    /// The workload in words, for example `task 0123… of service prod/web`.
    pub by: String,
    /// The image reference as the workload names it. The reference may name an image index while
    /// `digest` names the image of one platform. In this case, both images are in use.
    pub image: Option<String>,
    /// The digest to which AWS resolved the reference. `None` if AWS did not resolve the reference.
    /// In this case, the image that the reference names now counts as used.
    pub digest: Option<ImageDigest>,
}
