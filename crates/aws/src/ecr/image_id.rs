//! Identifies images in calls to ECR.

use aws_sdk_ecr::types::ImageIdentifier;
use stablepin_rules::image::{ImageDigest, ImageTag};

/// The identifier of an image in a call to ECR: the image's digest or one of its tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageId {
    Digest(ImageDigest),
    Tag(ImageTag),
}

impl From<&ImageDigest> for ImageId {
    fn from(digest: &ImageDigest) -> Self {
        Self::Digest(digest.clone())
    }
}

impl From<&ImageTag> for ImageId {
    fn from(tag: &ImageTag) -> Self {
        Self::Tag(tag.clone())
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}

impl ImageId {
    pub(super) fn identifier(&self) -> ImageIdentifier {
        match self {
            Self::Digest(digest) => ImageIdentifier::builder().image_digest(digest.as_str()).build(),
            Self::Tag(tag) => ImageIdentifier::builder().image_tag(tag.as_str()).build(),
        }
    }
}

pub(super) fn identifier(digest: &ImageDigest) -> ImageIdentifier {
    ImageIdentifier::builder().image_digest(digest.as_str()).build()
}
