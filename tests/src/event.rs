//! Events as AWS would send them, sent as often and for whatever time a story wants.

use jiff::Timestamp;
use serde_json::{Value, json};
use xtask::aws::AwsError;

use crate::{App, stack, unique};

/// The schedule's.
pub(crate) fn tick_event() -> Value {
    json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} })
}

impl App {
    /// ECR's event for a tag that was pushed on a digest, as a rule's target gets it.
    pub fn push_event(&self, tag: &str, digest: &str, at: Timestamp) -> Value {
        json!({
            "version": "0", "id": unique(), "detail-type": "ECR Image Action", "source": "local.ecr",
            "account": "000000000000", "region": "us-east-1", "resources": [],
            "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "detail": {
                "action-type": "PUSH", "result": "SUCCESS",
                "repository-name": self.plan.repository, "image-digest": digest, "image-tag": tag,
                "manifest-media-type": "application/vnd.oci.image.manifest.v1+json",
                "artifact-media-type": "application/vnd.oci.image.config.v1+json",
            },
        })
    }

    /// Gives an event to the tagger, and waits until it has taken it.
    #[track_caller]
    pub fn deliver(&self, event: &Value) {
        if self.aside.is_some() {
            return self.deliver_aside(event);
        }
        self.aws.invoke(stack().variable("STABLEPIN_TAGGER_FUNCTION"), event).expect("the tagger takes it");
    }

    /// What the schedule does every minute. An error of another story's work is not ours.
    #[track_caller]
    pub fn tick(&self) {
        if self.aside.is_some() {
            self.pauses_end();
            self.tick_beside(None, None);
            return;
        }
        match self.aws.invoke(stack().variable("STABLEPIN_PROMOTER_FUNCTION"), &tick_event()) {
            Ok(_) | Err(AwsError::Function { .. }) => {}
            Err(error) => panic!("no tick: {error}"),
        }
    }
}
