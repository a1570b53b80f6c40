//! Tests of the notices about approvers who get no mails, and about unknown subscribers.

use insta::assert_snapshot;
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::{Notice, RefusedMail};
use stablepin_rules::subscription_status::SubscriptionStatus;

use super::fixtures::{application, at, lead, promotion, pushed};
use crate::{health, notice};

#[test]
fn refused_mail_notice_says_what_to_correct() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    assert!(notice(&subject, Notice::MailRefused).is_none());
    let second = ApproverName::parse("second").unwrap();
    promotion(&mut subject).mail_refused = Some(RefusedMail {
        approvers: [lead(), second].into(),
        reason: "could not publish to arn:aws:sns:eu-west-1:111122223333:approvals for lead (Publish): \
                 AuthorizationError: f is not authorized to perform: SNS:Publish (HTTP 403)"
            .to_owned(),
        at: at("2025-07-17T14:32:00Z"),
    });
    let told = notice(&subject, Notice::MailRefused).unwrap();
    assert_eq!(told.chat["metadata"]["eventType"], "approval-mail-refused");
    assert_snapshot!(format!("Subject: {}\n\n{}", told.mail.subject, told.mail.body), @"
    Subject: web production: approval mails could not be sent

    production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and SNS refuses the mail to lead, second.

    Why: could not publish to arn:aws:sns:eu-west-1:111122223333:approvals for lead (Publish): AuthorizationError: f is not authorized to perform: SNS:Publish (HTTP 403).

    What to do:
    - Correct what the refusal names, such as the policy or the key of the approvals topic. Stablepin tries the mail again once an hour, until 2025-07-20 14:30 UTC.
    - Until then they can decide by a signed request: POST …/promotions/{id}/decision.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
}

#[test]
fn unreachable_approver_notice_says_what_to_do() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    let second = ApproverName::parse("second").unwrap();
    promotion(&mut subject).unreachable =
        Some([(lead(), SubscriptionStatus::Missing), (second, SubscriptionStatus::Pending)].into());
    let written = notice(&subject, Notice::Unreachable).unwrap();
    assert_snapshot!(format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body), @"
    Subject: web production: approvers cannot be reached

    production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and mails do not reach enough of them.

    Why: lead is not subscribed; second has not confirmed the subscription.

    What to do:
    - Subscribe them: PUT …/approvers/{name}/subscription. They then get the mail about the next push.
    - They can still decide about this build by a signed request: POST …/promotions/{id}/decision.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
    assert_snapshot!(serde_json::to_string_pretty(&written.chat).unwrap(), @r#"
    {
      "content": {
        "description": "production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and mails do not reach enough of them.\n\nWhy: lead is not subscribed; second has not confirmed the subscription.",
        "nextSteps": [
          "Subscribe them: PUT …/approvers/{name}/subscription. They then get the mail about the next push.",
          "They can still decide about this build by a signed request: POST …/promotions/{id}/decision."
        ],
        "textType": "client-markdown",
        "title": "web production: approvers cannot be reached"
      },
      "id": "0198184a-0100-7000-8000-000000000001",
      "metadata": {
        "additionalContext": {
          "application": "web",
          "environment": "production"
        },
        "eventType": "approvers-out-of-reach",
        "summary": "web production: approvers cannot be reached",
        "threadId": "0198184a-0100-7000-8000-000000000001"
      },
      "source": "custom",
      "version": "1.0"
    }
    "#);
}

#[test]
fn subscription_notices_list_the_findings() {
    let web = stablepin_rules::name::ApplicationName::parse("web").unwrap();
    let nosy =
        ["the sqs subscriber arn:aws:sqs:eu-central-1:111122223333:audit gets everybody's links".to_owned()];
    let missing = ["lead is not subscribed".to_owned()];
    let texts: Vec<String> =
        [health(None, &nosy), health(None, &[]), health(Some(&web), &missing), health(Some(&web), &[])]
            .map(|written| {
                let title = &written.chat["content"]["title"];
                assert_eq!(title, &serde_json::json!(written.mail.subject));
                format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body)
            })
            .into();
    assert_snapshot!(texts.join("\n----\n"), @"
    Subject: Stablepin: the approval topics are open to others

    The topics with approval links have subscribers that must not get these links, or let others subscribe or publish. Anybody who reads a link and its code can decide in the approver's name. Anybody who can publish can send approvers mails that look like ours.

    Found:
    - the sqs subscriber arn:aws:sqs:eu-central-1:111122223333:audit gets everybody's links

    What to do:
    - Deny sns:Subscribe in the policy of a topic that lets others subscribe. This does not end existing subscriptions.
    - Deny sns:Publish in the policy of a topic that lets others publish.
    - Unsubscribe the wrong subscribers.
    - Give each approver a subscription of their own: PUT …/approvers/{name}/subscription.
    - Withdraw the open promotions that were mailed meanwhile, and request them again.

    Id: health-Stablepin

    ----
    Subject: Stablepin: the approval topics are closed again

    Every subscriber of the topics with approval links is an approver and gets only their own mails. Nobody else may subscribe or publish.

    Id: health-Stablepin

    ----
    Subject: web: approvers are not subscribed

    Approvers of this application get no mails, so they do not learn that a build waits.

    Found:
    - lead is not subscribed

    What to do:
    - Subscribe them: PUT …/approvers/{name}/subscription, and confirm with the token of SNS's mail.

    Id: health-web

    ----
    Subject: web: every approver is subscribed again

    Every approver gets mails.

    Id: health-web
    ");
}
