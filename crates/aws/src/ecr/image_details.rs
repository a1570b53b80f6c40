//! Describes one image, or all tagged images, of a repository.

use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatus as SdkImageStatus, ImageStatusFilter, TagStatus};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::client::Ecr;
use super::digest::digest;
use super::error::EcrError;
use super::image_id::ImageId;
use crate::call::{Call, CallError};

/// The largest page of DescribeImages.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
pub(super) const PER_DESCRIBE: i32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStatus {
    Active,
    /// ECR serves no pull of the image until the image is restored, which takes up to 20 minutes.
    Archived,
    /// ECR is restoring the image.
    Activating,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetail {
    pub digest: ImageDigest,
    pub tags: Vec<ImageTag>,
    /// The compressed size. For an image index, ECR reports the size of its largest manifest.
    pub size_bytes: Option<u64>,
    /// The time of the push. A tag that is added later does not change this time.
    pub pushed_at: Option<Timestamp>,
    pub status: ImageStatus,
    pub media_type: Option<String>,
    pub artifact_media_type: Option<String>,
}

impl Ecr {
    /// Describes one image. Returns `None` if the image does not exist.
    pub async fn describe(
        &self,
        repository: &RepositoryName,
        image: impl Into<ImageId>,
    ) -> Result<Option<ImageDetail>, EcrError> {
        let image = image.into();
        let call = Call::new("DescribeImages", format!("describe {image} in {repository}"));
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
        let answer = call.none_if(&["ImageNotFoundException"], described)?;
        let found = answer.as_ref().and_then(|answer| answer.image_details().first());
        Ok(found.map(|found| detail(&call, found)).transpose()?)
    }

    /// Every tagged image, in no particular order.
    pub async fn tagged(&self, repository: &RepositoryName) -> Result<Vec<ImageDetail>, EcrError> {
        let call = list(repository);
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
                .map_err(|error| call.failed(error))?;
            for image in answer.image_details() {
                found.push(detail(&call, image)?);
            }
            page = answer.next_token;
            if page.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Describes the call that lists images of a repository, for the texts of errors.
pub(super) fn list(repository: &RepositoryName) -> Call {
    Call::new("DescribeImages", format!("list the images of {repository}"))
}

fn detail(call: &Call, detail: &aws_sdk_ecr::types::ImageDetail) -> Result<ImageDetail, CallError> {
    let status = match detail.image_status() {
        None | Some(SdkImageStatus::Active) => ImageStatus::Active,
        Some(SdkImageStatus::Archived) => ImageStatus::Archived,
        Some(SdkImageStatus::Activating) => ImageStatus::Activating,
        Some(_) => return Err(call.lacks("imageStatus")),
    };
    Ok(ImageDetail {
        digest: digest(detail.image_digest()).ok_or_else(|| call.lacks("imageDigest"))?,
        // A tag that does not parse is older than the registry protocol's limit of 128 characters.
        // Stablepin never puts such a tag.
        tags: detail.image_tags().iter().filter_map(|tag| ImageTag::parse(tag).ok()).collect(),
        size_bytes: detail.image_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok()),
        pushed_at: detail.image_pushed_at().and_then(timestamp),
        status,
        media_type: detail.image_manifest_media_type().map(str::to_owned),
        artifact_media_type: detail.artifact_media_type().map(str::to_owned),
    })
}

/// Converts a time. Returns `None` if the time is outside the range of [`Timestamp`].
pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
