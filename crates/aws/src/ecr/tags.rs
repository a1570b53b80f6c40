//! Puts tags on images, and removes tags from images.

use aws_sdk_ecr::operation::put_image::builders::PutImageFluentBuilder;
use aws_sdk_ecr::types::ImageIdentifier;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use super::manifests::{Manifest, reported};
use crate::call::Call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutTag {
    Put,
    /// The tag was already on this digest. Nothing changed, and ECR emits no event.
    AlreadyThere,
    /// The tag is on another digest, and the repository does not allow a change.
    PointsElsewhere,
}

/// The result of an attempt to remove a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untag {
    /// ECR removed the tag. The image still exists.
    Untagged,
    /// The tag is not on the image. The call changed nothing.
    NotThere,
    /// The tag is the image's only tag. Without a tag, ECR would delete the image. The call changed
    /// nothing.
    LastTag,
}

impl Ecr {
    /// Puts a tag on an image of the repository. The request contains the manifest's bytes, from
    /// which ECR must compute the same digest.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html>
    pub async fn put_tag(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
        tag: &ImageTag,
    ) -> Result<PutTag, EcrError> {
        let digest = &manifest.digest;
        let call = Call::new("PutImage", format!("put the tag {tag} on {digest} in {repository}"));
        let put = self.put_image(repository, manifest).image_tag(tag.as_str()).send().await;
        let Err(error) = put else { return Ok(PutTag::Put) };
        let failed = call.failed(error);
        match failed.code() {
            Some("ImageAlreadyExistsException") => Ok(PutTag::AlreadyThere),
            Some("ImageTagAlreadyExistsException") => {
                // ECR refuses to put an immutable tag even if the tag is already on this digest.
                let on = self.describe(repository, tag).await?.map(|image| image.digest);
                Ok(if on.as_ref() == Some(digest) { PutTag::AlreadyThere } else { PutTag::PointsElsewhere })
            }
            _ => Err(failed.into()),
        }
    }

    /// Puts an image without a tag. Its layers and children must be in the repository already.
    pub async fn put_untagged(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<(), EcrError> {
        let call = Call::new("PutImage", format!("put {} in {repository}", manifest.digest));
        let put = self.put_image(repository, manifest).send().await;
        call.none_if(&["ImageAlreadyExistsException"], put)?;
        Ok(())
    }

    /// Prepares a call that sends the manifest's bytes. ECR must compute the same digest from them.
    fn put_image(&self, repository: &RepositoryName, manifest: &Manifest) -> PutImageFluentBuilder {
        self.client
            .put_image()
            .repository_name(repository.as_str())
            .image_manifest(&manifest.bytes)
            // An OCI manifest may omit its own media type; ECR then needs the media type in the
            // request.
            .image_manifest_media_type(&manifest.media_type)
            .image_digest(manifest.digest.as_str())
    }

    /// Removes a tag from an image that has other tags.
    ///
    /// AWS says: "When you remove the last tag from an image, the image is deleted from your
    /// repository." AWS does not document a request with a tag and a digest, except that the two
    /// must match.
    ///
    /// So this method reads the image first, and then sends only the tag. Between these two calls,
    /// another writer can still move the tag.
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
            Some(failure) => {
                let call = Call::new("BatchDeleteImage", format!("take the tag {tag} off in {repository}"));
                Err(call.failed(reported(&failure.code, &failure.reason)).into())
            }
        }
    }
}
