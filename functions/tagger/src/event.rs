//! The events about image tags: ECR's push and deletion events, and CloudTrail's events of
//! `PutImage`. The types have only the fields that the tagger reads.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html>

use serde::Deserialize;
use stablepin_reconciler::StackLocation;
use stablepin_reconciler::attribution::CloudTrailCall;
use stablepin_reconciler::push::{NoBuild, Push};
use stablepin_rules::caller::Caller;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::one_line::one_line;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EcrEvent {
    pub account: Option<String>,
    pub region: Option<String>,
    /// The time of the event in RFC 3339. The time distinguishes two pushes of the same tag.
    #[serde(default)]
    pub time: String,
    pub detail: EventDetail,
}

/// The `detail` of an event. The documentation of AWS omits some fields of real events. Each field
/// is optional.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EventDetail {
    pub action_type: Option<String>,
    pub result: Option<String>,
    pub repository_name: Option<String>,
    pub image_digest: Option<String>,
    /// The tag of the image. Absent or empty for the child manifests of an image index.
    pub image_tag: Option<String>,
    /// The name of the API call, for example `PutImage`. Only CloudTrail's events have this field.
    #[serde(rename = "eventName")]
    pub event_name: Option<String>,
    #[serde(rename = "errorCode")]
    pub error_code: Option<String>,
    #[serde(rename = "userIdentity")]
    pub user_identity: Option<SignerIdentity>,
    #[serde(rename = "responseElements")]
    pub response_elements: Option<PutImageAnswer>,
}

/// The identity that signed an API call.
#[derive(Debug, Deserialize)]
pub struct SignerIdentity {
    /// The ARN of the signer. Absent if an AWS service made the call.
    pub arn: Option<String>,
}

/// The response of `PutImage`.
#[derive(Debug, Deserialize)]
pub struct PutImageAnswer {
    pub image: Option<PutImage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutImage {
    pub repository_name: Option<String>,
    pub image_id: Option<PutImageId>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutImageId {
    pub image_digest: Option<String>,
    pub image_tag: Option<String>,
}

/// A change of one tag, or the caller of one push, as an event reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagEvent {
    Pushed(Push),
    Deleted { repository: RepositoryName, tag: ImageTag },
    Attributed(CloudTrailCall),
}

/// The reasons to ignore an event. None of them is an error, because such events arrive every day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("it comes from another account or region: {account}, {region}")]
    Foreign { account: String, region: String },
    #[error("it is neither a successful push nor a deletion")]
    NotOfATag,
    #[error("it has no tag: a part of an image index")]
    Untagged,
    #[error("its repository, digest or tag is not valid: {0}")]
    Unreadable(String),
    #[error("its time {0:?} is not valid: the sweep finds the push within the hour")]
    NoTime(String),
    #[error("Stablepin does not keep the deleted tag")]
    Deleted,
    #[error("the call failed, or nobody signed it")]
    NoCaller,
    #[error("the call was our own")]
    OwnCall,
    #[error("its push is not known yet")]
    NothingCalled,
    #[error(transparent)]
    NoBuild(#[from] NoBuild),
}

impl EcrEvent {
    /// Converts the event to a tag event, without any AWS call.
    pub fn tag_event(&self, location: &StackLocation) -> Result<TagEvent, Ignored> {
        if !location.sent(self.account.as_deref(), self.region.as_deref()) {
            let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "not said".to_owned());
            return Err(Ignored::Foreign { account: said(&self.account), region: said(&self.region) });
        }
        let detail = &self.detail;
        if detail.event_name.is_some() {
            return self.attributed();
        }
        let said = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        // ECR sends no push event for an image that its replication copies into this registry.
        let is_copied = said(&detail.action_type, "REPLICATE");
        let pushed = is_copied || said(&detail.action_type, "PUSH");
        let deleted = said(&detail.action_type, "DELETE");
        if !(pushed || deleted) || !said(&detail.result, "SUCCESS") {
            return Err(Ignored::NotOfATag);
        }
        let tag = detail.image_tag.as_deref().unwrap_or_default();
        if tag.is_empty() {
            return Err(Ignored::Untagged);
        }
        let unreadable = |error: stablepin_rules::name::InvalidName| Ignored::Unreadable(error.to_string());
        let repository = RepositoryName::parse(detail.repository_name.as_deref().unwrap_or_default())
            .map_err(unreadable)?;
        let tag = ImageTag::parse(tag).map_err(unreadable)?;
        if deleted {
            return Ok(TagEvent::Deleted { repository, tag });
        }
        let digest = ImageDigest::parse(detail.image_digest.as_deref().unwrap_or_default());
        let at = self.time.parse().map_err(|_| Ignored::NoTime(one_line(&self.time, LONGEST_TIME)))?;
        let digest = digest.map_err(unreadable)?;
        let push = Push { at, repository, digest, tag, run: None, is_copied };
        if push.tag.is_a_referrers() {
            return Err(Ignored::NoBuild(NoBuild::Artifact));
        }
        Ok(TagEvent::Pushed(push))
    }

    /// Converts a CloudTrail event of `PutImage`. CloudTrail also logs a push over the registry
    /// protocol as `PutImage`.
    fn attributed(&self) -> Result<TagEvent, Ignored> {
        let detail = &self.detail;
        let arn = detail.user_identity.as_ref().and_then(|identity| identity.arn.as_deref());
        let image = detail.response_elements.as_ref().and_then(|answer| answer.image.as_ref());
        let (Some("PutImage"), None, Some(arn), Some(image)) =
            (detail.event_name.as_deref(), &detail.error_code, arn, image)
        else {
            return Err(Ignored::NoCaller);
        };
        if !arn.starts_with("arn:") || arn.len() > LONGEST_ARN || !arn.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Ignored::NoCaller);
        }
        let id = image.image_id.as_ref();
        let tag = id.and_then(|id| id.image_tag.as_deref()).unwrap_or_default();
        if tag.is_empty() {
            return Err(Ignored::Untagged);
        }
        let unreadable = |error: stablepin_rules::name::InvalidName| Ignored::Unreadable(error.to_string());
        let repository = RepositoryName::parse(image.repository_name.as_deref().unwrap_or_default());
        let digest = ImageDigest::parse(id.and_then(|id| id.image_digest.as_deref()).unwrap_or_default());
        Ok(TagEvent::Attributed(CloudTrailCall {
            repository: repository.map_err(unreadable)?,
            tag: ImageTag::parse(tag).map_err(unreadable)?,
            digest: digest.map_err(unreadable)?,
            // An unreadable time is no reason to ignore the call: Stablepin needs the caller's ARN
            // more than the time.
            caller: Caller { arn: arn.to_owned(), at: self.time.parse().unwrap_or_default() },
        }))
    }
}

/// The longest ARN, in characters.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_User.html>
const LONGEST_ARN: usize = 2048;

/// The most characters of an unreadable time that an error message repeats.
const LONGEST_TIME: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> StackLocation {
        StackLocation { account: "123456789012".to_owned(), region: "us-east-2".to_owned() }
    }

    fn event(tag: &str) -> EcrEvent {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = serde_json::json!({
            "version": "0", "id": "x", "detail-type": "ECR Image Action", "source": "aws.ecr",
            "account": "123456789012", "time": "2026-11-21T10:00:00Z", "region": "us-east-2", "resources": [],
            "detail": {
                "action-type": "PUSH", "result": "SUCCESS", "repository-name": "web", "image-digest": digest,
                "image-tag": tag, "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
                "artifact-media-type": "application/vnd.oci.image.config.v1+json",
            },
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn event_of_a_tagged_image_becomes_a_push() {
        let TagEvent::Pushed(push) = event("main").tag_event(&location()).unwrap() else {
            panic!("it is a push")
        };
        assert_eq!((push.repository.as_str(), push.tag.as_str()), ("web", "main"));
    }

    #[test]
    fn tagger_names_the_reason_for_each_ignored_event() {
        assert_eq!(event("").tag_event(&location()), Err(Ignored::Untagged));
        let signature = format!("sha256-{}.sig", "ab".repeat(32));
        assert_eq!(event(&signature).tag_event(&location()), Err(Ignored::NoBuild(NoBuild::Artifact)));
        let mut scanned = event("main");
        scanned.detail.action_type = Some("SCAN".to_owned());
        assert_eq!(scanned.tag_event(&location()), Err(Ignored::NotOfATag));
    }

    #[test]
    fn replication_event_counts_as_a_push() {
        let text = include_str!("../../../xtask/samples/ecr-image-replication.json");
        let mut replicated: EcrEvent = serde_json::from_str(text).unwrap();
        replicated.region = Some("us-east-2".to_owned());
        let Ok(TagEvent::Pushed(push)) = replicated.tag_event(&location()) else {
            panic!("it is a push: {:?}", replicated.tag_event(&location()))
        };
        assert_eq!((push.repository.as_str(), push.tag.as_str()), ("docker-hub/alpine", "3.17.2"));
        replicated.detail.result = Some("FAILED".to_owned());
        assert_eq!(replicated.tag_event(&location()), Err(Ignored::NotOfATag));
    }

    #[test]
    fn deletion_event_names_the_deleted_tag() {
        let mut deleted = event("prod-stable");
        deleted.detail.action_type = Some("DELETE".to_owned());
        assert!(
            matches!(deleted.tag_event(&location()), Ok(TagEvent::Deleted { tag, .. }) if tag.as_str() == "prod-stable")
        );
    }

    /// The example event of AWS's documentation, with a digest of valid length.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/logging-using-cloudtrail.html>
    fn call() -> serde_json::Value {
        let text = include_str!("../../../xtask/samples/cloudtrail-put-image.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn cloudtrail_event_names_the_caller_of_put_image() {
        let event: EcrEvent = serde_json::from_value(call()).unwrap();
        let Ok(TagEvent::Attributed(call)) = event.tag_event(&location()) else {
            panic!("the caller is known: {:?}", event.tag_event(&location()))
        };
        assert_eq!((call.repository.as_str(), call.tag.as_str()), ("testrepo", "latest"));
        assert_eq!(call.caller.arn, "arn:aws:sts::123456789012:assumed-role/pipeline/build-42");
        assert_eq!(call.caller.at.to_string(), "2019-04-15T16:45:00Z");
    }

    #[test]
    fn tagger_ignores_cloudtrail_calls_without_caller_or_tag() {
        let with = |pointer: &str, value: serde_json::Value| {
            let mut call = call();
            let (at, name) = pointer.rsplit_once('/').unwrap();
            call.pointer_mut(at).unwrap()[name] = value;
            serde_json::from_value::<EcrEvent>(call).unwrap().tag_event(&location())
        };
        let null = serde_json::Value::Null;
        assert_eq!(with("/detail/errorCode", "AccessDenied".into()), Err(Ignored::NoCaller));
        assert_eq!(with("/detail/eventName", "BatchGetImage".into()), Err(Ignored::NoCaller));
        assert_eq!(with("/detail/userIdentity", null.clone()), Err(Ignored::NoCaller));
        assert_eq!(with("/detail/userIdentity/arn", "<b>\n".into()), Err(Ignored::NoCaller));
        assert_eq!(with("/detail/responseElements", null.clone()), Err(Ignored::NoCaller));
        assert_eq!(with("/detail/responseElements/image/imageId/imageTag", null), Err(Ignored::Untagged));
        let tag = "/detail/responseElements/image/imageId/imageTag";
        assert!(matches!(with(tag, "a\r\nb".into()), Err(Ignored::Unreadable(_))));
    }

    #[test]
    fn tagger_ignores_pushes_with_an_unreadable_time() {
        for time in ["", "yesterday", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "1767225600"] {
            let mut pushed = event("main");
            pushed.time = time.to_owned();
            assert_eq!(pushed.tag_event(&location()), Err(Ignored::NoTime(time.to_owned())));
            let mut deleted = event("prod-stable");
            (deleted.time, deleted.detail.action_type) = (time.to_owned(), Some("DELETE".to_owned()));
            assert!(
                matches!(deleted.tag_event(&location()), Ok(TagEvent::Deleted { .. })),
                "a deletion needs no time"
            );
            let mut called: EcrEvent = serde_json::from_value(call()).unwrap();
            called.time = time.to_owned();
            assert!(
                matches!(called.tag_event(&location()), Ok(TagEvent::Attributed(_))),
                "a call needs no time"
            );
        }
    }

    #[test]
    fn tagger_ignores_events_of_other_accounts_and_regions() {
        let mut deleted = event("main");
        deleted.detail.action_type = Some("DELETE".to_owned());
        let called = serde_json::from_value(call()).unwrap();
        for mut event in [event("main"), deleted, called] {
            assert!(event.tag_event(&location()).is_ok());
            for (account, region) in [
                (Some("444455556666"), Some("us-east-2")),
                (Some("123456789012"), Some("us-gov-east-1")),
                (None, Some("us-east-2")),
                (Some("123456789012"), None),
            ] {
                (event.account, event.region) = (account.map(str::to_owned), region.map(str::to_owned));
                let read = event.tag_event(&location());
                assert!(matches!(read, Err(Ignored::Foreign { .. })), "{account:?} {region:?}: {read:?}");
            }
        }
    }

    #[test]
    fn tagger_rejects_hostile_tags_without_a_panic() {
        for tag in ["<script>", "a\nb", "-x", "a b", &"a".repeat(300)] {
            assert!(matches!(event(tag).tag_event(&location()), Err(Ignored::Unreadable(_))), "{tag:?}");
        }
    }
}
