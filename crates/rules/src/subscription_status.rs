//! Who can be reached by mail: what is subscribed to the topics of secret links, against the approvers' addresses.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::{EnvironmentPolicy, MailAddress};
use crate::name::ApproverName;
use crate::records::{Promotion, Subject};
use crate::transition::is_own;

/// The message attribute that subscriptions filter by: a name is one application's, an address is one mailbox.
pub const ATTRIBUTE: &str = "mail";

/// One subscription of a topic, as SNS lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub topic: String,
    /// None while nobody has confirmed it: SNS names it then.
    pub arn: Option<String>,
    pub protocol: String,
    pub endpoint: String,
}

/// Whether a mail to somebody arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionStatus {
    Confirmed,
    /// Subscribed, and not confirmed: SNS forgets it after two days.
    Pending,
    /// Never subscribed, or gone: unsubscribed by a click, or disabled by SNS.
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

    /// As people read it, after an address.
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

/// What a subscription filters by. Set when it is made: a change takes up to 15 minutes.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>
pub fn filter(mail: &MailAddress) -> String {
    serde_json::json!({ ATTRIBUTE: [mail.lower()] }).to_string()
}

/// What SNS says of a subscription, beside what it lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub filter: Option<String>,
    pub scope: Option<String>,
    /// False: a click on the mail's link confirmed it, and a click ends it. None: SNS does not say.
    pub authenticated: Option<bool>,
}

/// What is wrong with a subscription of a topic with secret links; none: nothing. It is a mailbox, gets its own links and nobody
/// else's, and a click does not end it.
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
        format!("{name} was confirmed by a click, and is ended by one: unsubscribe it, and subscribe it anew")
    })
}

impl Subscription {
    fn name(&self) -> String {
        format!("the {} subscriber {}", self.protocol, self.endpoint)
    }
}

/// The finding about a subscription that is no approver's mailbox; none: it is one. A topic's policy that denies new
/// subscriptions does not end one that is there, so that also a pending one counts: it may still be confirmed.
/// `approvers` are the addresses of all applications' approvers, in lower case.
pub fn unknown_subscriber(subscription: &Subscription, approvers: &BTreeSet<String>) -> Option<String> {
    let name = subscription.name();
    if subscription.protocol != "email" {
        return Some(format!("{name} is not a mailbox, and only approvers' mailboxes belong there"));
    }
    let known = approvers.contains(&subscription.endpoint.to_ascii_lowercase());
    (!known).then(|| format!("{name} is no approver's address in any application"))
}

/// Whether the approvers whom mails reach are too few for the quorum. Unknown: they are not.
pub fn is_unreachable(subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> bool {
    let Some(unreachable) = &promotion.unreachable else { return false };
    let hears = |name: &&ApproverName| {
        (!unreachable.contains_key(*name) || promotion.votes.contains_key(*name))
            && !is_own(subject, policy, promotion, name)
    };
    policy.approval.approvers.iter().filter(hears).count() < usize::from(policy.approval.required)
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
    fn an_address_is_reached_by_its_own_confirmed_subscription() {
        let reach = |list: &[(&str, &str, Option<&str>)]| {
            let list: Vec<_> = list.iter().map(|(a, b, c)| subscription(a, b, *c)).collect();
            SubscriptionStatus::of(&lead(), &list)
        };
        assert_eq!(reach(&[]), SubscriptionStatus::Missing);
        assert_eq!(reach(&[("email", "deputy@example.com", Some("arn"))]), SubscriptionStatus::Missing);
        assert_eq!(reach(&[("sqs", "lead@example.com", Some("arn"))]), SubscriptionStatus::Missing);
        assert_eq!(reach(&[("email", "lead@example.com", None)]), SubscriptionStatus::Pending);
        let both = [("email", "lead@example.com", None), ("email", "lead@example.com", Some("arn"))];
        assert_eq!(reach(&both), SubscriptionStatus::Confirmed, "on any of the topics");
    }

    #[test]
    fn subscribers_that_are_no_approvers_are_found() {
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
    fn a_filter_names_the_one_address() {
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
    fn whoever_gets_the_links_of_others_is_found() {
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
