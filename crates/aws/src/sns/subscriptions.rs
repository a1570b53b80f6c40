//! The subscriptions of a topic: listing, subscribing, confirming.

use aws_sdk_sns::error::ProvideErrorMetadata;
use stablepin_rules::application::MailAddress;
use stablepin_rules::subscription_status::{Attributes, Subscription, filter};

use super::{Sns, SnsError};
use crate::failed_call::FailedCall;

/// The texts that SNS lists instead of an ARN: before a confirmation, and after an unsubscription.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-delete-subscription-topic.html>
const PENDING: &str = "PendingConfirmation";
const DELETED: &str = "Deleted";

#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The token belongs to another topic, was used, is older than 3 days, or is no token.
    #[error("SNS does not take this token")]
    Refused,
    #[error(transparent)]
    Sns(#[from] SnsError),
}

impl Sns {
    /// Lists all subscriptions of a topic, of every protocol.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html>
    pub async fn subscriptions(&self, topic_arn: &str) -> Result<Vec<Subscription>, SnsError> {
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
                .map_err(|error| failed("ListSubscriptionsByTopic", topic_arn, FailedCall::new(error)))?;
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

    /// The JSON of a topic's policy.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html>
    pub async fn topic_policy(&self, topic_arn: &str) -> Result<Option<String>, SnsError> {
        let answer = self.client.get_topic_attributes().topic_arn(topic_arn).send().await;
        let answer =
            answer.map_err(|error| failed("GetTopicAttributes", topic_arn, FailedCall::new(error)))?;
        Ok(answer.attributes.unwrap_or_default().remove("Policy"))
    }

    /// Reads the attributes of a subscription. Returns `None` if the subscription was deleted
    /// meanwhile.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_GetSubscriptionAttributes.html>
    pub async fn attributes_of(&self, subscription_arn: &str) -> Result<Option<Attributes>, SnsError> {
        let answer =
            self.client.get_subscription_attributes().subscription_arn(subscription_arn).send().await;
        match answer {
            Ok(answer) => {
                let mut attributes = answer.attributes.unwrap_or_default();
                Ok(Some(Attributes {
                    filter: attributes.remove("FilterPolicy"),
                    scope: attributes.remove("FilterPolicyScope"),
                    authenticated: attributes
                        .remove("ConfirmationWasAuthenticated")
                        .and_then(|text| text.parse().ok()),
                }))
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(failed("GetSubscriptionAttributes", subscription_arn, FailedCall::new(error))),
        }
    }

    /// Subscribes a mailbox together with its filter. Without the filter, other approvers' mails
    /// would arrive first. SNS mails a confirmation request, also if it sent one before.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html>
    pub async fn subscribe(&self, topic_arn: &str, mail: &MailAddress) -> Result<(), SnsError> {
        let answer = self
            .client
            .subscribe()
            .topic_arn(topic_arn)
            .protocol("email")
            .endpoint(mail.as_str())
            .attributes("FilterPolicy", filter(mail))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_filter_policy_limit_exceeded_exception()) =>
            {
                Err(SnsError::Full { topic: topic_arn.to_owned() })
            }
            // The subscription exists already, with other attributes.
            Err(error) if error.code().is_some_and(refuses) => {
                Err(SnsError::Different { topic: topic_arn.to_owned(), mail: mail.to_string() })
            }
            Err(error) => Err(failed("Subscribe", topic_arn, FailedCall::new(error))),
        }
    }

    /// Confirms a subscription. From then on only a signed request can unsubscribe: a click on the
    /// link at the end of each mail cannot, and neither can a scanner that follows it.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html>
    pub async fn confirm(&self, topic_arn: &str, token: &str) -> Result<(), ConfirmError> {
        let call = self.client.confirm_subscription().topic_arn(topic_arn).token(token);
        match call.authenticate_on_unsubscribe("true").send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(refuses) => Err(ConfirmError::Refused),
            Err(error) => Err(failed("ConfirmSubscription", topic_arn, FailedCall::new(error)).into()),
        }
    }
}

/// Whether SNS refuses the request itself. On the wire the code is `InvalidParameter`; the API's
/// model has a longer name.
fn refuses(code: &str) -> bool {
    matches!(code, "InvalidParameter" | "InvalidParameterException" | "NotFound" | "NotFoundException")
}

fn failed(operation: &'static str, what: &str, source: FailedCall) -> SnsError {
    SnsError::Call { operation, what: what.to_owned(), source }
}
