//! Parses the image ids in requests.

use std::sync::Arc;

use serde_json::{Value, json};

use super::images::{Digest, is_digest};
use super::repository::StoredRepository;
use crate::fake::input::{Input, Refused, knows};

/// An `imageId` in a request.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageIdentifier.html>
pub(super) struct Id<'a> {
    pub(super) value: &'a Value,
    pub(super) digest: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

/// The maximum number of image ids in one call.
const IDS: usize = 100;

impl<'a> Id<'a> {
    pub(super) fn read(value: &'a Value) -> Result<Self, Refused> {
        let wrong = || Refused::new(400, "SerializationException", "an imageId is no object of strings");
        let members = value.as_object().ok_or_else(wrong)?;
        knows("imageId", members, &["imageDigest", "imageTag"])?;
        let text = |member: &str| match members.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(wrong),
        };
        Ok(Self { value, digest: text("imageDigest")?, tag: text("imageTag")? })
    }

    /// Parses the request's `imageIds`. A request must contain 1 to 100 ids.
    pub(super) fn all(input: &Input<'a>) -> Result<Vec<Self>, Refused> {
        let all = input.list("imageIds")?;
        if all.is_empty() || all.len() > IDS {
            return Err(Refused::parameter(format!(
                "Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and {IDS}'"
            )));
        }
        all.into_iter().map(Self::read).collect()
    }

    /// Returns the digest of the image with this id. The error contains a code and a reason for
    /// `failures[]`.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
    pub(super) fn find(&self, repository: &StoredRepository) -> Result<Digest, BatchFailure> {
        let fails = |code, reason: &str| Err(BatchFailure { code, reason: reason.to_owned() });
        if self.digest.is_none() && self.tag.is_none() {
            return fails("MissingDigestAndTag", "Both imageDigest and imageTag are missing");
        }
        if self.digest.is_some_and(|digest| !is_digest(digest)) {
            return fails("InvalidImageDigest", "Invalid request parameters: image digest is not valid");
        }
        if self.tag.is_some_and(|tag| !is_tag(tag)) {
            return fails("InvalidImageTag", "Invalid request parameters: image tag is not valid");
        }
        let tagged = self.tag.map(|tag| repository.tags.get(tag));
        let found = match self.digest {
            Some(digest) => repository.images.get_key_value(digest).map(|(digest, _)| digest),
            None => tagged.flatten(),
        };
        let Some(found) = found else { return fails("ImageNotFound", "Requested image not found") };
        match tagged {
            // Assumption: if the request contains a digest and a missing tag, ECR returns the same
            // failure as for a tag of another image.
            Some(tagged) if tagged != Some(found) => {
                fails("ImageTagDoesNotMatchDigest", "Image tag does not match image digest")
            }
            _ => Ok(Arc::clone(found)),
        }
    }

    pub(super) fn failed(&self, failure: &BatchFailure) -> Value {
        json!({ "imageId": self.value, "failureCode": failure.code, "failureReason": failure.reason })
    }
}

pub(super) struct BatchFailure {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// Returns whether the text is a valid tag. The registry protocol limits the characters of a tag,
/// and ECR limits its length.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html>
pub(super) fn is_tag(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=300).contains(&text.len()) && text.bytes().all(letter) && !text.starts_with(['.', '-'])
}

pub(super) fn image_not_found(id: &Value, repository: &str, account: &str) -> Refused {
    let digest = id["imageDigest"].as_str().unwrap_or("null");
    let tag = id["imageTag"].as_str().unwrap_or("null");
    let message = format!(
        "The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository with name '{repository}' in the registry with id '{account}'"
    );
    Refused::new(400, "ImageNotFoundException", message)
}
