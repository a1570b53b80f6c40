//! The storage classes of images: standard and archive.

use aws_sdk_ecr::types::TargetStorageClass;
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use super::image_id::identifier;
use crate::call::Call;

/// A storage class of ECR.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive_restore_image.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// The archive class. ECR serves no pulls of archived images, and bills each archived image for
    /// at least 90 days.
    Archive,
    /// The standard class. ECR restores an archived image within 20 minutes.
    Standard,
}

impl Ecr {
    /// Archives an image, or starts its restoration. ECR accepts one image per call.
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
        let purpose = format!("move {digest} in {repository} to another storage class");
        let call = Call::new("UpdateImageStorageClass", purpose);
        self.client
            .update_image_storage_class()
            .repository_name(repository.as_str())
            .image_id(identifier(digest))
            .target_storage_class(target)
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(())
    }
}
