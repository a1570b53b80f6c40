//! Queues of the local cloud, and their messages.

use crate::aws::{Aws, AwsError};
use crate::cloud::ACCOUNT;
use crate::inbox;
use anyhow::{Context, Result};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Queue {
    pub url: String,
    pub arn: String,
}

impl Queue {
    /// Creates a queue. A repeated call changes nothing.
    pub fn create(aws: &Aws, name: &str) -> Result<Self> {
        let answer = aws.sqs("CreateQueue", &json!({ "QueueName": name })).context("cannot make a queue")?;
        let url = answer["QueueUrl"].as_str().context("SQS named no queue URL")?.to_owned();
        Ok(Self { url, arn: format!("arn:aws:sqs:{}:{ACCOUNT}:{name}", aws.region()) })
    }

    /// Allows a service, such as `sns`, to send to the queue on behalf of these resources only. The
    /// emulator enforces IAM, so a service cannot send without the queue's policy.
    pub fn lets_in(&self, aws: &Aws, service: &str, sources: &[&str]) -> Result<()> {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": format!("{service}.amazonaws.com") },
                "Action": "sqs:SendMessage",
                "Resource": self.arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": sources } },
            }],
        });
        let set = json!({ "QueueUrl": self.url, "Attributes": { "Policy": policy.to_string() } });
        aws.sqs("SetQueueAttributes", &set).context("cannot let a service send to the queue")?;
        Ok(())
    }

    pub fn delete(&self, aws: &Aws) -> Result<(), AwsError> {
        aws.sqs("DeleteQueue", &json!({ "QueueUrl": self.url })).map(drop)
    }
}

/// A queue for the events of a bus that match a pattern. The events arrive through an EventBridge
/// rule, as for any subscriber.
#[derive(Clone, Debug)]
pub struct Listener {
    name: String,
    bus: String,
    queue: Queue,
}

impl Listener {
    pub fn create(aws: &Aws, name: &str, bus: &str, pattern: &Value) -> Result<Self> {
        let queue = Queue::create(aws, name)?;
        let rule = json!({ "Name": name, "EventBusName": bus, "EventPattern": pattern.to_string() });
        let rule = aws.events("PutRule", &rule)?;
        queue.lets_in(aws, "events", &[rule["RuleArn"].as_str().context("the rule has no ARN")?])?;
        let target =
            json!({ "Rule": name, "EventBusName": bus, "Targets": [{ "Id": "queue", "Arn": queue.arn }] });
        aws.events("PutTargets", &target)?;
        Ok(Self { name: name.to_owned(), bus: bus.to_owned(), queue })
    }

    /// Returns the events that the queue has received, in order of arrival.
    pub fn events(&self, aws: &Aws) -> Result<Vec<Value>> {
        let bodies = inbox::bodies(aws, &self.queue.url)?;
        let events = bodies.iter().map(|body| serde_json::from_str(body));
        events.collect::<Result<_, _>>().context("a message in the queue is no event")
    }

    pub fn delete(&self, aws: &Aws) -> Result<(), AwsError> {
        let target = json!({ "Rule": self.name, "EventBusName": self.bus, "Ids": ["queue"] });
        aws.events("RemoveTargets", &target)?;
        aws.events("DeleteRule", &json!({ "Name": self.name, "EventBusName": self.bus }))?;
        self.queue.delete(aws)
    }
}
