//! Sends events in the format of AWS, with any time and as often as a story needs.

use jiff::Timestamp;
use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError};
use xtask::inbox;

use crate::{App, stack, unique};

/// Returns the event of the schedule.
pub(crate) fn tick_event() -> Value {
    json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} })
}

/// A queue that receives the events of a bus that match a pattern, through a rule as a subscriber
/// has one.
pub struct Listener<'a> {
    aws: &'a Aws,
    name: String,
    bus: String,
    queue: String,
}

impl<'a> Listener<'a> {
    #[track_caller]
    pub fn new(aws: &'a Aws, name: &str, bus: &str, pattern: &Value) -> Self {
        let queue = aws.sqs("CreateQueue", &json!({ "QueueName": name })).expect("a queue");
        let url = queue["QueueUrl"].as_str().expect("its URL").to_owned();
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let rule = json!({ "Name": name, "EventBusName": bus, "EventPattern": pattern.to_string() });
        let rule = aws.events("PutRule", &rule).expect("a rule");
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" },
                "Action": "sqs:SendMessage", "Resource": arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": rule["RuleArn"] } },
            }],
        });
        let set = json!({ "QueueUrl": url, "Attributes": { "Policy": policy.to_string() } });
        aws.sqs("SetQueueAttributes", &set).expect("the rule may send to the queue");
        let target = json!({ "Rule": name, "EventBusName": bus, "Targets": [{ "Id": "queue", "Arn": arn }] });
        aws.events("PutTargets", &target).expect("a target");
        Self { aws, name: name.to_owned(), bus: bus.to_owned(), queue: url }
    }

    /// Returns the events so far, in the order in which they came.
    #[track_caller]
    pub fn all(&self) -> Vec<Value> {
        let bodies = inbox::bodies(self.aws, &self.queue).expect("the queue answers");
        bodies.iter().map(|body| serde_json::from_str(body).expect("an event")).collect()
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        // After a failed story, this cleanup may fail too.
        let rule = json!({ "Rule": self.name, "EventBusName": self.bus, "Ids": ["queue"] });
        let _ = self.aws.events("RemoveTargets", &rule);
        let _ = self.aws.events("DeleteRule", &json!({ "Name": self.name, "EventBusName": self.bus }));
        let _ = self.aws.sqs("DeleteQueue", &json!({ "QueueUrl": self.queue }));
    }
}

/// Puts an AWS service's event on the default bus. The emulator allows this only to its root.
#[track_caller]
pub fn put_service_event(aws: &Aws, source: &str, detail_type: &str, detail: &Value) {
    let entry = json!({ "Source": source, "DetailType": detail_type, "Detail": detail.to_string() });
    let taken = aws.events("PutServiceEvents", &json!({ "Entries": [entry] })).expect("the bus takes it");
    assert_eq!(taken["FailedEntryCount"], 0, "{taken}");
}

impl App {
    /// Returns ECR's event for a pushed tag, as the target of a rule receives it.
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

    /// Gives an event to the tagger and waits until the tagger has handled it.
    #[track_caller]
    pub fn deliver(&self, event: &Value) {
        if self.isolated.is_some() {
            return self.deliver_to_tagger(event);
        }
        self.aws.invoke(stack().variable("STABLEPIN_TAGGER_FUNCTION"), event).expect("the tagger takes it");
    }

    /// Runs the tick of the schedule. Ignores errors, which may come from another story's work.
    #[track_caller]
    pub fn tick(&self) {
        if self.isolated.is_some() {
            self.pauses_end();
            self.tick_with_fakes(None, None);
            return;
        }
        match self.aws.invoke(stack().variable("STABLEPIN_PROMOTER_FUNCTION"), &tick_event()) {
            Ok(_) | Err(AwsError::Function { .. }) => {}
            Err(error) => panic!("the tick failed: {error}"),
        }
    }
}
