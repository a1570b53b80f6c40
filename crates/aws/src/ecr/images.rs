//! Parses only those fields of a DescribeImages response that retention needs. The SDK's type has
//! fifteen fields per image. For 100,000 images, this type used half of the memory of a plan. The
//! SDK still makes the call and parses errors.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecr::operation::describe_images::{DescribeImages, DescribeImagesError, DescribeImagesOutput};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextMut, Error, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin as _;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use stablepin_oci::{DOCKER_LIST, OCI_INDEX};
use stablepin_rules::image::{ImageDigest, ImageTag};

use super::image_details::{ImageStatus, timestamp};
use crate::call::{Call, CallError};

/// An image of a repository, with the fields on which retention bases its decisions. The type is
/// small, because a repository may have 100,000 images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub digest: ImageDigest,
    pub tags: Vec<ImageTag>,
    /// The compressed size. For an image index, ECR reports the size of its largest manifest.
    pub size_bytes: Option<u64>,
    /// The time of the push. A tag that is added later does not change this time.
    pub pushed_at: Option<Timestamp>,
    pub status: ImageStatus,
    /// The time at which ECR last archived the image. `None` if ECR never archived it.
    pub archived_at: Option<Timestamp>,
    /// The time at which ECR last restored the image. The rules of an ECR lifecycle policy count
    /// the image's age from this time.
    pub activated_at: Option<Timestamp>,
    /// The time of the last recorded pull. The actual last pull may be up to a day later. A read of
    /// a manifest counts as a pull, see
    /// [`Ecr::exclude_from_pull_times`](super::client::Ecr::exclude_from_pull_times).
    pub pulled_at: Option<Timestamp>,
    /// True if the image is an OCI index or a Docker manifest list. Also true if ECR gives no media
    /// type, so that retention reads the manifest.
    pub is_index: bool,
    /// The digest of the image to which this signature, SBOM or attestation belongs.
    pub subject: Option<ImageDigest>,
    /// A description of the image's first unreadable field. `None` if all fields are readable.
    pub odd: Option<Box<Oddness>>,
}

/// A description of an unreadable field of an image. [`FoundImage`] boxes the description, because
/// few images have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddness(pub String);

/// The content of one page of DescribeImages.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) images: Vec<FoundImage>,
    /// The invalid digests in the page, as ECR wrote them.
    pub(super) unnamed: Vec<String>,
}

/// An interceptor that parses the response to one call.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The SDK's deserializer, for error responses.
    sdk: Option<FrozenLayer>,
    /// The parsed page. `None` before the response arrives, and after the caller has taken the
    /// page.
    read: Arc<Mutex<Option<Page>>>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { sdk: DescribeImages::new().config(), read: Arc::default() }
    }

    /// Returns the page after a successful call. Fails if the SDK did not use this reader, so that
    /// the repository does not look empty.
    pub(super) fn found(&self, call: &Call) -> Result<Page, CallError> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        read.ok_or_else(|| call.unusable("the answer was not read"))
    }
}

impl Intercept for Reader {
    fn name(&self) -> &'static str {
        "DescribeImages"
    }

    fn modify_before_serialization(
        &self,
        _: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

impl DeserializeResponse for Reader {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        cfg: &ConfigBag,
    ) -> OutputOrError {
        if !response.status().is_success()
            && let Some(sdk) = self.sdk.as_ref().and_then(|sdk| sdk.load::<SharedResponseDeserializer>())
        {
            return sdk.deserialize_nonstreaming_with_config(response, cfg);
        }
        let body = response.body().bytes().unwrap_or_default();
        let (page, next_token) = page(body).map_err(|error| {
            OrchestratorError::operation(Error::erase(DescribeImagesError::unhandled(error)))
        })?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
        Ok(Output::erase(DescribeImagesOutput::builder().set_next_token(next_token).build()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct ImagesAnswer<T> {
    image_details: Option<Vec<T>>,
    next_token: Option<String>,
}

/// Parses a page and the token of the next page. An image with an undocumented value does not make
/// the whole page unreadable.
fn page(body: &[u8]) -> Result<(Page, Option<String>), serde_json::Error> {
    let mut page = Page::default();
    let next = match serde_json::from_slice::<ImagesAnswer<ImageDetail<'_>>>(body) {
        Ok(answer) => {
            let details = answer.image_details.unwrap_or_default();
            page.images.reserve_exact(details.len());
            details.into_iter().for_each(|detail| page.add(detail, None));
            answer.next_token
        }
        Err(_) => {
            let answer: ImagesAnswer<Value> = serde_json::from_slice(body)?;
            for detail in answer.image_details.unwrap_or_default() {
                let (detail, odd) = as_far_as_understood(detail);
                page.add(ImageDetail::deserialize(&detail)?, odd);
            }
            answer.next_token
        }
    };
    Ok((page, next))
}

/// Returns the readable fields of an image, and a description of the first unreadable field.
fn as_far_as_understood(detail: Value) -> (Value, Option<String>) {
    let Value::Object(members) = detail else { return (json!({}), None) };
    let (mut read, mut odd) = (json!({}), None);
    for (name, member) in members {
        let alone = json!({ &name: &member });
        if ImageDetail::deserialize(&alone).is_ok() {
            read[name] = member;
        } else {
            odd.get_or_insert_with(|| words(&name, &member.to_string()));
        }
    }
    (read, odd)
}

fn words(member: &str, found: &str) -> String {
    let shown: String = found.chars().take(LONGEST_SHOWN).collect();
    format!("ECR says that its {member} is {shown:?}, which is not understood")
}

/// The most characters that a description quotes from an unreadable value.
const LONGEST_SHOWN: usize = 100;

/// An image in a response of DescribeImages.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageDetail<'a> {
    #[serde(borrow)]
    image_digest: Option<Text<'a>>,
    #[serde(borrow)]
    image_tags: Option<Vec<Text<'a>>>,
    image_size_in_bytes: Option<i64>,
    /// The time of the push in seconds since 1970, like every time in the response.
    image_pushed_at: Option<f64>,
    #[serde(borrow)]
    image_status: Option<Text<'a>>,
    last_archived_at: Option<f64>,
    last_activated_at: Option<f64>,
    last_recorded_pull_time: Option<f64>,
    #[serde(borrow)]
    image_manifest_media_type: Option<Text<'a>>,
    #[serde(borrow)]
    subject_manifest_digest: Option<Text<'a>>,
}

/// A text in the response. It borrows from the response if it contains no escaped characters.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Page {
    /// Adds an image to the page. If a field is unreadable, [`FoundImage::odd`] describes the
    /// field, and the planner keeps the image.
    fn add(&mut self, image: ImageDetail<'_>, odd: Option<String>) {
        let mut odd = odd;
        let mut is_odd = |member: &str, found: &str| {
            odd.get_or_insert_with(|| words(member, found));
        };
        let written = image.image_digest.as_ref().map_or("", |digest| &digest.0);
        let Ok(digest) = ImageDigest::parse(written) else {
            self.unnamed.push(written.chars().take(LONGEST_SHOWN).collect());
            return;
        };
        let mut tags = Vec::with_capacity(image.image_tags.as_ref().map_or(0, Vec::len));
        for tag in image.image_tags.iter().flatten() {
            match ImageTag::parse(&tag.0) {
                Ok(tag) => tags.push(tag),
                Err(_) => is_odd("imageTags", &tag.0),
            }
        }
        let status = match image.image_status.as_ref().map(|status| status.0.as_ref()) {
            None | Some("ACTIVE") => ImageStatus::Active,
            Some("ARCHIVED") => ImageStatus::Archived,
            Some("ACTIVATING") => ImageStatus::Activating,
            Some(other) => {
                is_odd("imageStatus", other);
                ImageStatus::Active
            }
        };
        let subject = image.subject_manifest_digest.as_ref().and_then(|subject| {
            let parsed = ImageDigest::parse(&subject.0).ok();
            if parsed.is_none() {
                is_odd("subjectManifestDigest", &subject.0);
            }
            parsed
        });
        if let Some(bytes) = image.image_size_in_bytes.filter(|bytes| *bytes < 0) {
            is_odd("imageSizeInBytes", &bytes.to_string());
        }
        self.images.push(FoundImage {
            digest,
            tags,
            size_bytes: image.image_size_in_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            pushed_at: image.image_pushed_at.and_then(at),
            status,
            archived_at: image.last_archived_at.and_then(at),
            activated_at: image.last_activated_at.and_then(at),
            pulled_at: image.last_recorded_pull_time.and_then(at),
            is_index: image
                .image_manifest_media_type
                .as_ref()
                .is_none_or(|media_type| [OCI_INDEX, DOCKER_LIST].contains(&media_type.0.as_ref())),
            subject,
            odd: odd.map(|words| Box::new(Oddness(words))),
        });
    }
}

fn at(seconds: f64) -> Option<Timestamp> {
    timestamp(&DateTime::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_reader_fails_if_it_parsed_no_response() {
        let failed = Reader::new().found(&Call::new("DescribeImages", "list")).unwrap_err();
        assert!(!failed.is_retryable());
    }

    #[test]
    fn hundred_thousand_images_fit_into_56_megabytes() {
        let image = size_of::<FoundImage>();
        assert!(image <= 200, "{image}");
        // A usual image has a digest and a tag of 40 characters. A large image has a digest, a
        // subject and two such tags. The allocator adds 16 bytes to each text.
        let tag = size_of::<ImageTag>() + 40 + 16;
        let usual = image + (71 + 16) + (tag + 16);
        assert!(100_000 * usual <= 40_000_000, "{usual}");
        let large = image + 2 * (71 + 16) + (2 * tag + 16);
        assert!(100_000 * large <= 56_000_000, "{large}");
    }
}
