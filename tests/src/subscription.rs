//! Subscriptions of queues and addresses to topics.

use xtask::aws::Aws;
use xtask::queue::Queue;

/// Creates a queue to which only this topic may send.
#[track_caller]
pub fn queue_for(aws: &Aws, name: &str, topic_arn: &str) -> Queue {
    let queue = Queue::create(aws, name).expect("a queue");
    queue.lets_in(aws, "sns", &[topic_arn]).expect("the topic may send to the queue");
    queue
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
    xtask::subscription::subscribe(aws, topic, protocol, endpoint, filter).expect("a subscription")
}

pub fn unsubscribe(aws: &Aws, arn: &str) {
    let request = [("Action", "Unsubscribe"), ("Version", "2010-03-31"), ("SubscriptionArn", arn)];
    let _ = aws.query("sns", &request);
}
