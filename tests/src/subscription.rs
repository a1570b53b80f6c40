//! Subscriptions of queues and addresses to topics.

use serde_json::{Value, json};
use xtask::aws::{Aws, xml_text};

/// Lets only this topic send to the queue.
#[track_caller]
pub fn lets_in(aws: &Aws, queue_url: &Value, queue_arn: &str, topic_arn: &str) {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" },
            "Action": "sqs:SendMessage", "Resource": queue_arn,
            "Condition": { "ArnEquals": { "aws:SourceArn": topic_arn } },
        }],
    });
    let set = json!({ "QueueUrl": queue_url, "Attributes": { "Policy": policy.to_string() } });
    aws.sqs("SetQueueAttributes", &set).expect("the topic may send to the queue");
}

/// Subscribes an endpoint and returns the subscription's ARN. The filter passes only mails to these
/// addresses.
#[track_caller]
pub fn subscribe(
    aws: &Aws,
    topic: &str,
    protocol: &str,
    endpoint: &str,
    filter: Option<&[String]>,
) -> String {
    let mut request = vec![
        ("Action", "Subscribe"),
        ("Version", "2010-03-31"),
        ("TopicArn", topic),
        ("Protocol", protocol),
        ("Endpoint", endpoint),
    ];
    let filter = filter.map(|addresses| json!({ "mail": addresses }).to_string());
    if let Some(filter) = &filter {
        request.extend([("Attributes.entry.1.key", "FilterPolicy"), ("Attributes.entry.1.value", filter)]);
    }
    let answer = aws.query("sns", &request).expect("a subscription");
    xml_text(&answer, "SubscriptionArn").expect("a subscription has an ARN")
}

pub fn unsubscribe(aws: &Aws, arn: &str) {
    let request = [("Action", "Unsubscribe"), ("Version", "2010-03-31"), ("SubscriptionArn", arn)];
    let _ = aws.query("sns", &request);
}
