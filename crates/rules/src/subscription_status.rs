//! The subscriptions of the SNS topics that carry secret links. A comparison with the approvers'
//! mail addresses shows which approvers receive mails.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::MailAddress;

/// The message attribute in the filter policy of each subscription. Its value is the mail address
/// and not the approver's name, because the name is unique only within one application.
pub const ATTRIBUTE: &str = "mail";

/// A topic's subscription, as SNS lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub topic: String,
    /// The subscription's ARN. None until the mailbox's owner confirms the subscription.
    pub arn: Option<String>,
    pub protocol: String,
    pub endpoint: String,
}

/// The subscription status of a mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionStatus {
    Confirmed,
    /// Subscribed but not confirmed. SNS deletes an unconfirmed subscription after two days.
    Pending,
    /// No subscription exists: nobody subscribed the address, a person unsubscribed it by a click,
    /// or SNS disabled it.
    Missing,
}

impl SubscriptionStatus {
    pub fn of(mail: &MailAddress, subscriptions: &[Subscription]) -> Self {
        let own = || subscriptions.iter().filter(|one| one.is_of(mail));
        match (own().any(|one| one.arn.is_some()), own().next()) {
            (true, _) => Self::Confirmed,
            (false, Some(_)) => Self::Pending,
            (false, None) => Self::Missing,
        }
    }

    /// Returns the status as words that continue a sentence after the address.
    pub fn words(self) -> &'static str {
        match self {
            Self::Confirmed => "is subscribed",
            Self::Pending => "has not confirmed the subscription",
            Self::Missing => "is not subscribed",
        }
    }
}

impl Subscription {
    pub fn is_of(&self, mail: &MailAddress) -> bool {
        self.protocol == "email" && self.endpoint.eq_ignore_ascii_case(mail.as_str())
    }
}

/// Returns the filter policy for the subscription of a mailbox. After a change, SNS takes up to 15
/// minutes to apply the new policy.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>
pub fn filter(mail: &MailAddress) -> String {
    serde_json::json!({ ATTRIBUTE: [mail.lower()] }).to_string()
}

/// The attributes of a subscription that SNS does not include in its list of subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub filter: Option<String>,
    pub scope: Option<String>,
    /// True if SNS requires authentication to unsubscribe. False: the subscriber confirmed by a
    /// click in a mail, so a click in a mail can also unsubscribe. None: SNS does not report the
    /// value.
    pub authenticated: Option<bool>,
}

/// Returns the problem of a subscription to a topic that carries secret links. None if the filter
/// lets only the subscriber's own links through, and SNS does not report that a click can
/// unsubscribe the mailbox.
pub fn wrong(subscription: &Subscription, attributes: &Attributes) -> Option<String> {
    let name = subscription.name();
    let parsed: Value =
        attributes.filter.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if parsed.as_object().is_none_or(serde_json::Map::is_empty) {
        return Some(format!("{name} gets everybody's links: it has no filter"));
    }
    let wanted = parsed[ATTRIBUTE].as_array();
    let exact: Option<Vec<&str>> = wanted.and_then(|list| list.iter().map(Value::as_str).collect());
    let by_attributes = attributes.scope.as_deref().is_none_or(|scope| scope == "MessageAttributes");
    let Some(addresses) = exact.filter(|addresses| !addresses.is_empty() && by_attributes) else {
        return Some(format!(
            "{name} may get the links of others, and not its own: its filter does not name its own address as `{ATTRIBUTE}`"
        ));
    };
    let foreign = |address: &&&str| !address.eq_ignore_ascii_case(&subscription.endpoint);
    let others: Vec<&str> = addresses.iter().filter(foreign).copied().collect();
    if !others.is_empty() {
        return Some(format!("{name} gets the links of {}", others.join(", ")));
    }
    (subscription.protocol == "email" && attributes.authenticated == Some(false)).then(|| {
        format!(
            "{name} was confirmed by a click, so a click can end it: unsubscribe it, and subscribe it again"
        )
    })
}

impl Subscription {
    fn name(&self) -> String {
        format!("the {} subscriber {}", self.protocol, self.endpoint)
    }
}

/// Returns the problem of a subscription that is not an approver's mailbox. Pending subscriptions
/// count too: the topic's policy denies only new subscriptions, so the owner may still confirm a
/// pending subscription. `approvers` contains the lower-case addresses of the approvers of all
/// applications.
pub fn unknown_subscriber(subscription: &Subscription, approvers: &BTreeSet<String>) -> Option<String> {
    let name = subscription.name();
    if subscription.protocol != "email" {
        return Some(format!("{name} is not a mailbox, and only approvers' mailboxes may subscribe"));
    }
    let known = approvers.contains(&subscription.endpoint.to_ascii_lowercase());
    (!known).then(|| format!("{name} is no approver's address in any application"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(protocol: &str, endpoint: &str, arn: Option<&str>) -> Subscription {
        Subscription {
            topic: "arn:aws:sns:eu-central-1:111122223333:stablepin-production-approvals".to_owned(),
            arn: arn.map(str::to_owned),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
        }
    }

    fn lead() -> MailAddress {
        MailAddress::parse("Lead@Example.com").unwrap()
    }

    #[test]
    fn address_is_confirmed_only_by_its_own_subscription() {
        let status = |list: &[(&str, &str, Option<&str>)]| {
            let list: Vec<_> = list.iter().map(|(a, b, c)| subscription(a, b, *c)).collect();
            SubscriptionStatus::of(&lead(), &list)
        };
        assert_eq!(status(&[]), SubscriptionStatus::Missing);
        assert_eq!(status(&[("email", "deputy@example.com", Some("arn"))]), SubscriptionStatus::Missing);
        assert_eq!(status(&[("sqs", "lead@example.com", Some("arn"))]), SubscriptionStatus::Missing);
        assert_eq!(status(&[("email", "lead@example.com", None)]), SubscriptionStatus::Pending);
        let both = [("email", "lead@example.com", None), ("email", "lead@example.com", Some("arn"))];
        assert_eq!(status(&both), SubscriptionStatus::Confirmed, "one confirmed subscription is enough");
    }

    #[test]
    fn subscriber_that_is_no_approver_is_reported() {
        let approvers = BTreeSet::from(["lead@example.com".to_owned()]);
        let found = |protocol: &str, endpoint: &str, arn: Option<&str>| {
            unknown_subscriber(&subscription(protocol, endpoint, arn), &approvers)
        };
        for (arn, endpoint) in [(Some("arn"), "lead@example.com"), (None, "Lead@Example.COM")] {
            assert_eq!(found("email", endpoint, arn), None, "{endpoint}");
        }
        for (protocol, endpoint) in [
            ("sqs", "arn:aws:sqs:eu-central-1:111122223333:mails"),
            ("lambda", "arn:aws:lambda:eu-central-1:111122223333:function:mails"),
            ("firehose", "arn:aws:firehose:eu-central-1:111122223333:deliverystream/mails"),
            ("https", "https://example.com/hook"),
            ("sms", "+491701234567"),
            ("email-json", "lead@example.com"),
        ] {
            let said = found(protocol, endpoint, Some("arn")).unwrap();
            assert!(
                said.starts_with(&format!("the {protocol} subscriber {endpoint} is not a mailbox")),
                "{said}"
            );
        }
        for (arn, endpoint) in [
            (Some("arn"), "nosy@example.com"),
            (None, "nosy@example.com"),
            (Some("arn"), "lead@example.com.evil"),
        ] {
            let said = found("email", endpoint, arn).unwrap();
            assert!(said.ends_with("is no approver's address in any application"), "{said}");
        }
    }

    fn attributes(filter: Option<&str>) -> Attributes {
        Attributes { filter: filter.map(str::to_owned), scope: None, authenticated: Some(true) }
    }

    #[test]
    fn filter_policy_contains_only_the_subscribers_address() {
        assert_eq!(filter(&lead()), r#"{"mail":["lead@example.com"]}"#);
        let own = subscription("email", "lead@example.com", Some("arn"));
        let right = attributes(Some(&filter(&lead())));
        assert_eq!(wrong(&own, &right), None);
        let scope = |scope: &str| Attributes { scope: Some(scope.to_owned()), ..right.clone() };
        assert_eq!(wrong(&own, &scope("MessageAttributes")), None);
        assert!(wrong(&own, &scope("MessageBody")).is_some());
        let clicked = Attributes { authenticated: Some(false), ..right.clone() };
        assert!(wrong(&own, &clicked).unwrap().contains("was confirmed by a click"));
        assert_eq!(wrong(&own, &Attributes { authenticated: None, ..right }), None);
    }

    #[test]
    fn subscription_that_gets_links_of_other_approvers_is_reported() {
        let mailbox = subscription("email", "lead@example.com", Some("arn"));
        let said = |filter: Option<&str>| wrong(&mailbox, &attributes(filter)).unwrap_or_default();
        for filter in [None, Some(""), Some("{}"), Some("not JSON"), Some("[]")] {
            assert!(said(filter).ends_with("gets everybody's links: it has no filter"), "{filter:?}");
        }
        for filter in [
            r#"{"mail": []}"#,
            r#"{"mail": "lead@example.com"}"#,
            r#"{"approver": ["lead"]}"#,
            r#"{"mail": [{"exists": true}]}"#,
            r#"{"mail": ["lead@example.com", {"prefix": ""}]}"#,
            r#"{"mail": [{"anything-but": ["x@example.com"]}]}"#,
        ] {
            assert!(said(Some(filter)).contains("may get the links of others"), "{filter}");
        }
        assert_eq!(
            said(Some(r#"{"mail": ["Lead@example.com", "deputy@example.com"]}"#)),
            "the email subscriber lead@example.com gets the links of deputy@example.com"
        );
        let queue = subscription("sqs", "arn:aws:sqs:eu-central-1:111122223333:mails", Some("arn"));
        let own = attributes(Some(&filter(&lead())));
        assert!(wrong(&queue, &own).unwrap().ends_with("gets the links of lead@example.com"));
        assert!(wrong(&queue, &attributes(None)).is_some());
    }
}
