//! The deletion of images.

use std::collections::BTreeSet;

use aws_sdk_ecr::types::{ImageFailure, ImageIdentifier};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::digest::digest;
use super::error::EcrError;
use super::image_id::identifier;
use super::manifests::code;
use crate::call::{Call, CallError};

/// The most images that one [`Ecr::delete`] call accepts.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
pub const PER_DELETE: usize = 100;

/// The result of one [`Ecr::delete`] call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The deleted digests. ECR's response repeats a digest for each of its tags.
    pub digests: BTreeSet<ImageDigest>,
    pub failures: Vec<FailedImage>,
}

/// An image that ECR did not delete, and the reason.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedImage {
    pub digest: Option<ImageDigest>,
    /// ECR's failure code, such as `ImageReferencedByManifestList`.
    pub code: String,
    pub reason: String,
}

impl Ecr {
    /// Deletes up to [`PER_DELETE`] images with all their tags in one call. The deletion is final.
    ///
    /// ECR responds with status 200 even if it deleted no image. The failures name the images that
    /// ECR did not delete.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
    pub async fn delete(
        &self,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<Deleted, EcrError> {
        if digests.is_empty() {
            return Ok(Deleted::default());
        }
        Ok(self.batch_delete(repository, digests.iter().map(identifier).collect()).await?)
    }

    pub(super) async fn batch_delete(
        &self,
        repository: &RepositoryName,
        ids: Vec<ImageIdentifier>,
    ) -> Result<Deleted, CallError> {
        let call = Call::new("BatchDeleteImage", format!("delete from {repository}"));
        let answer = self
            .client
            .batch_delete_image()
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let deleted =
            |id: &ImageIdentifier| digest(id.image_digest()).ok_or_else(|| call.lacks("imageDigest"));
        let digests = answer.image_ids().iter().map(deleted);
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
}
