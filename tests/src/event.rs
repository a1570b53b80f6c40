//! Sends events in AWS's format, with any time and as often as a test needs.

use jiff::Timestamp;
use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError};
use xtask::queue;

use crate::{App, stack, unique};

/// A queue that receives the matching events of an EventBridge bus. Dropping the listener deletes
/// the queue.
pub struct Listener<'a> {
    aws: &'a Aws,
    listener: queue::Listener,
}

impl<'a> Listener<'a> {
    #[track_caller]
    pub fn new(aws: &'a Aws, name: &str, bus: &str, pattern: &Value) -> Self {
        let listener = queue::Listener::create(aws, name, bus, pattern).expect("a listener");
        Self { aws, listener }
    }

    /// Returns the events so far, in the order of their arrival.
    #[track_caller]
    pub fn all(&self) -> Vec<Value> {
        self.listener.events(self.aws).expect("the queue answers")
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        // After a failed test, this cleanup may fail too.
        let _ = self.listener.delete(self.aws);
    }
}

/// Puts an event on the default bus in the name of an AWS service. The emulator accepts this call
/// only from its root user.
#[track_caller]
pub fn put_service_event(aws: &Aws, source: &str, detail_type: &str, detail: &Value) {
    let entry = json!({ "Source": source, "DetailType": detail_type, "Detail": detail.to_string() });
    let taken = aws.events("PutServiceEvents", &json!({ "Entries": [entry] })).expect("the bus accepts it");
    assert_eq!(taken["FailedEntryCount"], 0, "{taken}");
}

impl App {
    /// Returns the event that EventBridge delivers after a push of this tag to ECR.
    pub fn push_event(&self, tag: &str, digest: &str, at: Timestamp) -> Value {
        json!({
            "version": "0", "id": unique(), "detail-type": "ECR Image Action", "source": "aws.ecr",
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

    /// Delivers an event to the tagger and waits until the tagger has handled the event.
    #[track_caller]
    pub fn deliver(&self, event: &Value) {
        if self.isolated.is_some() {
            return self.deliver_to_tagger(event);
        }
        self.aws.invoke(stack().variable("STABLEPIN_TAGGER_FUNCTION"), event).expect("the tagger runs");
    }

    /// Runs one tick of the promoter's schedule. Ignores errors that the promoter returns, since
    /// the work of another test may cause them.
    #[track_caller]
    pub fn tick(&self) {
        if self.isolated.is_some() {
            self.pauses_end();
            self.tick_with_fakes(None, None);
            return;
        }
        match stack().tick() {
            Ok(_) | Err(AwsError::Function { .. }) => {}
            Err(error) => panic!("the tick failed: {error}"),
        }
    }
}
