//! Referrers of an image: its signatures, SBOMs and attestations.

use aws_sdk_ecr::types::SubjectIdentifier;
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::digest::digest;
use super::error::EcrError;
use crate::call::Call;

/// The largest page of ListImageReferrers.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html>
const PER_PAGE: i32 = 50;

/// The most referrers of one image. A pusher may add any number.
const MOST_REFERRERS: usize = 200;

impl Ecr {
    /// Lists the digests of an image's referrers. Archived referrers are not included.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &ImageDigest,
    ) -> Result<Vec<ImageDigest>, EcrError> {
        let call =
            Call::new("ListImageReferrers", format!("list the referrers of {subject} in {repository}"));
        let subject = SubjectIdentifier::builder().image_digest(subject.as_str()).build();
        let subject = subject.map_err(|_| call.unusable("the digest was not accepted"))?;
        let (mut referrers, mut page) = (Vec::new(), None);
        loop {
            let answer = self
                .client
                .list_image_referrers()
                .repository_name(repository.as_str())
                .subject_id(subject.clone())
                .max_results(PER_PAGE)
                .set_next_token(page)
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            for referrer in answer.referrers() {
                referrers.push(digest(Some(referrer.digest())).ok_or_else(|| call.lacks("digest"))?);
            }
            if referrers.len() > MOST_REFERRERS {
                return Err(call.unusable(format!("there are more than {MOST_REFERRERS} referrers")).into());
            }
            page = answer.next_token;
            if page.is_none() {
                return Ok(referrers);
            }
        }
    }
}
