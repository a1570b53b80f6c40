use stablepin_aws::sns::Sns;
use stablepin_core::name::ApproverName;

use crate::wire::{Wire, bytes, chain, error};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:approvals";

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

#[tokio::test]
async fn a_mail_names_its_approver_so_that_nobody_else_gets_it() {
    let wire = Wire::answering([bytes(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
         <MessageId>94f20ce6</MessageId></PublishResult></PublishResponse>",
    )]);
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
