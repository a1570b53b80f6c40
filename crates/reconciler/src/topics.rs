//! The topics of secret links: what approvers are subscribed to, and their mails go to.

use futures_util::future::try_join_all;
use stablepin_aws::sns::{Sns, SnsError};
use stablepin_rules::subscription_status::Subscription;

#[derive(Debug, Clone)]
pub struct Topics {
    pub sns: Sns,
    /// SNS takes 200 filter policies a topic: whoever has more approvers has more topics.
    /// <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>
    pub arns: Vec<String>,
}

impl Topics {
    /// Whoever is subscribed to any of them.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, SnsError> {
        let lists = try_join_all(self.arns.iter().map(|topic| self.sns.subscriptions(topic))).await?;
        Ok(lists.into_iter().flatten().collect())
    }
}
