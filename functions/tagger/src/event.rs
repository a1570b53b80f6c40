//! The event that ECR sends for a push, as far as we read it.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use serde::Deserialize;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    pub time: jiff::Timestamp,
    pub detail: Detail,
}

/// Real events carry more than the documented ones; anything may be absent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Detail {
    pub action_type: Option<String>,
    pub result: Option<String>,
    pub repository_name: Option<String>,
    pub image_digest: Option<String>,
    /// Absent or empty for the children of an index.
    pub image_tag: Option<String>,
}

/// A tag that was pushed on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub at: jiff::Timestamp,
    pub repository: RepositoryName,
    pub digest: ImageDigest,
    pub tag: ImageTag,
}

/// Why an event is no build. None of them is an error: they are the registry's everyday traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("it is not a successful push")]
    NotAPush,
    #[error("it has no tag: a part of an image index")]
    Untagged,
    #[error("it names no repository, digest or tag that can be one: {0}")]
    Unreadable(String),
    #[error("it is a signature, an attestation or another artifact")]
    Artifact,
    #[error("no application takes builds from the repository")]
    NotRegistered,
    #[error("no pattern of the application's `builds` names the tag")]
    NotABuild,
    #[error("the tag was put by Stablepin itself")]
    Ours,
    #[error("the image is not in the registry any more")]
    Gone,
}

impl Event {
    /// The push that it tells of, as far as the event alone can say.
    pub fn push(&self) -> Result<Push, Ignored> {
        let detail = &self.detail;
        let said = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        if !said(&detail.action_type, "PUSH") || !said(&detail.result, "SUCCESS") {
            return Err(Ignored::NotAPush);
        }
        let tag = detail.image_tag.as_deref().unwrap_or_default();
        if tag.is_empty() {
            return Err(Ignored::Untagged);
        }
        let unreadable = |error: stablepin_core::name::InvalidName| Ignored::Unreadable(error.to_string());
        let push = Push {
            at: self.time,
            repository: RepositoryName::parse(detail.repository_name.as_deref().unwrap_or_default())
                .map_err(unreadable)?,
            digest: ImageDigest::parse(detail.image_digest.as_deref().unwrap_or_default())
                .map_err(unreadable)?,
            tag: ImageTag::parse(tag).map_err(unreadable)?,
        };
        if push.tag.is_a_referrers() {
            return Err(Ignored::Artifact);
        }
        Ok(push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tag: &str) -> Event {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = serde_json::json!({
            "version": "0", "id": "x", "detail-type": "ECR Image Action", "source": "aws.ecr",
            "account": "111122223333", "time": "2026-11-21T10:00:00Z", "region": "eu-west-1", "resources": [],
            "detail": {
                "action-type": "PUSH", "result": "SUCCESS", "repository-name": "web", "image-digest": digest,
                "image-tag": tag, "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
                "artifact-media-type": "application/vnd.oci.image.config.v1+json",
            },
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_tagged_image_is_a_push() {
        let push = event("main").push().unwrap();
        assert_eq!((push.repository.as_str(), push.tag.as_str()), ("web", "main"));
    }

    #[test]
    fn everyday_traffic_is_ignored_by_name() {
        assert_eq!(event("").push(), Err(Ignored::Untagged));
        let signature = format!("sha256-{}.sig", "ab".repeat(32));
        assert_eq!(event(&signature).push(), Err(Ignored::Artifact));
        let mut deleted = event("main");
        deleted.detail.action_type = Some("DELETE".to_owned());
        assert_eq!(deleted.push(), Err(Ignored::NotAPush));
    }

    #[test]
    fn hostile_tags_are_unreadable_and_not_a_panic() {
        for tag in ["<script>", "a\nb", "-x", "a b", &"a".repeat(300)] {
            assert!(matches!(event(tag).push(), Err(Ignored::Unreadable(_))), "{tag:?}");
        }
    }
}
