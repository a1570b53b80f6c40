//! The events that ECR sends to EventBridge.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use serde_json::{Value, json};

use super::images::Digest;
use super::world::EcrWorld;

impl EcrWorld {
    fn event(&mut self, kind: &str, detail: Value) {
        let event = json!({
            "version": "0",
            "id": self.clock.uuid(),
            "detail-type": kind,
            "source": "aws.ecr",
            "account": self.account,
            "time": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.region,
            "resources": [],
            "detail": detail,
        });
        self.events.push(event);
    }

    /// Records a push event. A push without a tag has an event with an empty tag, as in ECR.
    pub(super) fn tell_of_push(&mut self, repository: &str, digest: &Digest, tag: &str) {
        let mut detail = detail(repository, digest, "PUSH");
        detail["image-tag"] = tag.into();
        let kind = self.with_types(repository, digest, &mut detail);
        self.event(kind, detail);
    }

    /// Records a delete event. ECR's delete events contain no media types.
    pub(super) fn tell_of_delete(&mut self, repository: &str, digest: &Digest, tag: &str) {
        let mut detail = detail(repository, digest, "DELETE");
        detail["image-tag"] = tag.into();
        self.event("ECR Image Action", detail);
    }

    /// Records the event of a storage class change. Assumption: the event contains the time of a
    /// restore as text.
    pub(super) fn tell_of_storage_class(&mut self, repository: &str, digest: &Digest, class: &str) {
        let mut detail = detail(repository, digest, "UPDATE_STORAGE_CLASS");
        detail["target-storage-class"] = class.into();
        let kind = self.with_types(repository, digest, &mut detail);
        if class == "STANDARD" {
            detail["last-activated-at"] = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        }
        self.event(kind, detail);
    }

    /// Adds the media types to the event's detail. Returns the detail type, which is different for
    /// referrers.
    fn with_types(&self, repository: &str, digest: &Digest, detail: &mut Value) -> &'static str {
        let image = &self.repositories[repository].images[digest];
        detail["manifest-media-type"] = (*image.media_type).into();
        // Assumption: the event of an image index contains no artifact type.
        if let Some(artifact) = &image.artifact {
            detail["artifact-media-type"] = (**artifact).into();
        }
        if image.subject.is_some() { "ECR Referrer Action" } else { "ECR Image Action" }
    }
}

fn detail(repository: &str, digest: &Digest, action: &str) -> Value {
    json!({
        "result": "SUCCESS",
        "repository-name": repository,
        "image-digest": &**digest,
        "action-type": action,
    })
}
