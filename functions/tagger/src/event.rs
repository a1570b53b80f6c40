//! The event that ECR sends for a push or a deletion, as far as we read it.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use serde::Deserialize;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_driver::push::{NoBuild, Push};

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

/// What an event tells of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Pushed(Push),
    Deleted { repository: RepositoryName, tag: ImageTag },
}

/// Why an event tells of nothing. None of them is an error: they are the registry's everyday traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    #[error("it is neither a successful push nor a deletion")]
    NotOfATag,
    #[error("it has no tag: a part of an image index")]
    Untagged,
    #[error("it names no repository, digest or tag that can be one: {0}")]
    Unreadable(String),
    #[error("the tag that was deleted is none that is kept")]
    Deleted,
    #[error(transparent)]
    NoBuild(#[from] NoBuild),
}

impl Event {
    /// What it tells, as far as the event alone can say.
    pub fn told(&self) -> Result<Told, Ignored> {
        let detail = &self.detail;
        let said = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        let (pushed, deleted) = (said(&detail.action_type, "PUSH"), said(&detail.action_type, "DELETE"));
        if !(pushed || deleted) || !said(&detail.result, "SUCCESS") {
            return Err(Ignored::NotOfATag);
        }
        let tag = detail.image_tag.as_deref().unwrap_or_default();
        if tag.is_empty() {
            return Err(Ignored::Untagged);
        }
        let unreadable = |error: stablepin_core::name::InvalidName| Ignored::Unreadable(error.to_string());
        let repository = RepositoryName::parse(detail.repository_name.as_deref().unwrap_or_default())
            .map_err(unreadable)?;
        let tag = ImageTag::parse(tag).map_err(unreadable)?;
        if deleted {
            return Ok(Told::Deleted { repository, tag });
        }
        let digest = ImageDigest::parse(detail.image_digest.as_deref().unwrap_or_default());
        let push = Push { at: self.time, repository, digest: digest.map_err(unreadable)?, tag };
        if push.tag.is_a_referrers() {
            return Err(Ignored::NoBuild(NoBuild::Artifact));
        }
        Ok(Told::Pushed(push))
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
        let Told::Pushed(push) = event("main").told().unwrap() else { panic!("it was pushed") };
        assert_eq!((push.repository.as_str(), push.tag.as_str()), ("web", "main"));
    }

    #[test]
    fn everyday_traffic_is_ignored_by_name() {
        assert_eq!(event("").told(), Err(Ignored::Untagged));
        let signature = format!("sha256-{}.sig", "ab".repeat(32));
        assert_eq!(event(&signature).told(), Err(Ignored::NoBuild(NoBuild::Artifact)));
        let mut scanned = event("main");
        scanned.detail.action_type = Some("SCAN".to_owned());
        assert_eq!(scanned.told(), Err(Ignored::NotOfATag));
    }

    #[test]
    fn a_deletion_tells_of_its_tag() {
        let mut deleted = event("prod-stable");
        deleted.detail.action_type = Some("DELETE".to_owned());
        assert!(matches!(deleted.told(), Ok(Told::Deleted { tag, .. }) if tag.as_str() == "prod-stable"));
    }

    #[test]
    fn hostile_tags_are_unreadable_and_not_a_panic() {
        for tag in ["<script>", "a\nb", "-x", "a b", &"a".repeat(300)] {
            assert!(matches!(event(tag).told(), Err(Ignored::Unreadable(_))), "{tag:?}");
        }
    }
}
