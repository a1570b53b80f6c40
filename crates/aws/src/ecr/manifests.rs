//! Reads manifests, and checks that their bytes hash to their digests.

use std::collections::BTreeSet;

use aws_sdk_ecr::operation::batch_get_image::BatchGetImageOutput;
use aws_sdk_ecr::types::{ImageFailure, ImageFailureCode, ImageIdentifier};
use stablepin_oci::{self as oci, ManifestError};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::client::Ecr;
use super::digest::{digest, sha256};
use super::error::EcrError;
use super::image_id::{ImageId, identifier};
use crate::call::{Call, CallError};
use crate::failed_call::{FailedCall, is_retryable_code};

/// The most images that one BatchGetImage call accepts.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>
const PER_BATCH_GET: usize = 100;

/// A manifest with exactly the bytes that the registry stores. The bytes hash to the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: ImageDigest,
    /// The tag, if the caller requested the manifest by tag.
    pub tag: Option<ImageTag>,
    pub media_type: String,
    pub bytes: String,
}

/// The codes of missing and archived images. AWS does not document which of the two an archived
/// image gets.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
pub(super) const ABSENT: [ImageFailureCode; 2] =
    [ImageFailureCode::ImageNotFound, ImageFailureCode::ImageInaccessible];

impl Manifest {
    /// Parses the bytes.
    pub fn parse(&self) -> Result<oci::Manifest, ManifestError> {
        oci::Manifest::parse(&self.media_type, &self.bytes)
    }
}

impl Ecr {
    /// Reads the manifests of these images. Omits missing images and archived images.
    /// [`describe`](Self::describe) distinguishes these two cases.
    ///
    /// ECR counts this call as a pull.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
    pub async fn image(
        &self,
        repository: &RepositoryName,
        ids: &[ImageId],
    ) -> Result<Vec<Manifest>, EcrError> {
        let call = read(repository);
        let mut manifests = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PER_BATCH_GET) {
            let answer = self.batch_get(repository, ids.iter().map(ImageId::identifier).collect()).await?;
            for failure in answer.failures() {
                if failure.failure_code().is_some_and(|code| ABSENT.contains(code)) {
                    continue;
                }
                let id = failure.image_id();
                let image = id.and_then(|id| id.image_digest().or(id.image_tag())).unwrap_or("an image");
                let call =
                    Call::new("BatchGetImage", format!("read the manifest of {image} in {repository}"));
                let reason = failure.failure_reason().unwrap_or_default();
                return Err(call.failed(reported(&code(failure), reason)).into());
            }
            for image in answer.images() {
                manifests.push(verified(&call, image)?);
            }
        }
        Ok(manifests)
    }

    /// Reads the manifests of these digests. Returns the manifests, and the digests without a
    /// manifest together with ECR's code, such as `ImageNotFound`. Each requested digest is in one
    /// of the two lists.
    ///
    /// ECR counts this call as a pull, unless
    /// [`exclude_from_pull_times`](Self::exclude_from_pull_times) has excluded the role.
    pub async fn manifests(
        &self,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<(Vec<Manifest>, Vec<(ImageDigest, String)>), EcrError> {
        let call = read(repository);
        let wanted: BTreeSet<&ImageDigest> = digests.iter().collect();
        let wanted: Vec<&ImageDigest> = wanted.into_iter().collect();
        let (mut manifests, mut failures) = (Vec::with_capacity(wanted.len()), Vec::new());
        for part in wanted.chunks(PER_BATCH_GET) {
            let ids = part.iter().copied().map(identifier).collect();
            let answer = self.batch_get(repository, ids).await?;
            let mut open: BTreeSet<&ImageDigest> = part.iter().copied().collect();
            for image in answer.images() {
                let manifest = verified(&call, image)?;
                // ECR may return an image once for each of its tags.
                if open.remove(&manifest.digest) {
                    manifests.push(manifest);
                }
            }
            for failure in answer.failures() {
                let of = digest(failure.image_id().and_then(ImageIdentifier::image_digest));
                let of = of.ok_or_else(|| call.lacks("failures"))?;
                if open.remove(&of) {
                    failures.push((of, code(failure)));
                }
            }
            if !open.is_empty() {
                return Err(call.lacks("images").into());
            }
        }
        Ok((manifests, failures))
    }

    async fn batch_get(
        &self,
        repository: &RepositoryName,
        ids: Vec<ImageIdentifier>,
    ) -> Result<BatchGetImageOutput, CallError> {
        self.client
            .batch_get_image()
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids))
            .set_accepted_media_types(Some(oci::ACCEPTED.map(str::to_owned).to_vec()))
            .send()
            .await
            .map_err(|error| read(repository).failed(error))
    }
}

/// Describes the call that reads manifests of a repository, for the texts of errors.
pub(super) fn read(repository: &RepositoryName) -> Call {
    Call::new("BatchGetImage", format!("read the manifests in {repository}"))
}

/// Creates the failure for one image that a successful response reports as failed.
pub(super) fn reported(code: &str, reason: &str) -> FailedCall {
    let text = if reason.is_empty() { code.to_owned() } else { format!("{code}, {reason}") };
    FailedCall::unusable(text, is_retryable_code(code))
}

pub(super) fn code(failure: &ImageFailure) -> String {
    failure.failure_code().map_or("no reason given", |code| code.as_str()).to_owned()
}

fn verified(call: &Call, image: &aws_sdk_ecr::types::Image) -> Result<Manifest, CallError> {
    let id = image.image_id();
    let digest =
        digest(id.and_then(ImageIdentifier::image_digest)).ok_or_else(|| call.lacks("imageDigest"))?;
    let bytes = image.image_manifest().ok_or_else(|| call.lacks("imageManifest"))?;
    must_hash_to(call, &digest, bytes.as_bytes())?;
    Ok(Manifest {
        digest,
        tag: id.and_then(ImageIdentifier::image_tag).and_then(|tag| ImageTag::parse(tag).ok()),
        media_type: image
            .image_manifest_media_type()
            .ok_or_else(|| call.lacks("imageManifestMediaType"))?
            .to_owned(),
        bytes: bytes.to_owned(),
    })
}

pub(super) fn must_hash_to(call: &Call, digest: &ImageDigest, bytes: &[u8]) -> Result<(), CallError> {
    let found = sha256(bytes);
    if found == *digest {
        Ok(())
    } else {
        Err(call.unusable(format!("the bytes that ECR keeps as {digest} hash to {found}")))
    }
}
