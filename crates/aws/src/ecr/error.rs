//! Failed calls of ECR.

use aws_sdk_ecr::types::ImageFailure;
use stablepin_oci::ManifestError;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::image_id::ImageId;
use crate::failed_call::{FailedCall, is_retryable_code};
use crate::plain_http::DownloadError;

/// The largest image configuration that is read. Real ones are far smaller: labels and history take
/// a few kilobytes.
pub(super) const MAX_CONFIG_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum EcrError {
    #[error("could not list the images of {repository} (DescribeImages)")]
    DescribeAll {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("could not read the manifests in {repository} (BatchGetImage)")]
    BatchGetImage {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error(
        "could not read the manifest of {image} in {repository} (BatchGetImage): {code}{}",
        because(reason)
    )]
    Manifest { repository: RepositoryName, image: String, code: String, reason: Option<String> },
    #[error("could not describe {image} in {repository} (DescribeImages)")]
    DescribeImages {
        repository: RepositoryName,
        image: ImageId,
        #[source]
        source: FailedCall,
    },
    #[error("could not describe the repository {repository} (DescribeRepositories)")]
    DescribeRepositories {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("there is no repository {repository}, or it is in another account or region")]
    RepositoryNotFound {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("ECR computed another digest than {digest} for the bytes that were put in {repository}")]
    ImageDigestDoesNotMatch {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("layers of {digest} are not in {repository}: copy them first")]
    LayersNotFound {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("images that the index {digest} refers to are not in {repository}: copy them first")]
    ReferencedImagesNotFound {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("{repository} has as many images, or {digest} as many tags, as ECR allows")]
    LimitExceeded {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("the key that encrypts {repository} could not be used")]
    Kms {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("could not put the tag {tag} on {digest} in {repository} (PutImage)")]
    PutImage {
        repository: RepositoryName,
        digest: ImageDigest,
        tag: ImageTag,
        #[source]
        source: FailedCall,
    },
    #[error("could not delete from {repository} (BatchDeleteImage)")]
    BatchDeleteImage {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("could not take the tag {tag} off in {repository} (BatchDeleteImage): {code}{}", because(reason))]
    Untag { repository: RepositoryName, tag: ImageTag, code: String, reason: Option<String> },
    #[error("there is no image {digest} in {repository}")]
    ImageNotFound {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("{digest} in {repository} cannot be moved to that storage class")]
    StorageClassNotSupported {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("could not move {digest} in {repository} to another storage class (UpdateImageStorageClass)")]
    UpdateImageStorageClass {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("could not read the policy of {repository} (GetRepositoryPolicy)")]
    GetRepositoryPolicy {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("could not read the registry's policy (GetRegistryPolicy)")]
    GetRegistryPolicy {
        #[source]
        source: FailedCall,
    },
    #[error("could not read the lifecycle policy of {repository} (GetLifecyclePolicy)")]
    GetLifecyclePolicy {
        repository: RepositoryName,
        #[source]
        source: FailedCall,
    },
    #[error("could not list whose pulls are not recorded (ListPullTimeUpdateExclusions)")]
    ListPullTimeUpdateExclusions {
        #[source]
        source: FailedCall,
    },
    #[error("could not have the pulls of {role} not recorded (RegisterPullTimeUpdateExclusion)")]
    RegisterPullTimeUpdateExclusion {
        role: String,
        #[source]
        source: FailedCall,
    },
    #[error("the list of {what} does not end ({operation})")]
    Endless { operation: &'static str, what: String },
    #[error("ECR says of {image} in {repository} that its {member} is {found:?}, which is not understood")]
    Odd { repository: RepositoryName, image: String, member: &'static str, found: String },
    #[error("the bytes that ECR keeps as {digest} in {repository} hash to {found}")]
    Corrupt { repository: RepositoryName, digest: ImageDigest, found: ImageDigest },
    #[error("ECR's answer to {operation} about {repository} has no valid {member}")]
    Answer { operation: &'static str, repository: RepositoryName, member: &'static str },
    #[error("the manifest of {digest} in {repository} cannot be used")]
    Unreadable {
        repository: RepositoryName,
        digest: ImageDigest,
        #[source]
        source: ManifestError,
    },
    #[error("the index {digest} refers to {child}, which is not in {repository}")]
    ChildNotFound { repository: RepositoryName, digest: ImageDigest, child: ImageDigest },
    #[error("the configuration of {digest} has {bytes} bytes; at most {MAX_CONFIG_BYTES} are read")]
    ConfigTooLarge { digest: ImageDigest, bytes: u64 },
    #[error(
        "could not get an address for the configuration {config} in {repository} (GetDownloadUrlForLayer)"
    )]
    GetDownloadUrlForLayer {
        repository: RepositoryName,
        config: ImageDigest,
        #[source]
        source: FailedCall,
    },
    #[error("could not download the configuration {config} of an image in {repository}")]
    Download {
        repository: RepositoryName,
        config: ImageDigest,
        #[source]
        source: DownloadError,
    },
    #[error("the configuration {config} of an image in {repository} is not valid")]
    Config {
        repository: RepositoryName,
        config: ImageDigest,
        #[source]
        source: serde_json::Error,
    },
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default()
}

pub(super) fn code(failure: &ImageFailure) -> String {
    failure.failure_code().map_or("no reason given", |code| code.as_str()).to_owned()
}

impl EcrError {
    /// Returns ECR's error code if the refusal concerns this image only.
    pub fn of_one_image(&self) -> Option<&'static str> {
        match self {
            Self::ImageNotFound { .. } => Some("ImageNotFound"),
            Self::StorageClassNotSupported { .. } => Some("ImageStorageClassUpdateNotSupported"),
            _ => None,
        }
    }

    /// Whether ECR refuses the call, or gives no usable manifest, and will do so again.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::BatchGetImage { source, .. }
            | Self::DescribeImages { source, .. }
            | Self::DescribeRepositories { source, .. }
            | Self::RepositoryNotFound { source, .. }
            | Self::ImageDigestDoesNotMatch { source, .. }
            | Self::LayersNotFound { source, .. }
            | Self::ReferencedImagesNotFound { source, .. }
            | Self::LimitExceeded { source, .. }
            | Self::Kms { source, .. }
            | Self::PutImage { source, .. } => source.is_refusal_of_ecr(),
            // Answers with status 200 that will be the same again.
            Self::Manifest { .. } | Self::Corrupt { .. } | Self::Answer { .. } => !self.is_retryable(),
            _ => false,
        }
    }

    /// Whether every image of the repository would give this error: the role may not read it, or it
    /// does not exist.
    pub fn is_of_all_images(&self) -> bool {
        match self {
            Self::BatchGetImage { source, .. } => source.is_denied(),
            Self::RepositoryNotFound { .. } => true,
            _ => false,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::BatchGetImage { source, .. }
            | Self::DescribeAll { source, .. }
            | Self::DescribeImages { source, .. }
            | Self::DescribeRepositories { source, .. }
            | Self::PutImage { source, .. }
            | Self::BatchDeleteImage { source, .. }
            | Self::UpdateImageStorageClass { source, .. }
            | Self::GetRepositoryPolicy { source, .. }
            | Self::GetLifecyclePolicy { source, .. }
            | Self::GetRegistryPolicy { source }
            | Self::ListPullTimeUpdateExclusions { source }
            | Self::RegisterPullTimeUpdateExclusion { source, .. }
            | Self::GetDownloadUrlForLayer { source, .. } => source.is_retryable(),
            Self::Download { source, .. } => source.is_retryable(),
            Self::Manifest { code, .. } | Self::Untag { code, .. } => {
                is_retryable_code(code)
                    || ["UpstreamTooManyRequests", "UpstreamUnavailable"].contains(&code.as_str())
            }
            Self::RepositoryNotFound { .. }
            | Self::ImageDigestDoesNotMatch { .. }
            | Self::LayersNotFound { .. }
            | Self::ReferencedImagesNotFound { .. }
            | Self::LimitExceeded { .. }
            | Self::Kms { .. }
            | Self::ImageNotFound { .. }
            | Self::StorageClassNotSupported { .. }
            | Self::Endless { .. }
            | Self::Odd { .. }
            | Self::Corrupt { .. }
            | Self::Answer { .. }
            | Self::Unreadable { .. }
            | Self::ChildNotFound { .. }
            | Self::ConfigTooLarge { .. }
            | Self::Config { .. } => false,
        }
    }
}
