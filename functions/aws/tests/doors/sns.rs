use stablepin_aws::sns::Sns;
use stablepin_core::name::ApproverName;

use crate::wire::{Wire, bytes, chain, error, xml_error};

const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
     <MessageId>94f20ce6</MessageId></PublishResult></PublishResponse>";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:approvals";

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

#[tokio::test]
async fn a_mail_names_its_approver_so_that_nobody_else_gets_it() {
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
        "MessageAttributes.entry.1.Name=approver",
        "MessageAttributes.entry.1.Value.DataType=String",
        "MessageAttributes.entry.1.Value.StringValue=lead",
    ] {
        assert!(sent.contains(&part), "{part} in {sent:?}");
    }
}

#[tokio::test]
async fn a_mail_that_was_not_sent_is_not_shown() {
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
async fn a_notification_has_a_text_for_chats_and_one_for_people_and_goes_to_all() {
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
        "nobody's attribute: every subscriber gets it"
    );
}

#[tokio::test]
async fn a_notification_that_was_not_sent_says_so() {
    for (status, code, retryable) in [
        (403, "AuthorizationError", false),
        (404, "NotFound", false),
        (400, "Throttling", true),
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
        assert_eq!(failed.is_retryable(), retryable, "{code}");
    }
}
