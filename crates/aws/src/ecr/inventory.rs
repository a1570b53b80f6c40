//! Lists a repository's images for retention. The list is complete, or the call fails. The list
//! includes images with unreadable fields, and describes the first unreadable field of each.

use std::collections::BTreeSet;

use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatusFilter};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use super::image_details::{PER_DESCRIBE, list};
use super::image_id::identifier;
use super::images::{FoundImage, Reader};
use crate::call::CallError;
use crate::pages::Pages;

/// The most digests that one DescribeImages call accepts.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
const PER_DESCRIBE_BY_NAME: usize = 100;

/// The most pages of images. 2,000 pages have two million images: twenty times a repository's usual
/// quota, and more than fits into memory.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_PAGES: usize = 2000;

/// The images of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedImages {
    pub images: Vec<FoundImage>,
    /// Invalid digests, as ECR wrote them. Retention cannot read or delete the images with these
    /// digests.
    pub unnamed: Vec<String>,
}

impl Ecr {
    /// Lists all images of a repository, in all states and in no particular order.
    pub async fn inventory(&self, repository: &RepositoryName) -> Result<ListedImages, EcrError> {
        let call = list(repository);
        let mut found = ListedImages::default();
        let mut pages = Pages::at_most(MOST_PAGES);
        loop {
            let reader = Reader::new();
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
                .map_err(|error| call.failed(error))?;
            let mut page = reader.found(&call)?;
            found.images.append(&mut page.images);
            found.unnamed.append(&mut page.unnamed);
            if !pages.follows(&call, answer.next_token())? {
                found.images.shrink_to_fit();
                return Ok(found);
            }
        }
    }

    /// Describes these images. Omits missing images.
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
                // One missing image makes the whole call fail, and ECR does not name that image. So
                // the client requests each half of the images separately.
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
    ) -> Result<Option<Vec<FoundImage>>, CallError> {
        let (call, reader) = (list(repository), Reader::new());
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
        let answer = call.none_if(&["ImageNotFoundException"], described)?;
        answer.map(|_| reader.found(&call).map(|page| page.images)).transpose()
    }
}

fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}
