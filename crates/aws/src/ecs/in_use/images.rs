//! Images as resources name them.

use stablepin_rules::image::ImageDigest;

use crate::call::{Call, CallError};
use crate::ecs::answer::text;

/// The most service deployments, service revisions, daemon deployments or daemon revisions that one
/// call takes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>
pub const PER_DESCRIBE_REVISIONS: usize = 20;

/// An image as a resource names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedImage {
    /// The reference as it is written in the resource.
    pub image: Option<String>,
    /// The digest to which ECS resolved the reference, if it is known. For an index it may be the
    /// digest of one platform's image.
    pub digest: Option<ImageDigest>,
}

/// The images of a revision of a service or of a daemon. They do not change, but their digests are
/// known only after the first task has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionInUse {
    pub arn: String,
    pub images: Vec<NamedImage>,
}

/// Converts a container's image. An unreadable digest is an error, because it could be any image's.
pub(super) fn named(call: &Call, image: Option<&str>, digest: Option<&str>) -> Result<NamedImage, CallError> {
    let parsed = |digest: String| ImageDigest::parse(&digest).map_err(|_| call.lacks("imageDigest"));
    Ok(NamedImage { image: text(image), digest: text(digest).map(parsed).transpose()? })
}
