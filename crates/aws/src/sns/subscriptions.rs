//! Lists, adds and confirms the subscriptions of a topic.

use stablepin_rules::application::MailAddress;
use stablepin_rules::subscription_status::{Attributes, Subscription, filter};

use super::client::Sns;
use crate::call::{Call, CallError};

/// The text that SNS lists instead of the ARN of an unconfirmed subscription.
const PENDING: &str = "PendingConfirmation";
/// The text that SNS lists instead of the ARN of a deleted subscription.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-delete-subscription-topic.html>
const DELETED: &str = "Deleted";

/// The codes with which SNS rejects the parameters of a request. SNS sends them without the suffix
/// `Exception`, but the API's model has the suffix.
const REFUSED: [&str; 4] = ["InvalidParameter", "InvalidParameterException", "NotFound", "NotFoundException"];

/// The result of [`Sns::subscribe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// SNS has mailed a confirmation request.
    Requested,
    /// The topic has as many filter policies as SNS allows.
    TopicFull,
    /// The mailbox already has a subscription with other attributes.
    Differently,
}

impl Sns {
    /// Lists all subscriptions of a topic, with every protocol.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html>
    pub async fn subscriptions(&self, topic_arn: &str) -> Result<Vec<Subscription>, CallError> {
        let call = Call::new("ListSubscriptionsByTopic", format!("list the subscriptions of {topic_arn}"));
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let answer = self
                .client
                .list_subscriptions_by_topic()
                .topic_arn(topic_arn)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            for subscription in answer.subscriptions.unwrap_or_default() {
                let arn = subscription.subscription_arn.unwrap_or_default();
                if arn != DELETED {
                    found.push(Subscription {
                        topic: topic_arn.to_owned(),
                        arn: (arn != PENDING).then_some(arn),
                        protocol: subscription.protocol.unwrap_or_default(),
                        endpoint: subscription.endpoint.unwrap_or_default(),
                    });
                }
            }
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// The policy of a topic as JSON.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html>
    pub async fn topic_policy(&self, topic_arn: &str) -> Result<Option<String>, CallError> {
        let call = Call::new("GetTopicAttributes", format!("read the policy of {topic_arn}"));
        let answer = self.client.get_topic_attributes().topic_arn(topic_arn).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        Ok(answer.attributes.unwrap_or_default().remove("Policy"))
    }

    /// Reads the attributes of a subscription. Returns `None` if the subscription was deleted after
    /// it was listed.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html>
    pub async fn attributes_of(&self, subscription_arn: &str) -> Result<Option<Attributes>, CallError> {
        let call =
            Call::new("GetSubscriptionAttributes", format!("read the subscription {subscription_arn}"));
        let answer =
            self.client.get_subscription_attributes().subscription_arn(subscription_arn).send().await;
        let answer = call.none_if(&["NotFound"], answer)?;
        Ok(answer.map(|answer| {
            let mut attributes = answer.attributes.unwrap_or_default();
            let authenticated = attributes.remove("ConfirmationWasAuthenticated");
            Attributes {
                filter: attributes.remove("FilterPolicy"),
                scope: attributes.remove("FilterPolicyScope"),
                authenticated: authenticated.and_then(|text| text.parse().ok()),
            }
        }))
    }

    /// Subscribes a mailbox and sets its filter in the same call. Without the filter, the mailbox
    /// could first get mails to other approvers. SNS mails a confirmation request on every call.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html>
    pub async fn subscribe(&self, topic_arn: &str, mail: &MailAddress) -> Result<Subscribed, CallError> {
        let call = Call::new("Subscribe", format!("subscribe {mail} to {topic_arn}"));
        let answer = self
            .client
            .subscribe()
            .topic_arn(topic_arn)
            .protocol("email")
            .endpoint(mail.as_str())
            .attributes("FilterPolicy", filter(mail))
            .send()
            .await;
        let Err(error) = answer else { return Ok(Subscribed::Requested) };
        let failed = call.failed(error);
        match failed.code() {
            Some("FilterPolicyLimitExceeded") => Ok(Subscribed::TopicFull),
            Some(code) if REFUSED.contains(&code) => Ok(Subscribed::Differently),
            _ => Err(failed),
        }
    }

    /// Confirms a subscription, so that only a signed request can end it. A mail scanner that
    /// follows the link at the end of a mail then cannot unsubscribe the reader. Returns false for
    /// an invalid token, a used token, a token of another topic, and a token older than 3 days.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html>
    pub async fn confirm(&self, topic_arn: &str, token: &str) -> Result<bool, CallError> {
        let call = Call::new("ConfirmSubscription", format!("confirm a subscription to {topic_arn}"));
        let request = self.client.confirm_subscription().topic_arn(topic_arn).token(token);
        let answer = request.authenticate_on_unsubscribe("true").send().await;
        Ok(call.none_if(&REFUSED, answer)?.is_some())
    }
}
