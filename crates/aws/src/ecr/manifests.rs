//! Reads of manifests, whose bytes must hash to their digests.

use std::collections::BTreeSet;

use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier};
use stablepin_oci::{self as oci, ManifestError};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::client::Ecr;
use super::digest::{digest, sha256};
use super::error::{EcrError, code};
use super::image_id::{ImageId, identifier};
use crate::failed_call::FailedCall;

/// The most images that one BatchGetImage call takes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>
const PER_BATCH_GET: usize = 100;

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
    pub fn parse(&self) -> Result<oci::Manifest, ManifestError> {
        oci::Manifest::parse(&self.media_type, &self.bytes)
    }
}

impl Ecr {
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
            .set_accepted_media_types(Some(oci::ACCEPTED.map(str::to_owned).to_vec()))
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

pub(super) fn must_hash_to(
    repository: &RepositoryName,
    digest: &ImageDigest,
    bytes: &[u8],
) -> Result<(), EcrError> {
    let found = sha256(bytes);
    if found == *digest {
        Ok(())
    } else {
        Err(EcrError::Corrupt { repository: repository.clone(), digest: digest.clone(), found })
    }
}
