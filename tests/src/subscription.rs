//! Subscriptions of queues and mail addresses to SNS topics.

use xtask::aws::Aws;
use xtask::queue::Queue;

/// Creates a queue to which only this topic may send messages.
#[track_caller]
pub fn queue_for(aws: &Aws, name: &str, topic_arn: &str) -> Queue {
    let queue = Queue::create(aws, name).expect("a queue");
    queue.lets_in(aws, "sns", &[topic_arn]).expect("the topic may send to the queue");
    queue
}

/// Subscribes an endpoint to a topic. Returns the subscription's ARN. With a filter, the
/// subscription passes only mails to the listed addresses.
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
