//! What changed in the registry, as ECR's events tell it.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Event, pages};
use crate::aws::{Aws, AwsError};

pub(super) const SOURCE: &str = "local.ecr";

/// Images by repository, oldest first, as ECR lists them.
pub(super) type Repositories = BTreeMap<String, Vec<Image>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    digest: String,
    tags: Vec<String>,
    manifest_media_type: String,
}

/// One action on one name of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    action: Action,
    repository: String,
    digest: String,
    /// Empty for an image without a tag, as in AWS's events.
    tag: String,
    manifest_media_type: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Push,
    Delete,
}

pub(super) fn look(aws: &Aws) -> Result<Repositories, AwsError> {
    let call = |action: &str, body: Value| aws.ecr(action, &body);
    let mut repositories = Repositories::new();
    for repository in pages(call, "DescribeRepositories", json!({}), "repositories")? {
        let Some(name) = repository["repositoryName"].as_str() else { continue };
        let images = match pages(call, "DescribeImages", json!({ "repositoryName": name }), "imageDetails") {
            Ok(images) => images,
            // Deleted since it was listed.
            Err(error) if error.is("RepositoryNotFoundException") => continue,
            Err(error) => return Err(error),
        };
        repositories.insert(name.to_owned(), images.iter().filter_map(Image::described).collect());
    }
    Ok(repositories)
}

impl Image {
    fn described(image: &Value) -> Option<Self> {
        let tags = image["imageTags"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            digest: image["imageDigest"].as_str()?.to_owned(),
            tags: tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            manifest_media_type: image["imageManifestMediaType"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// What was pushed, retagged, untagged and deleted between two looks.
///
/// A tag that moves is a push of the digest that it moves to, and nothing for the one that it
/// leaves. A repository that is gone takes its images along without a word: AWS documents no event
/// for that.
pub(super) fn changes(before: &Repositories, after: &Repositories) -> Vec<Change> {
    let mut changes = Vec::new();
    for (repository, images) in after {
        let old = before.get(repository).map(Vec::as_slice).unwrap_or_default();
        let change = |action, image: &Image, tag: &str| Change {
            action,
            repository: repository.clone(),
            digest: image.digest.clone(),
            tag: tag.to_owned(),
            manifest_media_type: image.manifest_media_type.clone(),
        };

        let digests: BTreeSet<_> = images.iter().map(|image| &image.digest).collect();
        let tags: BTreeSet<_> = images.iter().flat_map(|image| &image.tags).collect();
        for image in old {
            for tag in image.tags.iter().filter(|tag| !tags.contains(tag)) {
                changes.push(change(Action::Delete, image, tag));
            }
            if image.tags.is_empty() && !digests.contains(&image.digest) {
                changes.push(change(Action::Delete, image, ""));
            }
        }

        let old_digests: BTreeSet<_> = old.iter().map(|image| &image.digest).collect();
        let old_tags: BTreeMap<_, _> =
            old.iter().flat_map(|image| image.tags.iter().map(|tag| (tag, &image.digest))).collect();
        for image in images {
            if image.tags.is_empty() && !old_digests.contains(&image.digest) {
                changes.push(change(Action::Push, image, ""));
            }
            for tag in image.tags.iter().filter(|tag| old_tags.get(tag) != Some(&&image.digest)) {
                changes.push(change(Action::Push, image, tag));
            }
        }
    }
    changes
}

impl Change {
    /// The event of this change. What was pushed is read from its manifest: MiniStack reports the
    /// manifest's type as the artifact's.
    pub(super) fn event(&self, aws: &Aws, at: Timestamp) -> Result<Event, AwsError> {
        let manifest = match self.action {
            Action::Push => self.manifest(aws)?,
            Action::Delete => Value::Null,
        };
        Ok(self.event_of(&manifest, at))
    }

    fn manifest(&self, aws: &Aws) -> Result<Value, AwsError> {
        let ask = json!({ "repositoryName": self.repository, "imageIds": [{ "imageDigest": self.digest }] });
        let answer = match aws.ecr("BatchGetImage", &ask) {
            Err(error) if error.is("RepositoryNotFoundException") => return Ok(Value::Null),
            other => other?,
        };
        let manifest = answer["images"][0]["imageManifest"].as_str().unwrap_or_default();
        // Anything can be pushed, and a push of nonsense is a push.
        Ok(serde_json::from_str(manifest).unwrap_or_default())
    }

    fn event_of(&self, manifest: &Value, at: Timestamp) -> Event {
        let mut detail = json!({
            "result": "SUCCESS",
            "repository-name": self.repository,
            "image-digest": self.digest,
            "action-type": match self.action { Action::Push => "PUSH", Action::Delete => "DELETE" },
            "image-tag": self.tag,
        });
        if self.action == Action::Push {
            detail["manifest-media-type"] = self.manifest_media_type.as_str().into();
            let artifact =
                manifest["artifactType"].as_str().or_else(|| manifest["config"]["mediaType"].as_str());
            // An index has neither, and no capture tells what AWS sends then: left out.
            if let Some(artifact) = artifact {
                detail["artifact-media-type"] = artifact.into();
            }
        }
        // A signature, an SBOM, an attestation has its own kind of event.
        let detail_type =
            if manifest["subject"].is_object() { "ECR Referrer Action" } else { "ECR Image Action" };
        Event { source: SOURCE, detail_type, resources: Vec::new(), at, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::event::sample::assert_shaped_like, *};
    use crate::image::{CONFIG, MANIFEST};

    const FIXED: &[&str] = &["result", "action-type"];

    fn image(digest: &str, tags: &[&str]) -> Image {
        Image {
            digest: digest.into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            manifest_media_type: MANIFEST.into(),
        }
    }

    fn web(images: &[Image]) -> Repositories {
        BTreeMap::from([("web".into(), images.to_vec())])
    }

    fn told(before: &Repositories, after: &Repositories) -> Vec<String> {
        let line = |change: Change| format!("{:?} {}:{}", change.action, change.digest, change.tag);
        changes(before, after).into_iter().map(line).collect()
    }

    #[test]
    fn every_new_name_is_a_push() {
        let before = web(&[image("a", &["main"])]);
        let after = web(&[image("a", &[]), image("child", &[]), image("b", &["main", "v2"])]);
        assert_eq!(told(&before, &after), ["Push child:", "Push b:main", "Push b:v2"]);
        assert_eq!(told(&BTreeMap::new(), &before), ["Push a:main"]);
    }

    #[test]
    fn a_retag_of_a_known_image_is_a_push() {
        let before = web(&[image("a", &["main"]), image("b", &["prod-stable"])]);
        let after = web(&[image("a", &["main", "prod-stable"]), image("b", &[])]);
        assert_eq!(told(&before, &after), ["Push a:prod-stable"]);
        assert_eq!(told(&after, &after), [""; 0]);
    }

    #[test]
    fn untagging_and_deleting_are_deletes() {
        let before = web(&[image("a", &["main", "v1"]), image("child", &[]), image("b", &["v2"])]);
        let after = web(&[image("a", &["main"])]);
        assert_eq!(told(&before, &after), ["Delete a:v1", "Delete child:", "Delete b:v2"]);
        assert_eq!(told(&before, &BTreeMap::new()), [""; 0], "a repository takes its images along");
    }

    fn event(action: Action, tag: &str, manifest: Value) -> Event {
        let change = Change {
            action,
            repository: "web".into(),
            digest: "sha256:ab".into(),
            tag: tag.into(),
            manifest_media_type: MANIFEST.into(),
        };
        change.event_of(&manifest, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn events_are_shaped_as_those_of_aws() {
        let manifest = json!({ "config": { "mediaType": CONFIG } });
        let push = event(Action::Push, "main", manifest.clone());
        assert_shaped_like(&push, include_str!("../../samples/ecr-image-push.json"), FIXED);
        let child = event(Action::Push, "", manifest);
        let also = ["result", "action-type", "image-tag", "artifact-media-type", "manifest-media-type"];
        assert_shaped_like(&child, include_str!("../../samples/ecr-image-push-untagged.json"), &also);
        let delete = event(Action::Delete, "main", Value::Null);
        assert_shaped_like(&delete, include_str!("../../samples/ecr-image-delete.json"), FIXED);
    }

    #[test]
    fn what_refers_to_an_image_is_told_apart() {
        let signature =
            json!({ "artifactType": "application/vnd.example", "subject": { "digest": "sha256:cd" } });
        let event = event(Action::Push, "", signature);
        assert_eq!(event.detail_type, "ECR Referrer Action");
        assert_eq!(event.detail["artifact-media-type"], "application/vnd.example");
    }
}
