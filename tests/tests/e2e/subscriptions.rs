//! Subscriptions to approval mails: which exist, which should exist, and which mails an approver
//! gets.

use serde_json::{Value, json};
use stablepin_tests::crash::invoke_with;
use stablepin_tests::iam;
use stablepin_tests::server::Connection;
use stablepin_tests::subscription::{queue_for, subscribe, unsubscribe};
use stablepin_tests::{App, Plan, stack, until};
use xtask::aws::{Aws, AwsError, xml_text};
use xtask::image::Spec;

fn sns(aws: &Aws, action: &str, parameters: &[(&str, &str)]) -> String {
    let request = [&[("Action", action), ("Version", "2010-03-31")], parameters].concat();
    aws.query("sns", &request).expect("SNS answers")
}

/// Returns the ARNs of the subscriptions of an endpoint.
fn subscriptions_of(aws: &Aws, endpoint: &str) -> Vec<String> {
    let all = sns(aws, "ListSubscriptionsByTopic", &[("TopicArn", stack().topic())]);
    let members = all.split("<member>").filter(|member| member.contains(&format!("<Endpoint>{endpoint}<")));
    members.filter_map(|member| xml_text(member, "SubscriptionArn")).collect()
}

fn attributes(aws: &Aws, arn: &str) -> String {
    sns(aws, "GetSubscriptionAttributes", &[("SubscriptionArn", arn)])
}

/// Returns the schedule's event for the hourly check of the topics.
fn hour_event() -> Value {
    json!({ "source": "stablepin.schedule", "detail-type": "Subscribers", "detail": {} })
}

/// Invokes the promoter with the schedule's hourly event.
fn hour(aws: &Aws) {
    let hour = hour_event();
    aws.invoke(stack().variable("STABLEPIN_PROMOTER_FUNCTION"), &hour).expect("the check succeeds");
}

fn sweep(app: &App) {
    let promoter = stack().variable("STABLEPIN_PROMOTER_FUNCTION");
    app.aws.invoke(promoter, &app.sweep_event()).expect("the sweep succeeds");
}

/// Returns the findings of `GET /v1/health` about this application, or about `topics`.
fn findings(aws: &Aws, about: &str) -> Vec<String> {
    let answer = aws.call("GET", &format!("{}/v1/health", stack().api()), None, None, true);
    let health = answer.expect("the API answers").json("health").expect("JSON");
    let all = health["findings"].as_array().cloned().unwrap_or_default();
    assert_eq!(health["status"], if all.is_empty() { "ok" } else { "degraded" });
    let about = all.iter().filter(|one| one["about"] == about);
    about
        .flat_map(|one| one["findings"].as_array().cloned().unwrap_or_default())
        .filter_map(|finding| finding.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn signed_request_subscribes_an_approver() {
    let app = Plan::new("subscribe").unsubscribed().create();
    let mail = app.plan.mail(app.approver("lead"));
    let path = format!("/approvers/{}/subscription", app.approver("lead"));
    let url = format!("{}/v1/applications/{}{path}", stack().api(), app.plan.name);
    let unsigned = app.aws.call("PUT", &url, None, None, false).expect("the API answers");
    assert_eq!(unsigned.status, 403);
    assert_eq!(app.api("GET", &path, None).1["state"], "missing");

    // The emulator confirms a subscription immediately. On AWS, SNS first mails a request for
    // confirmation. The SNS client's own tests cover that case.
    let (status, subscribed) = app.api("PUT", &path, None);
    assert_eq!((status, &subscribed["state"], &subscribed["mail"]), (200, &json!("confirmed"), &json!(mail)));
    assert_eq!(app.api("PUT", &path, None).1, subscribed, "a repeated request changes nothing");
    let [arn] = &subscriptions_of(&app.aws, &mail)[..] else { panic!("one subscription") };
    let shown = attributes(&app.aws, arn);
    assert!(shown.contains(&format!("{{&quot;mail&quot;:[&quot;{mail}&quot;]}}")), "{shown}");

    let (status, unknown) = app.api("PUT", "/approvers/nobody/subscription", None);
    assert_eq!((status, &unknown["type"]), (404, &json!("urn:stablepin:problem:not-found")));
    unsubscribe(&app.aws, arn);
    assert_eq!(app.api("GET", &path, None).1["state"], "missing", "the subscription is gone");
}

/// SNS posts the token to an HTTP endpoint in this test. On AWS, SNS mails the token to the
/// approver.
#[test]
fn token_confirms_a_subscription() {
    let app = Plan::new("confirm").create();
    let listener = xtask::port::listen().expect("a port");
    let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
    let path = format!("/approvers/{}/subscription/confirmation", app.approver("lead"));
    let request = [("TopicArn", stack().topic()), ("Protocol", "http"), ("Endpoint", &endpoint)];
    sns(&app.aws, "Subscribe", &request);
    let token = token_of(&listener);
    let [arn] = &subscriptions_of(&app.aws, &endpoint)[..] else { panic!("one subscription") };
    assert!(attributes(&app.aws, arn).contains("<key>PendingConfirmation</key><value>true</value>"));

    let (status, refused) = app.api("POST", &path, Some(&json!({ "token": "0123456789" })));
    assert_eq!((status, &refused["type"]), (409, &json!("urn:stablepin:problem:token-refused")));
    let (status, misspelt) = app.api("POST", &path, Some(&json!({ "tokn": token })));
    assert_eq!(status, 400);
    assert!(!misspelt.to_string().contains(&token), "the answer does not echo the body: {misspelt}");
    let (status, _) = app.api("POST", &path, Some(&json!({ "token": token })));
    assert_eq!(status, 200);
    assert!(attributes(&app.aws, arn).contains("<key>PendingConfirmation</key><value>false</value>"));
    unsubscribe(&app.aws, arn);
}

/// Reads the token from the request that SNS sends.
fn token_of(listener: &std::net::TcpListener) -> String {
    let (stream, _) = listener.accept().expect("SNS asks for a confirmation");
    let mut connection = Connection::new(stream);
    let request = connection.request().expect("SNS sends the whole request");
    connection.answer(200, &[], b"").expect("SNS gets an answer");
    let message: Value = serde_json::from_slice(&request.body).expect("SNS sends JSON");
    message["Token"].as_str().expect("a token").to_owned()
}

#[test]
fn hourly_check_reports_a_subscriber_without_a_filter() {
    let app = Plan::new("nosy").create();
    let queue = app.plan.name.clone();
    let created = app.aws.sqs("CreateQueue", &json!({ "QueueName": queue })).expect("a queue");
    let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
    let found = || findings(&app.aws, "topics").iter().any(|finding| finding.contains(&endpoint));
    hour(&app.aws);
    assert!(!found());

    let arn = subscribe(&app.aws, stack().topic(), "sqs", &endpoint, None);
    hour(&app.aws);
    assert!(found(), "{:?}", findings(&app.aws, "topics"));
    until("the notice", || {
        let mails = xtask::inbox::messages(&app.aws, stack().inbox()).expect("the inbox answers");
        let names_the_endpoint = |mail: &&xtask::inbox::Mail| {
            mail.body.contains("approval-subscribers") && mail.body.contains(&endpoint)
        };
        mails.iter().find(names_the_endpoint).map(|_| ())
    });
    unsubscribe(&app.aws, &arn);
    hour(&app.aws);
    assert!(!found());
    let _ = app.aws.sqs("DeleteQueue", &json!({ "QueueUrl": created["QueueUrl"] }));
}

/// A subscriber could read links and codes, and so vote as the approver. An IAM permission alone
/// must not allow a subscription.
#[test]
fn only_the_approval_role_may_subscribe_to_the_topic() {
    let app = Plan::new("eavesdrop").unsubscribed().create();
    let statement = json!({ "Effect": "Allow", "Action": "sns:*", "Resource": "*" });
    let nosy = iam::user_with(&app.aws, &app.plan.name, Some(&statement), &[]).expect("a user");
    let mail = app.plan.mail(app.approver("lead"));
    let queue = format!("arn:aws:sqs:us-east-1:000000000000:{}", app.plan.name);
    for (protocol, endpoint) in [
        ("sqs", queue.as_str()),
        ("lambda", "arn:aws:lambda:us-east-1:000000000000:function:nosy"),
        ("https", "https://localhost/nosy"),
        ("email", "nosy@example.com"),
        ("email", mail.as_str()),
    ] {
        let request = [
            ("Action", "Subscribe"),
            ("Version", "2010-03-31"),
            ("TopicArn", stack().topic()),
            ("Protocol", protocol),
            ("Endpoint", endpoint),
        ];
        let refused = nosy.query("sns", &request).expect_err("the topic's policy denies it");
        assert!(
            matches!(&refused, AwsError::Refused { code, .. } if code == "AuthorizationError"),
            "{refused}"
        );
        assert_eq!(subscriptions_of(&app.aws, endpoint), [""; 0]);
    }
    let path = format!("/approvers/{}/subscription", app.approver("lead"));
    assert_eq!(app.api("PUT", &path, None).0, 200, "the function itself may subscribe");
    for arn in subscriptions_of(&app.aws, &mail) {
        unsubscribe(&app.aws, &arn);
    }
}

/// The topic's policy denies new subscriptions, but does not end existing subscriptions.
#[test]
fn hourly_check_reports_subscribers_other_than_approvers() {
    let app = Plan::new("strangers").create();
    let found = |endpoint: &str| findings(&app.aws, "topics").iter().any(|one| one.contains(endpoint));
    let lead = app.plan.mail(app.approver("lead"));
    let mailbox = format!("{}@example.org", app.plan.name);
    let listener = xtask::port::listen().expect("a port");
    let hook = format!("http://{}/", listener.local_addr().expect("an address"));
    let own = |endpoint: &str| vec![endpoint.to_owned()];
    let mailbox_arn = subscribe(&app.aws, stack().topic(), "email", &mailbox, Some(&own(&mailbox)));
    // Nobody confirms the following subscription.
    subscribe(&app.aws, stack().topic(), "http", &hook, Some(&own(&lead)));
    hour(&app.aws);
    assert!(found(&mailbox) && found(&hook), "{:?}", findings(&app.aws, "topics"));
    assert!(
        !found(&format!("the email subscriber {lead}")),
        "an approver is a proper subscriber: {:?}",
        findings(&app.aws, "topics")
    );

    unsubscribe(&app.aws, &mailbox_arn);
    for arn in subscriptions_of(&app.aws, &hook) {
        unsubscribe(&app.aws, &arn);
    }
    hour(&app.aws);
    assert!(!found(&mailbox) && !found(&hook), "{:?}", findings(&app.aws, "topics"));
}

/// The operator writes the policies of the topics in `MoreApprovalsTopicArns`, so such a topic may
/// be open to other principals.
#[test]
fn hourly_check_reports_a_topic_open_to_other_principals() {
    let app = Plan::new("open").create_with_fakes();
    let topic = app.isolated_topic().to_owned();
    let notices = || -> Vec<String> {
        let mails = xtask::inbox::messages(&app.aws, app.isolated_inbox()).expect("the queue answers");
        let reports = mails.into_iter().filter(|mail| mail.body.contains("approval-subscribers"));
        reports.map(|mail| mail.body).collect()
    };
    let look =
        || app.invoke(None, "promoter", &hour_event(), None).answer.expect("the function was not killed");
    let said = format!("{topic} lets others subscribe");
    let publishes = format!("{topic} lets others publish");
    look();
    let tells = |said: &str| notices().iter().any(|notice| notice.contains(said));
    assert!(tells(&said) && tells(&publishes), "{:?}", notices());

    let role = stablepin_tests::role::configuration("approval")["Role"].as_str().expect("a role").to_owned();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "sns:Subscribe", "Resource": topic,
        "Condition": { "ArnNotEquals": { "aws:PrincipalArn": role } },
    }] });
    let set =
        [("TopicArn", topic.as_str()), ("AttributeName", "Policy"), ("AttributeValue", &policy.to_string())];
    sns(&app.aws, "SetTopicAttributes", &set);
    let before = notices().len();
    look();
    let after = notices();
    let last = after.last().expect("a notice");
    // Stablepin publishes the notice to this topic too, so the policy must not deny publishing.
    assert!(after.len() > before && !last.contains(&said) && last.contains(&publishes), "{after:?}");
}

#[test]
fn sweep_reports_an_approver_without_a_subscription_once() {
    let app = Plan::new("gone").unsubscribed().create();
    sweep(&app);
    let lead = app.approver("lead");
    assert_eq!(findings(&app.aws, &app.plan.name), [format!("{lead} is not subscribed")]);
    sweep(&app);
    let count_notices = || {
        app.notices()
            .iter()
            .filter(|notice| notice["metadata"]["eventType"] == "approvers-subscribed")
            .count()
    };
    assert_eq!(count_notices(), 1, "one notice, however often the sweep finds the same gap");

    let (status, _) = app.api("PUT", &format!("/approvers/{lead}/subscription"), None);
    assert_eq!(status, 200);
    sweep(&app);
    assert_eq!(findings(&app.aws, &app.plan.name), [""; 0]);
    assert_eq!(count_notices(), 2, "a second notice for the recovery");
    for arn in subscriptions_of(&app.aws, &app.plan.mail(lead)) {
        unsubscribe(&app.aws, &arn);
    }
}

#[test]
fn promotion_names_approvers_without_a_subscription() {
    let app = Plan::new("reach").approvers(["lead", "deputy"], 2).unsubscribed().create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let unreachable = until("the unreachable approvers", || {
        let record = app.api("GET", &format!("/promotions/{}", link.promotion()), None).1;
        record["unreachable"].is_object().then(|| record["unreachable"].clone())
    });
    assert_eq!(unreachable, json!({ app.approver("lead"): "missing", app.approver("deputy"): "missing" }));
    let notice = until("the notice", || {
        app.tick();
        app.notices().into_iter().find(|notice| notice["metadata"]["eventType"] == "approvers-out-of-reach")
    });
    let text = notice["content"]["description"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("is not subscribed"), "{text}");
}

/// A person who has an approver's mail can vote in the approver's name. So Stablepin confirms each
/// vote to the approver by mail.
#[test]
fn approver_gets_a_vote_confirmation() {
    let app = Plan::new("receipt").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    assert_eq!(link.approve().status, 200);
    let receipt = until("the vote confirmation", || {
        app.tick();
        app.vote_confirmations("lead").pop()
    });
    assert!(
        receipt.body.contains(&digest) && receipt.body.contains("was approved in your name"),
        "{receipt}"
    );
    assert!(!receipt.body.contains(&link.token) && receipt.link().is_none(), "{receipt}");
    app.tick();
    assert_eq!(app.vote_confirmations("lead").len(), 1);
}

/// The first of two topics no longer exists. The approver gets one mail, from the topic to which
/// the approver's address is subscribed.
#[test]
fn tagger_sends_mail_through_the_subscribed_topic() {
    let app = Plan::new("topics").unsubscribed().create();
    let name = app.plan.name.as_str();
    let topic = xml_text(&sns(&app.aws, "CreateTopic", &[("Name", name)]), "TopicArn").expect("a topic");
    let queue = queue_for(&app.aws, name, &topic);
    subscribe(&app.aws, &topic, "sqs", &queue.arn, None);
    let mail = app.plan.mail(app.approver("lead"));
    subscribe(&app.aws, &topic, "email", &mail, Some(std::slice::from_ref(&mail)));

    // No role of the stack may publish to the new topic, so the program runs with the root access
    // key.
    let others = [
        ("STABLEPIN_APPROVALS_TOPICS", format!("{topic}-gone, {topic}")),
        ("AWS_ACCESS_KEY_ID", stack().variable("AWS_ACCESS_KEY_ID").to_owned()),
        ("AWS_SECRET_ACCESS_KEY", stack().variable("AWS_SECRET_ACCESS_KEY").to_owned()),
        ("AWS_SESSION_TOKEN", String::new()),
    ];
    let others = others.each_ref().map(|(name, value)| (*name, value.as_str()));
    let digest = app.push("quiet", &Spec::new("1"));
    let run = invoke_with("tagger", &others, &app.push_event("main", &digest, jiff::Timestamp::now()), None);
    assert!(run.answer.is_some(), "{run:?}");
    let mails = xtask::inbox::messages(&app.aws, &queue.url).expect("the queue answers");
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0].attributes["mail"], mail);
    let promotion = app.promotions().pop().expect("a promotion");
    assert!(
        promotion["asked"][app.approver("lead")].is_object(),
        "the record says that the approver has the mail: {promotion}"
    );
    sns(&app.aws, "DeleteTopic", &[("TopicArn", &topic)]);
    let _ = queue.delete(&app.aws);
}

/// The test writes into the table that the address has reached its limit of mails for the current
/// second and the next three.
#[test]
fn address_with_too_many_mails_gets_the_next_mail_later() {
    let app = Plan::new("busy").create();
    let mail = app.plan.mail(app.approver("lead"));
    let digest = app.push("quiet", &Spec::new("1"));
    let now = jiff::Timestamp::now();
    let seconds = [0, 1, 2, 3].map(|n| now + jiff::SignedDuration::from_secs(n));
    for second in &seconds {
        let item = json!({
            "pk": { "S": format!("MAILS#{mail}") },
            "sk": { "S": second.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() },
            "mails": { "N": "5" },
        });
        app.aws.dynamodb("PutItem", &json!({ "TableName": stack().table(), "Item": item })).expect("a count");
    }
    app.deliver(&app.push_event("main", &digest, now));
    let mails = app.mails("lead");
    assert_eq!(mails.len(), 1, "the mail came during the tagger's run");
    assert!(mails[0].at.as_second() >= seconds[3].as_second(), "{} is not after {}", mails[0].at, seconds[3]);
}

/// SNS disables an address that gets too many mails in a short time, so Stablepin delays the mails
/// after the fifth.
#[test]
fn eight_pushes_cause_five_mails_and_a_mail_about_the_newest() {
    let app = Plan::new("storm").create();
    let mut digests = Vec::new();
    for n in 0..8 {
        let digest = app.push(&format!("main-{n}"), &Spec::new(&n.to_string()));
        until("the promotion", || {
            app.promotions().iter().any(|one| one["digest"] == digest.as_str()).then_some(())
        });
        digests.push(digest);
    }
    let asked = || {
        let mails = app.mails("lead");
        let mailed = |digest: &&String| mails.iter().any(|mail| mail.body.contains(digest.as_str()));
        digests.iter().filter(mailed).cloned().collect::<Vec<_>>()
    };
    until("five mails", || (asked().len() == 5).then_some(()));
    // A promotion waits only after its image has been validated.
    let waiting = until("three promotions that wait", || {
        let waits = |one: &Value| one["ask_at"].is_string();
        let waiting: Vec<Value> = app.promotions().into_iter().filter(waits).collect();
        (waiting.len() == 3).then_some(waiting)
    });

    // The test makes the waiting promotions due, as if five minutes had passed.
    for one in &waiting {
        let sk = format!("PROMOTION#{}", one["id"].as_str().expect("an id"));
        for path in ["record.operation.work.Promotion.ask_at", "record.operation.wake_at", "wake_at"] {
            app.rewrite(&sk, path, "2026-01-01T00:00:00Z");
        }
    }
    let newest =
        waiting.iter().max_by_key(|one| one["occurrence"].to_string()).expect("some promotions wait");
    let newest = newest["digest"].as_str().expect("a digest").to_owned();
    until("the mail about the newest build", || {
        app.tick();
        asked().contains(&newest).then_some(())
    });
    let mails = app.mails("lead");
    let last = mails.iter().find(|mail| mail.body.contains(&newest)).expect("the newest build's mail");
    assert!(last.body.contains("Many builds were pushed within minutes"), "{last}");
    app.tick();
    assert_eq!(asked().len(), 6, "no mail for superseded builds");
    assert!(app.promotions().iter().all(|one| one["state"] == "Pending"), "all promotions stay open");
}
