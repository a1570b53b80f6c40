//! Images as ECS resources name them.

use stablepin_rules::image::ImageDigest;

use crate::call::{Call, CallError};
use crate::ecs::answer::text;

/// The most service deployments, service revisions, daemon deployments or daemon revisions that one
/// call accepts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>
pub const PER_DESCRIBE_REVISIONS: usize = 20;

/// An image as an ECS resource names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedImage {
    /// The image reference in the resource.
    pub image: Option<String>,
    /// The digest to which ECS resolved the reference, if ECS reports it. For an image index, this
    /// may be the digest of one platform's image.
    pub digest: Option<ImageDigest>,
}

/// The images of one revision of a service or a daemon. The images of a revision never change, but
/// ECS knows their digests only after the first task has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionInUse {
    pub arn: String,
    pub images: Vec<NamedImage>,
}

/// Converts a container's image. An unreadable digest is an error, because it could belong to any
/// image.
pub(super) fn named(call: &Call, image: Option<&str>, digest: Option<&str>) -> Result<NamedImage, CallError> {
    let parsed = |digest: String| ImageDigest::parse(&digest).map_err(|_| call.lacks("imageDigest"));
    Ok(NamedImage { image: text(image), digest: text(digest).map(parsed).transpose()? })
}
