//! Who can be reached by mail: what is subscribed to the topics of secret links, against the approvers' addresses.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::application::{Environment as Policy, MailAddress};
use crate::records::Promotion;

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
pub enum Reach {
    Confirmed,
    /// Subscribed, and not confirmed: SNS forgets it after two days.
    Pending,
    /// Never subscribed, or gone: unsubscribed by a click, or disabled by SNS.
    Missing,
}

impl Reach {
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

/// Whose links a subscriber gets besides its own; none: nobody's. `scope` and `filter` as SNS has them.
pub fn gets_others(subscription: &Subscription, filter: Option<&str>, scope: Option<&str>) -> Option<String> {
    let everybody = || Some(format!("{} gets everybody's links", subscription.name()));
    let parsed: Value = filter.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let wanted = parsed[ATTRIBUTE].as_array();
    let exact: Option<Vec<&str>> = wanted.and_then(|list| list.iter().map(Value::as_str).collect());
    match exact {
        Some(addresses)
            if !addresses.is_empty() && scope.is_none_or(|scope| scope == "MessageAttributes") =>
        {
            let foreign = |address: &&&str| !address.eq_ignore_ascii_case(&subscription.endpoint);
            let first = addresses.iter().find(foreign).filter(|_| subscription.protocol == "email")?;
            Some(format!("{} gets the links of {first}", subscription.name()))
        }
        _ => everybody(),
    }
}

impl Subscription {
    fn name(&self) -> String {
        format!("the {} subscriber {}", self.protocol, self.endpoint)
    }
}

/// Whether the approvers whom mails reach are too few for the quorum. Unknown: they are not.
pub fn is_out_of_reach(policy: &Policy, promotion: &Promotion) -> bool {
    let Some(unreachable) = &promotion.unreachable else { return false };
    let heard = policy
        .approval
        .approvers
        .iter()
        .filter(|name| !unreachable.contains_key(*name) || promotion.votes.contains_key(*name));
    heard.count() < usize::from(policy.approval.required)
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
            Reach::of(&lead(), &list)
        };
        assert_eq!(reach(&[]), Reach::Missing);
        assert_eq!(reach(&[("email", "deputy@example.com", Some("arn"))]), Reach::Missing);
        assert_eq!(reach(&[("sqs", "lead@example.com", Some("arn"))]), Reach::Missing);
        assert_eq!(reach(&[("email", "lead@example.com", None)]), Reach::Pending);
        let both = [("email", "lead@example.com", None), ("email", "lead@example.com", Some("arn"))];
        assert_eq!(reach(&both), Reach::Confirmed, "on any of the topics");
    }

    #[test]
    fn a_filter_names_the_one_address() {
        assert_eq!(filter(&lead()), r#"{"mail":["lead@example.com"]}"#);
        let own = subscription("email", "lead@example.com", Some("arn"));
        assert_eq!(gets_others(&own, Some(&filter(&lead())), None), None);
        assert_eq!(gets_others(&own, Some(&filter(&lead())), Some("MessageAttributes")), None);
    }

    #[test]
    fn whoever_gets_the_links_of_others_is_found() {
        let mailbox = subscription("email", "lead@example.com", Some("arn"));
        let everybody = Some("the email subscriber lead@example.com gets everybody's links".to_owned());
        for filter in [
            None,
            Some(""),
            Some("{}"),
            Some("not JSON"),
            Some(r#"{"mail": []}"#),
            Some(r#"{"mail": "lead@example.com"}"#),
            Some(r#"{"approver": ["lead"]}"#),
            Some(r#"{"mail": [{"exists": true}]}"#),
            Some(r#"{"mail": ["lead@example.com", {"prefix": ""}]}"#),
            Some(r#"{"mail": [{"anything-but": ["x@example.com"]}]}"#),
        ] {
            assert_eq!(gets_others(&mailbox, filter, None), everybody, "{filter:?}");
        }
        let own = filter(&lead());
        assert_eq!(gets_others(&mailbox, Some(&own), Some("MessageBody")), everybody);
        assert_eq!(
            gets_others(&mailbox, Some(r#"{"mail": ["lead@example.com", "deputy@example.com"]}"#), None),
            Some("the email subscriber lead@example.com gets the links of deputy@example.com".to_owned())
        );
        // A person's own bridge: whoever made it named the addresses.
        let queue = subscription("sqs", "arn:aws:sqs:eu-central-1:111122223333:mails", Some("arn"));
        assert_eq!(gets_others(&queue, Some(&own), None), None);
        assert!(gets_others(&queue, None, None).is_some());
    }
}
