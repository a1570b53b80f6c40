//! The SNS topics of secret links. Approvers subscribe to these topics to get their mails.

use futures_util::future::try_join_all;
use stablepin_aws::call::CallError;
use stablepin_aws::sns::Sns;
use stablepin_rules::subscription_status::Subscription;

#[derive(Debug, Clone)]
pub struct Topics {
    pub sns: Sns,
    /// The ARNs of the topics. SNS allows 200 filter policies per topic, so many approvers need
    /// several topics.
    /// <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>
    pub arns: Vec<String>,
}

impl Topics {
    /// Returns the subscriptions of all topics.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, CallError> {
        let lists = try_join_all(self.arns.iter().map(|topic| self.sns.subscriptions(topic))).await?;
        Ok(lists.into_iter().flatten().collect())
    }
}
