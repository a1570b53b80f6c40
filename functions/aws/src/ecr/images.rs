//! What DescribeImages answers, read into what decides and nothing else. The SDK makes fifteen members of each image, with
//! copies of their texts: of a hundred thousand images that was half of what a plan takes. The call is the SDK's for the
//! rest, and so is the reading of a refusal.

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
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::manifest::{DOCKER_LIST, OCI_INDEX};

use super::{EcrError, FoundImage, ImageStatus, timestamp};

/// Those of one page, or what was not understood.
type Images = Result<Vec<FoundImage>, EcrError>;

/// Reads the answer of one call, that it is an interceptor of.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    repository: RepositoryName,
    /// The SDK's own reading.
    sdk: Option<FrozenLayer>,
    /// What was read, until the call has ended. None: nothing was.
    read: Arc<Mutex<Option<Images>>>,
}

impl Reader {
    pub(super) fn of(repository: &RepositoryName) -> Self {
        Self { repository: repository.clone(), sdk: DescribeImages::new().config(), read: Arc::default() }
    }

    /// The images, after the call went well. Where the SDK did not ask for them to be read, there is an error: a repository
    /// does not look empty.
    pub(super) fn found(&self) -> Images {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        read.unwrap_or_else(|| {
            Err(EcrError::Odd {
                repository: self.repository.clone(),
                image: "every image".to_owned(),
                member: "imageDetails",
                found: "an answer that was not read".to_owned(),
            })
        })
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
        let page: Page<'_> = serde_json::from_slice(body).map_err(|error| {
            OrchestratorError::operation(Error::erase(DescribeImagesError::unhandled(error)))
        })?;
        let images = page.image_details.unwrap_or_default().into_iter();
        let read = images.map(|image| found(&self.repository, image)).collect();
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(Output::erase(DescribeImagesOutput::builder().set_next_token(page.next_token).build()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    image_details: Option<Vec<Detail<'a>>>,
    next_token: Option<String>,
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(borrow)]
    image_digest: Option<Text<'a>>,
    #[serde(borrow)]
    image_tags: Option<Vec<Text<'a>>>,
    image_size_in_bytes: Option<i64>,
    /// Times are in seconds since 1970.
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

/// Of the answer itself where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn found(repository: &RepositoryName, image: Detail<'_>) -> Result<FoundImage, EcrError> {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.as_ref().to_owned());
    let odd = |member, found: &str| EcrError::Odd {
        repository: repository.clone(),
        image: text(&image.image_digest).unwrap_or_else(|| "an image".to_owned()),
        member,
        found: found.to_owned(),
    };
    let digest = |member, text: &str| ImageDigest::parse(text).map_err(|_| odd(member, text));
    let tags = image.image_tags.iter().flatten();
    let tag = |tag: &Text<'_>| ImageTag::parse(&tag.0).map_err(|_| odd("imageTags", &tag.0));
    Ok(FoundImage {
        digest: digest("imageDigest", image.image_digest.as_ref().map_or("", |digest| &digest.0))?,
        tags: tags.map(tag).collect::<Result<_, _>>()?,
        size_bytes: image.image_size_in_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        pushed_at: image.image_pushed_at.and_then(at),
        status: match image.image_status.as_ref().map(|status| status.0.as_ref()) {
            None | Some("ACTIVE") => ImageStatus::Active,
            Some("ARCHIVED") => ImageStatus::Archived,
            Some("ACTIVATING") => ImageStatus::Activating,
            Some(other) => return Err(odd("imageStatus", other)),
        },
        archived_at: image.last_archived_at.and_then(at),
        activated_at: image.last_activated_at.and_then(at),
        pulled_at: image.last_recorded_pull_time.and_then(at),
        is_index: image
            .image_manifest_media_type
            .as_ref()
            .is_none_or(|media_type| [OCI_INDEX, DOCKER_LIST].contains(&media_type.0.as_ref())),
        subject: image
            .subject_manifest_digest
            .as_ref()
            .map(|subject| digest("subjectManifestDigest", &subject.0))
            .transpose()?,
    })
}

fn at(seconds: f64) -> Option<Timestamp> {
    timestamp(&DateTime::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_no_empty_repository() {
        let reader = Reader::of(&RepositoryName::parse("web").unwrap());
        assert!(matches!(reader.found(), Err(EcrError::Odd { .. })));
    }
}
