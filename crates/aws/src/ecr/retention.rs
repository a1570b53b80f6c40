//! Retention's calls of ECR: list images, read them, delete them.
//!
//! They fail closed. A list is complete or an error. An image with an unreadable member is listed
//! with a description of what is odd about it.

use std::collections::BTreeSet;

use aws_sdk_ecr::operation::describe_images::DescribeImagesError;
use aws_sdk_ecr::operation::get_lifecycle_policy::GetLifecyclePolicyError;
use aws_sdk_ecr::operation::get_registry_policy::GetRegistryPolicyError;
use aws_sdk_ecr::operation::get_repository_policy::GetRepositoryPolicyError;
use aws_sdk_ecr::operation::register_pull_time_update_exclusion::RegisterPullTimeUpdateExclusionError;
use aws_sdk_ecr::operation::update_image_storage_class::UpdateImageStorageClassError;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageFailure, ImageIdentifier, ImageStatusFilter, TargetStorageClass,
};
use jiff::Timestamp;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::images::Reader;
use super::{Ecr, EcrError, ImageStatus, Manifest, PER_BATCH_GET, PER_DESCRIBE, digest, verified};
use crate::failed_call::FailedCall;
use crate::pages::{Endless, Pages};
use crate::session::Session;

/// The most images that one DescribeImages call takes by name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
const PER_DESCRIBE_BY_NAME: usize = 100;

/// The most images that one [`Ecr::delete`] call takes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
pub const PER_DELETE: usize = 100;

/// The most pages of images: two million images, twenty times a repository's usual quota and more
/// than fits into memory.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_PAGES: usize = 2000;

/// The most pages of exclusions. An account may have 100 exclusions.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
const MOST_PAGES_OF_EXCLUSIONS: usize = 100;

/// An image of a repository, with the members that decide whether it stays. The type is small,
/// because a repository may have 100,000 images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub digest: ImageDigest,
    pub tags: Vec<ImageTag>,
    /// The compressed size. For an index, the size of its largest manifest.
    pub size_bytes: Option<u64>,
    /// The time of the push. Putting a tag does not change it.
    pub pushed_at: Option<Timestamp>,
    pub status: ImageStatus,
    /// The time when the image was last archived, if it ever was.
    pub archived_at: Option<Timestamp>,
    /// The time when the image was last restored. ECR's own lifecycle rules count its age from then
    /// on.
    pub activated_at: Option<Timestamp>,
    /// The time of the last pull, up to a day old. Reading a manifest counts as a pull, see
    /// [`Ecr::exclude_from_pull_times`].
    pub pulled_at: Option<Timestamp>,
    /// Whether the image is an OCI index or a Docker manifest list. True if ECR gives no media
    /// type, so that retention reads the manifest.
    pub is_index: bool,
    /// The image that this signature, SBOM or attestation belongs to.
    pub subject: Option<ImageDigest>,
    /// A description of what is not understood.
    pub odd: Option<Box<Oddness>>,
}

/// A description of what is not understood about an image. It is boxed, because few images have
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddness(pub String);

/// The images of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedImages {
    pub images: Vec<FoundImage>,
    /// Invalid digests, as ECR wrote them. Their images cannot be read or deleted.
    pub unnamed: Vec<String>,
}

/// The result of one [`Ecr::delete`] call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The deleted digests. ECR's answer repeats a digest for each of its tags.
    pub digests: BTreeSet<ImageDigest>,
    pub failures: Vec<FailedImage>,
}

/// Why ECR did not delete an image.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedImage {
    pub digest: Option<ImageDigest>,
    /// ECR's failure code, such as `ImageReferencedByManifestList`.
    pub code: String,
    pub reason: String,
}

/// The result of an attempt to remove a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untag {
    /// The tag was removed; the image still exists.
    Untagged,
    /// The tag is not on that image, or not any more. Nothing was done.
    NotThere,
    /// The tag is the image's only one; without it, ECR would delete the image. Nothing was done.
    LastTag,
}

/// A storage class of ECR.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive_restore_image.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// The archive. Its images cannot be pulled and cost at least 90 days of storage.
    Archive,
    /// The standard class. ECR restores an archived image within 20 minutes.
    Standard,
}

impl Ecr {
    /// Creates a client that slows down when ECR throttles one of its calls (adaptive retry). It
    /// makes up to eight attempts within two minutes. ECR publishes no limits for DescribeImages,
    /// BatchDeleteImage and UpdateImageStorageClass, and the limits are low.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub fn patient(session: &Session) -> Self {
        Self { client: session.patient_ecr(), http: session.plain_http() }
    }

    /// Creates a client that makes one attempt, for calls that must not run long after the caller's
    /// last check.
    pub fn impatient(session: &Session) -> Self {
        Self { client: session.impatient_ecr(), http: session.plain_http() }
    }

    /// Every image in every state, in no particular order.
    pub async fn inventory(&self, repository: &RepositoryName) -> Result<ListedImages, EcrError> {
        let mut found = ListedImages::default();
        let mut pages = Pages::at_most(MOST_PAGES);
        loop {
            let reader = Reader::of(repository);
            let answer = self
                .client
                .describe_images()
                .repository_name(repository.as_str())
                // Without this filter ECR returns only ACTIVE images, and an archived image would
                // look deleted.
                .filter(any_status())
                .max_results(PER_DESCRIBE)
                .set_next_token(pages.token())
                .customize()
                .interceptor(reader.clone())
                .send()
                .await
                .map_err(|error| match error.as_service_error() {
                    Some(DescribeImagesError::RepositoryNotFoundException(_)) => {
                        EcrError::RepositoryNotFound {
                            repository: repository.clone(),
                            source: FailedCall::new(error),
                        }
                    }
                    _ => EcrError::DescribeAll {
                        repository: repository.clone(),
                        source: FailedCall::new(error),
                    },
                })?;
            let mut page = reader.found()?;
            found.images.append(&mut page.images);
            found.unnamed.append(&mut page.unnamed);
            let follows = pages.follows(answer.next_token()).map_err(|Endless| EcrError::Endless {
                operation: "DescribeImages",
                what: format!("images of {repository}"),
            })?;
            if !follows {
                found.images.shrink_to_fit();
                return Ok(found);
            }
        }
    }

    /// Describes these images as they are now. Missing images are left out.
    pub async fn describe_some(
        &self,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<Vec<FoundImage>, EcrError> {
        let wanted: BTreeSet<&ImageDigest> = digests.iter().collect();
        let wanted: Vec<&ImageDigest> = wanted.into_iter().collect();
        let mut found = Vec::with_capacity(wanted.len());
        let mut parts: Vec<&[&ImageDigest]> = wanted.chunks(PER_DESCRIBE_BY_NAME).rev().collect();
        while let Some(part) = parts.pop() {
            match self.describe_named(repository, part).await? {
                Some(mut images) => found.append(&mut images),
                // One missing image fails the call for all, and ECR does not say which one. So each
                // half is requested again.
                // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html#API_DescribeImages_Errors>
                None if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Describes these images. Returns `None` if at least one of them is missing.
    async fn describe_named(
        &self,
        repository: &RepositoryName,
        digests: &[&ImageDigest],
    ) -> Result<Option<Vec<FoundImage>>, EcrError> {
        let reader = Reader::of(repository);
        let described = self
            .client
            .describe_images()
            .repository_name(repository.as_str())
            .set_image_ids(Some(digests.iter().copied().map(identifier).collect()))
            .filter(any_status())
            .customize()
            .interceptor(reader.clone())
            .send()
            .await;
        let error = match described {
            Ok(_) => return reader.found().map(|page| Some(page.images)),
            Err(error) => error,
        };
        let repository = repository.clone();
        match error.as_service_error() {
            Some(DescribeImagesError::ImageNotFoundException(_)) => Ok(None),
            Some(DescribeImagesError::RepositoryNotFoundException(_)) => {
                Err(EcrError::RepositoryNotFound { repository, source: FailedCall::new(error) })
            }
            _ => Err(EcrError::DescribeAll { repository, source: FailedCall::new(error) }),
        }
    }

    /// Reads manifests. Returns the manifests, and the digests without one, each with ECR's code
    /// (such as `ImageNotFound`). Each requested digest is in one of the two lists.
    ///
    /// ECR counts this as a pull, unless [`exclude_from_pull_times`](Self::exclude_from_pull_times)
    /// was called.
    pub async fn manifests(
        &self,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<(Vec<Manifest>, Vec<(ImageDigest, String)>), EcrError> {
        let lacks =
            |member| EcrError::Answer { operation: "BatchGetImage", repository: repository.clone(), member };
        let wanted: BTreeSet<&ImageDigest> = digests.iter().collect();
        let wanted: Vec<&ImageDigest> = wanted.into_iter().collect();
        let (mut manifests, mut failures) = (Vec::with_capacity(wanted.len()), Vec::new());
        for part in wanted.chunks(PER_BATCH_GET) {
            let ids = part.iter().copied().map(identifier).collect();
            let answer = self.batch_get(repository, ids).await?;
            let mut open: BTreeSet<&ImageDigest> = part.iter().copied().collect();
            for image in answer.images() {
                let manifest = verified(repository, image)?;
                // ECR may return an image once for each of its tags.
                if open.remove(&manifest.digest) {
                    manifests.push(manifest);
                }
            }
            for failure in answer.failures() {
                let of = digest(failure.image_id().and_then(ImageIdentifier::image_digest));
                let of = of.ok_or_else(|| lacks("failures"))?;
                if open.remove(&of) {
                    failures.push((of, code(failure)));
                }
            }
            if !open.is_empty() {
                return Err(lacks("images"));
            }
        }
        Ok((manifests, failures))
    }

    /// Deletes up to [`PER_DELETE`] images with all their tags in one call. This cannot be undone.
    ///
    /// ECR answers 200 even if it deleted none of them; the failures list what it did not delete.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
    pub async fn delete(
        &self,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<Deleted, EcrError> {
        if digests.is_empty() {
            return Ok(Deleted::default());
        }
        self.batch_delete(repository, digests.iter().map(identifier).collect()).await
    }

    /// Removes a tag from an image that has other tags.
    ///
    /// AWS says: "When you remove the last tag from an image, the image is deleted from your
    /// repository." It does not document a request with a tag and a digest, except that they must
    /// match. So this function reads the image first and then sends only the tag. The tag can move
    /// in between, so this does not protect against concurrent writers.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
    pub async fn untag(
        &self,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
    ) -> Result<Untag, EcrError> {
        let Some(image) = self.describe_some(repository, std::slice::from_ref(digest)).await?.pop() else {
            return Ok(Untag::NotThere);
        };
        if !image.tags.contains(tag) {
            return Ok(Untag::NotThere);
        }
        if image.tags.len() == 1 {
            return Ok(Untag::LastTag);
        }
        let id = ImageIdentifier::builder().image_tag(tag.as_str()).build();
        let done = self.batch_delete(repository, vec![id]).await?;
        match done.failures.into_iter().next() {
            None => Ok(Untag::Untagged),
            Some(failure) if failure.code == "ImageNotFound" => Ok(Untag::NotThere),
            Some(failure) => Err(EcrError::Untag {
                repository: repository.clone(),
                tag: tag.clone(),
                code: failure.code,
                reason: Some(failure.reason).filter(|reason| !reason.is_empty()),
            }),
        }
    }

    async fn batch_delete(
        &self,
        repository: &RepositoryName,
        ids: Vec<ImageIdentifier>,
    ) -> Result<Deleted, EcrError> {
        let answer = self
            .client
            .batch_delete_image()
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids))
            .send()
            .await
            .map_err(|error| {
                let not_found =
                    error.as_service_error().is_some_and(|e| e.is_repository_not_found_exception());
                let (repository, source) = (repository.clone(), FailedCall::new(error));
                if not_found {
                    EcrError::RepositoryNotFound { repository, source }
                } else {
                    EcrError::BatchDeleteImage { repository, source }
                }
            })?;
        let lacks = || EcrError::Answer {
            operation: "BatchDeleteImage",
            repository: repository.clone(),
            member: "imageDigest",
        };
        let digests = answer.image_ids().iter().map(|id| digest(id.image_digest()).ok_or_else(lacks));
        let failure = |failure: &ImageFailure| FailedImage {
            digest: digest(failure.image_id().and_then(ImageIdentifier::image_digest)),
            code: code(failure),
            reason: failure.failure_reason().unwrap_or_default().to_owned(),
        };
        Ok(Deleted {
            digests: digests.collect::<Result<_, _>>()?,
            failures: answer.failures().iter().map(failure).collect(),
        })
    }

    /// Archives an image, or starts its restoration. One call takes one image.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UpdateImageStorageClass.html>
    pub async fn set_storage_class(
        &self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        class: StorageClass,
    ) -> Result<(), EcrError> {
        let target = match class {
            StorageClass::Archive => TargetStorageClass::Archive,
            StorageClass::Standard => TargetStorageClass::Standard,
        };
        let updated = self
            .client
            .update_image_storage_class()
            .repository_name(repository.as_str())
            .image_id(identifier(digest))
            .target_storage_class(target)
            .send()
            .await;
        let Err(error) = updated else { return Ok(()) };
        let named: fn(RepositoryName, ImageDigest, FailedCall) -> EcrError = match error.as_service_error() {
            Some(UpdateImageStorageClassError::ImageNotFoundException(_)) => {
                |repository, digest, source| EcrError::ImageNotFound { repository, digest, source }
            }
            Some(UpdateImageStorageClassError::ImageStorageClassUpdateNotSupportedException(_)) => {
                |repository, digest, source| EcrError::StorageClassNotSupported { repository, digest, source }
            }
            Some(UpdateImageStorageClassError::RepositoryNotFoundException(_)) => {
                |repository, _, source| EcrError::RepositoryNotFound { repository, source }
            }
            _ => {
                |repository, digest, source| EcrError::UpdateImageStorageClass { repository, digest, source }
            }
        };
        Err(named(repository.clone(), digest.clone(), FailedCall::new(error)))
    }

    /// The repository's policy, which grants permissions, as JSON. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>
    pub async fn repository_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let asked = self.client.get_repository_policy().repository_name(repository.as_str()).send().await;
        let error = match asked {
            Ok(answer) => {
                return answer.policy_text.map(Some).ok_or_else(|| EcrError::Answer {
                    operation: "GetRepositoryPolicy",
                    repository: repository.clone(),
                    member: "policyText",
                });
            }
            Err(error) => error,
        };
        let repository = repository.clone();
        match error.as_service_error() {
            Some(GetRepositoryPolicyError::RepositoryPolicyNotFoundException(_)) => Ok(None),
            Some(GetRepositoryPolicyError::RepositoryNotFoundException(_)) => {
                Err(EcrError::RepositoryNotFound { repository, source: FailedCall::new(error) })
            }
            _ => Err(EcrError::GetRepositoryPolicy { repository, source: FailedCall::new(error) }),
        }
    }

    /// The registry's policy, which grants permissions on some or all repositories, as JSON. `None`
    /// if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>
    pub async fn registry_policy(&self) -> Result<Option<String>, EcrError> {
        match self.client.get_registry_policy().send().await {
            Ok(answer) => Ok(answer.policy_text),
            Err(error) => match error.as_service_error() {
                Some(GetRegistryPolicyError::RegistryPolicyNotFoundException(_)) => Ok(None),
                _ => Err(EcrError::GetRegistryPolicy { source: FailedCall::new(error) }),
            },
        }
    }

    /// The repository's lifecycle policy as JSON. ECR deletes images by this policy without
    /// checking who uses them. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>
    pub async fn lifecycle_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let asked = self.client.get_lifecycle_policy().repository_name(repository.as_str()).send().await;
        let error = match asked {
            Ok(answer) => {
                return answer.lifecycle_policy_text.map(Some).ok_or_else(|| EcrError::Answer {
                    operation: "GetLifecyclePolicy",
                    repository: repository.clone(),
                    member: "lifecyclePolicyText",
                });
            }
            Err(error) => error,
        };
        let repository = repository.clone();
        match error.as_service_error() {
            Some(GetLifecyclePolicyError::LifecyclePolicyNotFoundException(_)) => Ok(None),
            Some(GetLifecyclePolicyError::RepositoryNotFoundException(_)) => {
                Err(EcrError::RepositoryNotFound { repository, source: FailedCall::new(error) })
            }
            _ => Err(EcrError::GetLifecyclePolicy { repository, source: FailedCall::new(error) }),
        }
    }

    /// Stops ECR from counting this role's reads as pulls. Returns whether ECR counted them until
    /// now. Otherwise a daily read of every manifest would make every image look used.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
    pub async fn exclude_from_pull_times(&self, role_arn: &str) -> Result<bool, EcrError> {
        let mut pages = Pages::at_most(MOST_PAGES_OF_EXCLUSIONS);
        loop {
            let answer = self
                .client
                .list_pull_time_update_exclusions()
                .set_next_token(pages.token())
                .send()
                .await
                .map_err(|error| EcrError::ListPullTimeUpdateExclusions { source: FailedCall::new(error) })?;
            if answer.pull_time_update_exclusions().iter().any(|principal| principal == role_arn) {
                return Ok(false);
            }
            let follows = pages.follows(answer.next_token()).map_err(|Endless| EcrError::Endless {
                operation: "ListPullTimeUpdateExclusions",
                what: "principals whose pulls are not recorded".to_owned(),
            })?;
            if !follows {
                break;
            }
        }
        let registered =
            self.client.register_pull_time_update_exclusion().principal_arn(role_arn).send().await;
        let Err(error) = registered else { return Ok(true) };
        match error.as_service_error() {
            // Another call registered the exclusion in the meantime.
            Some(RegisterPullTimeUpdateExclusionError::ExclusionAlreadyExistsException(_)) => Ok(false),
            _ => Err(EcrError::RegisterPullTimeUpdateExclusion {
                role: role_arn.to_owned(),
                source: FailedCall::new(error),
            }),
        }
    }
}

fn identifier(digest: &ImageDigest) -> ImageIdentifier {
    ImageIdentifier::builder().image_digest(digest.as_str()).build()
}

fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}

fn code(failure: &ImageFailure) -> String {
    failure.failure_code().map_or("no reason given", |code| code.as_str()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_take_little_memory() {
        let image = size_of::<FoundImage>();
        assert!(image <= 200, "{image}");
        // A usual image has a digest and a tag of 40 characters. A large one has a digest, a
        // subject and two such tags. The allocator adds 16 bytes to each text.
        let tag = size_of::<ImageTag>() + 40 + 16;
        let usual = image + (71 + 16) + (tag + 16);
        assert!(100_000 * usual <= 40_000_000, "{usual}");
        let large = image + 2 * (71 + 16) + (2 * tag + 16);
        assert!(100_000 * large <= 56_000_000, "{large}");
    }
}
