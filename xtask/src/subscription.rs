//! Subscriptions to SNS topics.

use crate::aws::{Aws, xml_text};
use anyhow::{Context, Result};
use serde_json::json;

/// Subscribes an endpoint to a topic. Returns the subscription's ARN. With a filter, SNS sends only
/// the mails for the filter's addresses.
pub fn subscribe(
    aws: &Aws,
    topic: &str,
    protocol: &str,
    endpoint: &str,
    filter: Option<&[String]>,
) -> Result<String> {
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
    let answer = aws.query("sns", &request).with_context(|| format!("cannot subscribe {endpoint}"))?;
    xml_text(&answer, "SubscriptionArn").context("a subscription has no ARN")
}
