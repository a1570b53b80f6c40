use stablepin_aws::sns::{Sns, Subscribed};
use stablepin_rules::application::{Approver, MailAddress};
use stablepin_rules::name::ApproverName;
use stablepin_rules::subscription_status::{Attributes, Subscription};

use crate::wire::{Wire, bytes, chain, error, xml_error};

const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
     <MessageId>94f20ce6</MessageId></PublishResult></PublishResponse>";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:approvals";

fn mail() -> MailAddress {
    MailAddress::parse("Lead@Example.com").unwrap()
}

fn lead() -> Approver {
    Approver { name: ApproverName::parse("lead").unwrap(), mail: mail(), principals: Vec::new() }
}

/// The parameters of a request, sorted.
fn form(body: &str) -> Vec<(String, String)> {
    let mut sent: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    sent.sort_unstable();
    sent
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    pairs.sort_unstable();
    pairs
}

fn answer(action: &str, content: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{action}Result>{content}</{action}Result></{action}Response>"
    )
}

#[tokio::test]
async fn mail_names_one_approver_in_its_attributes() {
    let wire = Wire::answering([bytes(PUBLISHED)]);
    let id = Sns::new(&wire.session())
        .publish(TOPIC, "Approve web → production?", "https://example.com/?t=token", &lead())
        .await
        .unwrap();
    assert_eq!(id, "94f20ce6");
    let sent = wire.request().body;
    let sent: Vec<_> = sent.split('&').collect();
    for part in [
        "Action=Publish",
        "TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A111122223333%3Aapprovals",
        "Subject=Approve%20web%20-%3E%20production%3F",
        "Message=https%3A%2F%2Fexample.com%2F%3Ft%3Dtoken",
    ] {
        assert!(sent.contains(&part), "{part} in {sent:?}");
    }
    // SNS accepts the attributes in any order.
    let attribute = |n: u8, name: &str, value: &str| {
        let entry = format!("MessageAttributes.entry.{n}");
        [format!("{entry}.Name={name}"), format!("{entry}.Value.StringValue={value}")]
            .iter()
            .all(|part| sent.contains(&part.as_str()))
    };
    for (name, value) in [("approver", "lead"), ("mail", "lead%40example.com")] {
        assert!(attribute(1, name, value) || attribute(2, name, value), "{name} in {sent:?}");
    }
}

#[tokio::test]
async fn error_omits_the_mail_body() {
    for (status, retryable) in [(403, false), (500, true)] {
        let wire = Wire::answering([error(status, "x")]);
        let sns = Sns::new(&wire.session());
        let failed =
            sns.publish(TOPIC, "subject", "https://example.com/?t=token", &lead()).await.unwrap_err();
        assert!(chain(&failed).starts_with(&format!("could not publish to {TOPIC} for lead (Publish)")));
        assert!(!format!("{failed:?}").contains("t=token"), "{failed:?}");
        assert_eq!(failed.is_retryable(), retryable);
    }
}

#[tokio::test]
async fn notification_has_texts_for_chats_and_people() {
    let wire = Wire::answering([bytes(PUBLISHED)]);
    let notification = r#"{"version":"1.0","source":"custom"}"#;
    let id = Sns::new(&wire.session())
        .notify(TOPIC, "web: rolled back\nto pin 3", notification, "Pin 3 is live again.")
        .await
        .unwrap();
    assert_eq!(id, "94f20ce6");
    let sent = wire.request().body;
    let mut sent: Vec<_> = sent.split('&').collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            "Action=Publish",
            "Message=%7B%22default%22%3A%22%7B%5C%22version%5C%22%3A%5C%221.0%5C%22%2C%5C%22source%5C%22%3A\
             %5C%22custom%5C%22%7D%22%2C%22email%22%3A%22Pin%203%20is%20live%20again.%22%7D",
            "MessageStructure=json",
            "Subject=web%3A%20rolled%20back%20to%20pin%203",
            "TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A111122223333%3Aapprovals",
            "Version=2010-03-31",
        ],
        "without the attribute, every subscriber gets it"
    );
}

#[tokio::test]
async fn failed_notification_returns_the_sns_error() {
    for (status, code, retryable) in [
        (403, "AuthorizationError", false),
        (404, "NotFound", false),
        (400, "InvalidParameter", false),
        (400, "KMSAccessDenied", false),
        (400, "Throttling", true),
        (400, "KMSThrottling", true),
        (429, "Throttled", true),
        (500, "InternalError", true),
    ] {
        let wire = Wire::answering([xml_error(status, code)]);
        let failed = Sns::new(&wire.session()).notify(TOPIC, "s", "{}", "mail").await.unwrap_err();
        assert_eq!(
            chain(&failed),
            format!(
                "could not publish a notification to {TOPIC} (Publish): {code}: told by the test (HTTP {status}, request 7f2f)"
            )
        );
        assert_eq!((failed.is_retryable(), failed.is_refusal()), (retryable, !retryable), "{code}");
    }
}

#[tokio::test]
async fn client_lists_all_pages_of_subscriptions() {
    let member = |arn: &str, protocol: &str, endpoint: &str| {
        format!(
            "<member><SubscriptionArn>{arn}</SubscriptionArn><Owner>111122223333</Owner><Protocol>{protocol}</Protocol>\
             <Endpoint>{endpoint}</Endpoint><TopicArn>{TOPIC}</TopicArn></member>"
        )
    };
    let first = member(&format!("{TOPIC}:1"), "email", "lead@example.com")
        + &member("PendingConfirmation", "email", "deputy@example.com");
    let second = member("Deleted", "email", "gone@example.com")
        + &member(&format!("{TOPIC}:2"), "sqs", "arn:aws:sqs:eu-west-1:111122223333:inbox");
    let page = |members: &str, next: &str| {
        answer("ListSubscriptionsByTopic", &format!("<Subscriptions>{members}</Subscriptions>{next}"))
    };
    let wire =
        Wire::answering([bytes(page(&first, "<NextToken>more</NextToken>")), bytes(page(&second, ""))]);
    let found = Sns::new(&wire.session()).subscriptions(TOPIC).await.unwrap();
    let one = |arn: Option<String>, protocol: &str, endpoint: &str| Subscription {
        topic: TOPIC.to_owned(),
        arn,
        protocol: protocol.to_owned(),
        endpoint: endpoint.to_owned(),
    };
    assert_eq!(
        found,
        [
            one(Some(format!("{TOPIC}:1")), "email", "lead@example.com"),
            one(None, "email", "deputy@example.com"),
            one(Some(format!("{TOPIC}:2")), "sqs", "arn:aws:sqs:eu-west-1:111122223333:inbox"),
        ]
    );
    let sent: Vec<_> = wire.requests().iter().map(|request| form(&request.body)).collect();
    let list = [("Action", "ListSubscriptionsByTopic"), ("TopicArn", TOPIC), ("Version", "2010-03-31")];
    assert_eq!(sent, [pairs(&list), pairs(&[&list[..], &[("NextToken", "more")]].concat())]);
}

#[tokio::test]
async fn client_reads_topic_policy_from_attributes() {
    let attributes =
        |entries: &str| bytes(answer("GetTopicAttributes", &format!("<Attributes>{entries}</Attributes>")));
    let policy = "<entry><key>Policy</key><value>{&quot;Statement&quot;:[]}</value></entry>";
    let owner = "<entry><key>Owner</key><value>111122223333</value></entry>";
    let wire = Wire::answering([
        attributes(&(owner.to_owned() + policy)),
        attributes(owner),
        xml_error(403, "AuthorizationError"),
    ]);
    let sns = Sns::new(&wire.session());
    assert_eq!(sns.topic_policy(TOPIC).await.unwrap().as_deref(), Some(r#"{"Statement":[]}"#));
    assert_eq!(sns.topic_policy(TOPIC).await.unwrap(), None);
    let denied = sns.topic_policy(TOPIC).await.unwrap_err();
    let text = format!("could not read the policy of {TOPIC} (GetTopicAttributes): AuthorizationError");
    assert!(chain(&denied).starts_with(&text), "{}", chain(&denied));
    let asked = [("Action", "GetTopicAttributes"), ("TopicArn", TOPIC), ("Version", "2010-03-31")];
    assert_eq!(form(&wire.requests()[0].body), pairs(&asked));
}

#[tokio::test]
async fn client_reads_filter_policy_from_attributes() {
    let attributes = |entries: &str| {
        bytes(answer("GetSubscriptionAttributes", &format!("<Attributes>{entries}</Attributes>")))
    };
    let entry = |key: &str, value: &str| format!("<entry><key>{key}</key><value>{value}</value></entry>");
    let wire = Wire::answering([
        attributes(
            &(entry("FilterPolicy", "{&quot;mail&quot;:[&quot;lead@example.com&quot;]}")
                + &entry("FilterPolicyScope", "MessageAttributes")
                + &entry("ConfirmationWasAuthenticated", "false")),
        ),
        attributes(&entry("Protocol", "email")),
        xml_error(404, "NotFound"),
        xml_error(403, "AuthorizationError"),
    ]);
    let sns = Sns::new(&wire.session());
    let filtered = sns.attributes_of("arn:1").await.unwrap().unwrap();
    assert_eq!(filtered.filter.as_deref(), Some(r#"{"mail":["lead@example.com"]}"#));
    assert_eq!(filtered.scope.as_deref(), Some("MessageAttributes"));
    assert_eq!(filtered.authenticated, Some(false));
    assert_eq!(sns.attributes_of("arn:2").await.unwrap(), Some(Attributes::default()));
    assert_eq!(sns.attributes_of("arn:3").await.unwrap(), None, "a deleted subscription has no attributes");
    let denied = sns.attributes_of("arn:4").await.unwrap_err();
    let text = "could not read the subscription arn:4 (GetSubscriptionAttributes): AuthorizationError";
    assert!(chain(&denied).starts_with(text), "{}", chain(&denied));
}

#[tokio::test]
async fn client_subscribes_mailbox_and_sets_filter_in_one_call() {
    let wire = Wire::answering([
        bytes(answer("Subscribe", "<SubscriptionArn>pending confirmation</SubscriptionArn>")),
        xml_error(403, "FilterPolicyLimitExceeded"),
        xml_error(400, "InvalidParameter"),
    ]);
    let sns = Sns::new(&wire.session());
    assert_eq!(sns.subscribe(TOPIC, &mail()).await.unwrap(), Subscribed::Requested);
    let expected = [
        ("Action", "Subscribe"),
        ("Version", "2010-03-31"),
        ("TopicArn", TOPIC),
        ("Protocol", "email"),
        ("Endpoint", "Lead@Example.com"),
        ("Attributes.entry.1.key", "FilterPolicy"),
        ("Attributes.entry.1.value", r#"{"mail":["lead@example.com"]}"#),
    ];
    assert_eq!(form(&wire.request().body), pairs(&expected));
    assert_eq!(sns.subscribe(TOPIC, &mail()).await.unwrap(), Subscribed::TopicFull);
    assert_eq!(sns.subscribe(TOPIC, &mail()).await.unwrap(), Subscribed::Differently);
}

/// A mail scanner may follow the unsubscribe link in a mail. The approver must stay subscribed.
#[tokio::test]
async fn confirmation_prevents_unsubscribing_by_link() {
    let wire = Wire::answering([
        bytes(answer("ConfirmSubscription", "<SubscriptionArn>arn:1</SubscriptionArn>")),
        xml_error(400, "InvalidParameter"),
        xml_error(403, "AuthorizationError"),
    ]);
    let sns = Sns::new(&wire.session());
    assert!(sns.confirm(TOPIC, "2336412f37").await.unwrap());
    let expected = [
        ("Action", "ConfirmSubscription"),
        ("Version", "2010-03-31"),
        ("TopicArn", TOPIC),
        ("Token", "2336412f37"),
        ("AuthenticateOnUnsubscribe", "true"),
    ];
    assert_eq!(form(&wire.request().body), pairs(&expected));
    assert!(!sns.confirm(TOPIC, "wrong").await.unwrap());
    assert!(sns.confirm(TOPIC, "2336412f37").await.unwrap_err().is_refusal());
}
