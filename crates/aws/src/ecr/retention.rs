//! What is there, what may be read of it, and what takes it away: the calls of retention.
//!
//! They fail closed. A list is whole or an error; an image of which anything that decides cannot be read is listed
//! with what is odd about it.

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

/// How many images DescribeImages takes by name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
const PER_DESCRIBE_BY_NAME: usize = 100;

/// How many images one [`Ecr::delete`] takes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
pub const PER_DELETE: usize = 100;

/// Two million images: twenty times what a repository may have unless AWS raised it, and more than fits into memory.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_PAGES: usize = 2000;

/// An account may have a hundred exclusions.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
const MOST_PAGES_OF_EXCLUSIONS: usize = 100;

/// An image of a repository, with what decides whether it stays. Small: there may be a hundred thousand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub digest: ImageDigest,
    pub tags: Vec<ImageTag>,
    /// Compressed; of an index, its largest manifest.
    pub size_bytes: Option<u64>,
    /// Not renewed when a tag is put.
    pub pushed_at: Option<Timestamp>,
    pub status: ImageStatus,
    /// When it was last put into the archive, where it ever was.
    pub archived_at: Option<Timestamp>,
    /// When it was last restored: from then on ECR itself counts its age.
    pub activated_at: Option<Timestamp>,
    /// At most a day behind. Reading a manifest counts as a pull, see [`Ecr::exclude_from_pull_times`].
    pub pulled_at: Option<Timestamp>,
    /// An OCI index or a Docker manifest list; also where ECR does not say what it is, so that it is looked into.
    pub is_index: bool,
    /// What it is a signature, an SBOM or an attestation of.
    pub subject: Option<ImageDigest>,
    /// What is not understood of it, in words.
    pub odd: Option<Box<Oddness>>,
}

/// What is not understood of an image, in words. Few images have any, so that it is one pointer of each image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddness(pub String);

/// What a repository has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedImages {
    pub images: Vec<FoundImage>,
    /// Images whose digests are none, as they are written: nothing can be asked about them.
    pub unnamed: Vec<String>,
}

/// What one call of [`Ecr::delete`] came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// ECR names a digest once for each tag that it had.
    pub digests: BTreeSet<ImageDigest>,
    pub failures: Vec<FailedImage>,
}

/// Why an image is still there.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedImage {
    pub digest: Option<ImageDigest>,
    /// Such as `ImageReferencedByManifestList`.
    pub code: String,
    pub reason: String,
}

/// What became of a tag that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untag {
    /// It is gone; the image is there.
    Untagged,
    /// It was not on that image, or is not any more. Nothing was done.
    NotThere,
    /// It is the only one: without it, ECR would delete the image. Nothing was done.
    LastTag,
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive_restore_image.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// Cannot be pulled. Billed for 90 days at least.
    Archive,
    /// Restored: within 20 minutes.
    Standard,
}

impl Ecr {
    /// A door that waits for its turn. ECR publishes no limits for DescribeImages, BatchDeleteImage and
    /// UpdateImageStorageClass, and they are low: these calls slow down together when one of them is throttled
    /// (adaptive retry), and are tried eight times, for two minutes at most.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub fn patient(session: &Session) -> Self {
        Self { client: session.patient_ecr(), http: session.plain_http() }
    }

    /// A door that tries once: for what must not be carried out long after whoever asked for it has looked.
    pub fn impatient(session: &Session) -> Self {
        Self { client: session.impatient_ecr(), http: session.plain_http() }
    }

    /// Every image, in any state, in no order.
    pub async fn inventory(&self, repository: &RepositoryName) -> Result<ListedImages, EcrError> {
        let mut found = ListedImages::default();
        let mut pages = Pages::at_most(MOST_PAGES);
        loop {
            let reader = Reader::of(repository);
            let answer = self
                .client
                .describe_images()
                .repository_name(repository.as_str())
                // Without it, only ACTIVE images are seen, and an archived one looks deleted.
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

    /// These images as they are now. One that is not there any more is not in the answer.
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
                // One that is missing spoils the answer for all, and ECR does not say which: each half is asked for.
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

    /// None where at least one of them is missing.
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

    /// Their manifests, and those that ECR did not give, each with its code (such as `ImageNotFound`). Each digest
    /// is in one of the two.
    ///
    /// ECR counts this as a pull, unless [`exclude_from_pull_times`](Self::exclude_from_pull_times) was called.
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
                // It may come once for each of its tags.
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

    /// Deletes up to [`PER_DELETE`] images, with all their tags, in one call. There is no way back.
    ///
    /// ECR answers 200 also where it deleted none of them: what it did not, is in the failures.
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

    /// Takes a tag off an image that has others.
    ///
    /// "You can remove a tag from an image by specifying the image's tag in your request. When you remove the last tag
    /// from an image, the image is deleted from your repository." What ECR does with a tag and a digest together is
    /// not documented, except that they must match; so the tag goes alone, after a look at the image. Between the
    /// look and the call the tag can move: to whom two write at once, this is no protection.
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

    /// Archives an image, or asks for it to be restored. ECR takes one image a call.
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

    /// Who may do what, as the repository's owner said it: JSON. None where nobody did.
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

    /// What the registry's own policy says of who may do what in all repositories, or some: JSON. None where there is no
    /// such policy.
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

    /// What ECR itself deletes, without asking who uses it: JSON. None where there is no such policy.
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

    /// What this role reads is no pull from now on; whether it was one until now. Else a daily look at every manifest
    /// makes each of them look used.
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
            // Somebody was quicker.
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
    fn a_hundred_thousand_images_are_few_bytes() {
        let image = size_of::<FoundImage>();
        assert!(image <= 200, "{image}");
        // A digest and a tag of 40 characters; a digest, a subject and two such tags. The allocator takes 16 each.
        let tag = size_of::<ImageTag>() + 40 + 16;
        let usual = image + (71 + 16) + (tag + 16);
        assert!(100_000 * usual <= 40_000_000, "{usual}");
        let large = image + 2 * (71 + 16) + (2 * tag + 16);
        assert!(100_000 * large <= 56_000_000, "{large}");
    }
}
