//! The list of a repository's images for retention. It is complete, or it is an error.
//! An image with an unreadable member is listed with a description of what is odd about it.

use std::collections::BTreeSet;

use aws_sdk_ecr::operation::describe_images::DescribeImagesError;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageStatusFilter};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use super::image_details::PER_DESCRIBE;
use super::image_id::identifier;
use super::images::{FoundImage, Reader};
use crate::failed_call::FailedCall;
use crate::pages::{Endless, Pages};

/// The most images that one DescribeImages call takes by name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
const PER_DESCRIBE_BY_NAME: usize = 100;

/// The most pages of images: two million images, twenty times a repository's usual quota and more
/// than fits into memory.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_PAGES: usize = 2000;

/// The images of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedImages {
    pub images: Vec<FoundImage>,
    /// Invalid digests, as ECR wrote them. Their images cannot be read or deleted.
    pub unnamed: Vec<String>,
}

impl Ecr {
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
}

fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}
