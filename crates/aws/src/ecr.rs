//! Amazon ECR: images, their tags and their labels.

use aws_sdk_ecr::Client;
use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use aws_sdk_ecr::operation::describe_images::DescribeImagesError;
use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesError;
use aws_sdk_ecr::operation::put_image::PutImageError;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageFailureCode, ImageIdentifier, ImageStatus as SdkImageStatus,
    ImageStatusFilter, ImageTagMutability, ImageTagMutabilityExclusionFilter,
    ImageTagMutabilityExclusionFilterType, TagStatus,
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::manifest::{self, ImageConfig, ManifestError};
use stablepin_rules::mutability::Mutability;
use stablepin_rules::pattern::Pattern;

use crate::failed_call::{FailedCall, is_retryable_code};
use crate::plain_http::PlainHttp;
use crate::session::Session;

mod images;
mod retention;

pub use crate::plain_http::DownloadError;
pub use retention::{
    Deleted, FailedImage, FoundImage, ListedImages, Oddness, PER_DELETE, StorageClass, Untag,
};

/// The most images that one BatchGetImage call takes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>
const PER_BATCH_GET: usize = 100;

/// The largest page of DescribeImages.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
const PER_DESCRIBE: i32 = 1000;

/// The largest image configuration that is read. Real ones are far smaller: labels and history take
/// a few kilobytes.
const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// A client of the private registry of the session's account and region.
#[derive(Debug, Clone)]
pub struct Ecr {
    client: Client,
    http: PlainHttp,
}

/// The name of an image in a call: its digest or one of its tags.
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
    fn identifier(&self) -> ImageIdentifier {
        match self {
            Self::Digest(digest) => ImageIdentifier::builder().image_digest(digest.as_str()).build(),
            Self::Tag(tag) => ImageIdentifier::builder().image_tag(tag.as_str()).build(),
        }
    }
}

/// A manifest with exactly the bytes that the registry stores. They hash to the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: ImageDigest,
    /// The tag, if the manifest was requested by tag.
    pub tag: Option<ImageTag>,
    pub media_type: String,
    pub bytes: String,
}

impl Manifest {
    /// Parses the bytes.
    pub fn parse(&self) -> Result<manifest::Manifest, ManifestError> {
        manifest::Manifest::parse(&self.media_type, &self.bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStatus {
    Active,
    /// ECR cannot serve the image until it is restored, which takes up to 20 minutes.
    Archived,
    /// ECR is restoring the image.
    Activating,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetail {
    pub digest: ImageDigest,
    pub tags: Vec<ImageTag>,
    /// The compressed size. For an index, the size of its largest manifest.
    pub size_bytes: Option<u64>,
    /// The time of the push. Putting a tag does not change it.
    pub pushed_at: Option<Timestamp>,
    pub status: ImageStatus,
    pub media_type: Option<String>,
    pub artifact_media_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub arn: String,
    /// The name of the repository in a task definition, without a tag.
    pub uri: String,
    pub mutability: Mutability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTag {
    Put,
    /// The tag was already on this digest. Nothing changed, and ECR emits no event.
    AlreadyThere,
    /// The tag is on another digest, and the repository does not let tags move.
    PointsElsewhere,
}

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

impl Ecr {
    pub fn new(session: &Session) -> Self {
        Self { client: session.ecr(), http: session.plain_http() }
    }

    /// Reads the manifests of these images. Missing images are left out, and so are archived ones;
    /// [`describe`](Self::describe) distinguishes the two.
    ///
    /// ECR counts this as a pull.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
    pub async fn image(
        &self,
        repository: &RepositoryName,
        ids: &[ImageId],
    ) -> Result<Vec<Manifest>, EcrError> {
        let mut manifests = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PER_BATCH_GET) {
            let answer = self.batch_get(repository, ids.iter().map(ImageId::identifier).collect()).await?;
            for failure in answer.failures() {
                // AWS does not document which of these two codes an archived image gets.
                // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
                let absent = [ImageFailureCode::ImageNotFound, ImageFailureCode::ImageInaccessible];
                if failure.failure_code().is_some_and(|code| absent.contains(code)) {
                    continue;
                }
                let id = failure.image_id();
                let image = id.and_then(|id| id.image_digest().or(id.image_tag())).unwrap_or("an image");
                return Err(EcrError::Manifest {
                    repository: repository.clone(),
                    image: image.to_owned(),
                    code: failure.failure_code().map_or("no reason given", |code| code.as_str()).to_owned(),
                    reason: failure.failure_reason().map(str::to_owned),
                });
            }
            for image in answer.images() {
                manifests.push(verified(repository, image)?);
            }
        }
        Ok(manifests)
    }

    async fn batch_get(
        &self,
        repository: &RepositoryName,
        ids: Vec<ImageIdentifier>,
    ) -> Result<BatchGetImageOutput, EcrError> {
        let asked = self
            .client
            .batch_get_image()
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids))
            .set_accepted_media_types(Some(manifest::ACCEPTED.map(str::to_owned).to_vec()))
            .send()
            .await;
        asked.map_err(|error| {
            let not_found = error.as_service_error().is_some_and(|e| e.is_repository_not_found_exception());
            let (repository, source) = (repository.clone(), FailedCall::new(error));
            if not_found {
                EcrError::RepositoryNotFound { repository, source }
            } else {
                EcrError::BatchGetImage { repository, source }
            }
        })
    }

    /// Describes one image. Returns `None` if it does not exist.
    pub async fn describe(
        &self,
        repository: &RepositoryName,
        image: impl Into<ImageId>,
    ) -> Result<Option<ImageDetail>, EcrError> {
        let image = image.into();
        let described = self
            .client
            .describe_images()
            .repository_name(repository.as_str())
            .image_ids(image.identifier())
            // Without this filter ECR returns only ACTIVE images, and an archived image would look
            // deleted.
            .filter(DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build())
            .send()
            .await;
        let answer = match described {
            Ok(answer) => answer,
            Err(error) => {
                return match error.as_service_error() {
                    Some(DescribeImagesError::ImageNotFoundException(_)) => Ok(None),
                    Some(DescribeImagesError::RepositoryNotFoundException(_)) => {
                        Err(EcrError::RepositoryNotFound {
                            repository: repository.clone(),
                            source: FailedCall::new(error),
                        })
                    }
                    _ => Err(EcrError::DescribeImages {
                        repository: repository.clone(),
                        image,
                        source: FailedCall::new(error),
                    }),
                };
            }
        };
        answer.image_details().first().map(|found| detail(repository, found)).transpose()
    }

    /// Every tagged image, in no particular order.
    pub async fn tagged(&self, repository: &RepositoryName) -> Result<Vec<ImageDetail>, EcrError> {
        let mut found = Vec::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .describe_images()
                .repository_name(repository.as_str())
                .filter(DescribeImagesFilter::builder().tag_status(TagStatus::Tagged).build())
                .max_results(PER_DESCRIBE)
                .set_next_token(page)
                .send()
                .await
                .map_err(|error| EcrError::DescribeAll {
                    repository: repository.clone(),
                    source: FailedCall::new(error),
                })?;
            for image in answer.image_details() {
                found.push(detail(repository, image)?);
            }
            page = answer.next_token;
            if page.is_none() {
                return Ok(found);
            }
        }
    }

    /// Describes a repository. Returns `None` if it does not exist in the session's account and
    /// region.
    pub async fn repository(&self, repository: &RepositoryName) -> Result<Option<Repository>, EcrError> {
        let described =
            self.client.describe_repositories().repository_names(repository.as_str()).send().await;
        let answer = match described {
            Ok(answer) => answer,
            Err(error) => {
                return match error.as_service_error() {
                    Some(DescribeRepositoriesError::RepositoryNotFoundException(_)) => Ok(None),
                    _ => Err(EcrError::DescribeRepositories {
                        repository: repository.clone(),
                        source: FailedCall::new(error),
                    }),
                };
            }
        };
        let Some(found) = answer.repositories().first() else { return Ok(None) };
        let lacks = |member| EcrError::Answer {
            operation: "DescribeRepositories",
            repository: repository.clone(),
            member,
        };
        Ok(Some(Repository {
            arn: found.repository_arn().ok_or_else(|| lacks("repositoryArn"))?.to_owned(),
            uri: found.repository_uri().ok_or_else(|| lacks("repositoryUri"))?.to_owned(),
            mutability: mutability(
                found.image_tag_mutability(),
                found.image_tag_mutability_exclusion_filters(),
            ),
        }))
    }

    /// Puts a tag on an image of the repository. The request repeats the manifest's bytes, and ECR
    /// must compute the same digest.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html>
    pub async fn put_tag(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
        tag: &ImageTag,
    ) -> Result<PutTag, EcrError> {
        let put = self
            .client
            .put_image()
            .repository_name(repository.as_str())
            .image_manifest(&manifest.bytes)
            // An OCI manifest may omit its own media type; ECR then needs it in the request.
            .image_manifest_media_type(&manifest.media_type)
            .image_digest(manifest.digest.as_str())
            .image_tag(tag.as_str())
            .send()
            .await;
        let Err(error) = put else { return Ok(PutTag::Put) };
        let (repository, digest) = (repository.clone(), manifest.digest.clone());
        let Some(service) = error.as_service_error() else {
            return Err(EcrError::PutImage {
                repository,
                digest,
                tag: tag.clone(),
                source: FailedCall::new(error),
            });
        };
        let named: fn(RepositoryName, ImageDigest, FailedCall) -> EcrError = match service {
            PutImageError::ImageAlreadyExistsException(_) => return Ok(PutTag::AlreadyThere),
            PutImageError::ImageTagAlreadyExistsException(_) => {
                // ECR refuses an immutable tag even if it is already on this digest.
                let on = self.describe(&repository, tag).await?.map(|image| image.digest);
                return Ok(if on == Some(digest) { PutTag::AlreadyThere } else { PutTag::PointsElsewhere });
            }
            PutImageError::ImageDigestDoesNotMatchException(_) => {
                |repository, digest, source| EcrError::ImageDigestDoesNotMatch { repository, digest, source }
            }
            PutImageError::LayersNotFoundException(_) => {
                |repository, digest, source| EcrError::LayersNotFound { repository, digest, source }
            }
            PutImageError::ReferencedImagesNotFoundException(_) => {
                |repository, digest, source| EcrError::ReferencedImagesNotFound { repository, digest, source }
            }
            PutImageError::LimitExceededException(_) => {
                |repository, digest, source| EcrError::LimitExceeded { repository, digest, source }
            }
            PutImageError::KmsException(_) => |repository, _, source| EcrError::Kms { repository, source },
            PutImageError::RepositoryNotFoundException(_) => {
                |repository, _, source| EcrError::RepositoryNotFound { repository, source }
            }
            _ => {
                let source = FailedCall::new(error);
                return Err(EcrError::PutImage { repository, digest, tag: tag.clone(), source });
            }
        };
        Err(named(repository, digest, FailedCall::new(error)))
    }

    /// Reads the labels in the image's configuration. For an index, it reads the first image's.
    /// Returns `None` if there is nothing to run: a signature, a chart, an index of attestations.
    pub async fn labels(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Option<ImageConfig>, EcrError> {
        let unreadable = |digest: &ImageDigest| {
            let (repository, digest) = (repository.clone(), digest.clone());
            move |source| EcrError::Unreadable { repository, digest, source }
        };
        let mut parsed = manifest.parse().map_err(unreadable(&manifest.digest))?;
        let mut digest = manifest.digest.clone();
        // An index may contain another index. A third level does not occur in real images.
        for _ in 0..2 {
            let manifest::Manifest::Index(index) = &parsed else { break };
            let Some(child) = index.images().next().filter(|_| index.kind().is_image()) else {
                return Ok(None);
            };
            let child = child.digest.clone();
            let Some(found) = self.image(repository, &[ImageId::Digest(child.clone())]).await?.pop() else {
                return Err(EcrError::ChildNotFound { repository: repository.clone(), digest, child });
            };
            parsed = found.parse().map_err(unreadable(&child))?;
            digest = child;
        }
        let manifest::Manifest::Image(image) = parsed else { return Ok(None) };
        if !image.kind().is_image() {
            return Ok(None);
        }
        self.config(repository, &digest, &image.config).await.map(Some)
    }

    async fn config(
        &self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        descriptor: &manifest::Descriptor,
    ) -> Result<ImageConfig, EcrError> {
        if descriptor.size > MAX_CONFIG_BYTES as u64 {
            return Err(EcrError::ConfigTooLarge { digest: digest.clone(), bytes: descriptor.size });
        }
        let config = &descriptor.digest;
        let address = self
            .client
            .get_download_url_for_layer()
            .repository_name(repository.as_str())
            .layer_digest(config.as_str())
            .send()
            .await
            .map_err(|error| EcrError::GetDownloadUrlForLayer {
                repository: repository.clone(),
                config: config.clone(),
                source: FailedCall::new(error),
            })?;
        let url = address.download_url().ok_or_else(|| EcrError::Answer {
            operation: "GetDownloadUrlForLayer",
            repository: repository.clone(),
            member: "downloadUrl",
        })?;
        let bytes = self.http.download(url, MAX_CONFIG_BYTES).await.map_err(|source| EcrError::Download {
            repository: repository.clone(),
            config: config.clone(),
            source,
        })?;
        must_hash_to(repository, config, &bytes)?;
        ImageConfig::parse(&bytes).map_err(|source| EcrError::Config {
            repository: repository.clone(),
            config: config.clone(),
            source,
        })
    }
}

fn verified(repository: &RepositoryName, image: &aws_sdk_ecr::types::Image) -> Result<Manifest, EcrError> {
    let lacks =
        |member| EcrError::Answer { operation: "BatchGetImage", repository: repository.clone(), member };
    let id = image.image_id();
    let digest = digest(id.and_then(ImageIdentifier::image_digest)).ok_or_else(|| lacks("imageDigest"))?;
    let bytes = image.image_manifest().ok_or_else(|| lacks("imageManifest"))?;
    must_hash_to(repository, &digest, bytes.as_bytes())?;
    Ok(Manifest {
        digest,
        tag: id.and_then(ImageIdentifier::image_tag).and_then(|tag| ImageTag::parse(tag).ok()),
        media_type: image
            .image_manifest_media_type()
            .ok_or_else(|| lacks("imageManifestMediaType"))?
            .to_owned(),
        bytes: bytes.to_owned(),
    })
}

fn must_hash_to(repository: &RepositoryName, digest: &ImageDigest, bytes: &[u8]) -> Result<(), EcrError> {
    let found = sha256(bytes);
    if found == *digest {
        Ok(())
    } else {
        Err(EcrError::Corrupt { repository: repository.clone(), digest: digest.clone(), found })
    }
}

fn detail(
    repository: &RepositoryName,
    detail: &aws_sdk_ecr::types::ImageDetail,
) -> Result<ImageDetail, EcrError> {
    let lacks =
        |member| EcrError::Answer { operation: "DescribeImages", repository: repository.clone(), member };
    let status = match detail.image_status() {
        None | Some(SdkImageStatus::Active) => ImageStatus::Active,
        Some(SdkImageStatus::Archived) => ImageStatus::Archived,
        Some(SdkImageStatus::Activating) => ImageStatus::Activating,
        Some(_) => return Err(lacks("imageStatus")),
    };
    Ok(ImageDetail {
        digest: digest(detail.image_digest()).ok_or_else(|| lacks("imageDigest"))?,
        // Tags older than the 128-character limit of the registry protocol are never Stablepin's.
        tags: detail.image_tags().iter().filter_map(|tag| ImageTag::parse(tag).ok()).collect(),
        size_bytes: detail.image_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok()),
        pushed_at: detail.image_pushed_at().and_then(timestamp),
        status,
        media_type: detail.image_manifest_media_type().map(str::to_owned),
        artifact_media_type: detail.artifact_media_type().map(str::to_owned),
    })
}

/// Converts a time. Returns `None` if it is outside the calendar's range.
fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

/// The digest of these bytes.
pub fn sha256(bytes: &[u8]) -> ImageDigest {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    ImageDigest::parse(&text).expect("32 bytes are 64 lower-case hexadecimal digits")
}

fn digest(text: Option<&str>) -> Option<ImageDigest> {
    text.and_then(|text| ImageDigest::parse(text).ok())
}

/// Converts the repository's setting. An unknown setting counts as the stricter one: each pin then
/// gets its own tag, which every repository accepts.
fn mutability(
    setting: Option<&ImageTagMutability>,
    filters: &[ImageTagMutabilityExclusionFilter],
) -> Mutability {
    let patterns = |unknown: Option<&str>| -> Vec<Pattern> {
        let known = filters.iter().filter_map(|filter| match filter.filter_type() {
            ImageTagMutabilityExclusionFilterType::Wildcard => Pattern::parse(filter.filter()).ok(),
            _ => unknown.and_then(|pattern| Pattern::parse(pattern).ok()),
        });
        known.collect()
    };
    match setting {
        None | Some(ImageTagMutability::Mutable) => Mutability::Mutable,
        Some(ImageTagMutability::MutableWithExclusion) => Mutability::MutableExcept(patterns(Some("*"))),
        Some(ImageTagMutability::ImmutableWithExclusion) => Mutability::ImmutableExcept(patterns(None)),
        Some(_) => Mutability::Immutable,
    }
}
