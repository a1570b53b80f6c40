//! CloudTrail attribution: who pushed an image or moved a tag. CloudTrail's event arrives minutes
//! after ECR's event.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_tests::event::put_service_event;
use stablepin_tests::{App, Link, Plan, until};
use xtask::image::Spec;

/// Returns the `detail` of a CloudTrail event for a `PutImage` call.
fn call(app: &App, tag: &str, digest: &str, arn: &str) -> Value {
    json!({
        "eventVersion": "1.08", "eventSource": "ecr.amazonaws.com", "eventName": "PutImage",
        "eventTime": Timestamp::now().to_string(),
        "userIdentity": { "type": "AssumedRole", "arn": arn },
        "requestParameters": { "repositoryName": app.plan.repository, "imageTag": tag },
        "responseElements": { "image": {
            "repositoryName": app.plan.repository,
            "imageId": { "imageDigest": digest, "imageTag": tag },
        } },
    })
}

/// Puts a CloudTrail event for a `PutImage` call on the default event bus, as AWS does.
#[track_caller]
fn trail_tells(app: &App, tag: &str, digest: &str, arn: &str) {
    let detail = call(app, tag, digest, arn);
    put_service_event(&app.aws, "aws.ecr", "AWS API Call via CloudTrail", &detail);
}

const PIPELINE: &str = "arn:aws:sts::000000000000:assumed-role/pipeline/build-42";

#[test]
fn pusher_named_by_cloudtrail_cannot_approve() {
    let plan = Plan::new("caller").approvers(["lead", "deputy"], 1).who_sign();
    let app = plan.approved_with("four_eyes = \"strict\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
    app.settled(&digest);
    let unknown = deputy.approve();
    assert!(unknown.status >= 400, "{}", unknown.status);
    assert_eq!(app.pins(), [], "the pusher is not known yet: {}", unknown.text());

    let arn = format!("arn:aws:iam::000000000000:user/{}", app.approver("lead"));
    trail_tells(&app, "main", &digest, &arn);
    until("the pusher", || (pushers(&app, &lead) == [arn.clone()]).then_some(()));
    assert!(deputy.get().text().contains(&format!("<dt>Pushed by</dt><dd>{arn}</dd>")));
    lead.approve();
    assert_eq!(app.pins(), [], "the lead pushed it and must not approve it");
    assert_eq!(deputy.approve().status, 200);
    assert_eq!(app.pins(), [(1, digest)]);
}

/// ECR's event and CloudTrail's event may arrive in either order.
#[test]
fn cloudtrail_event_is_kept_if_it_precedes_the_push_event() {
    let app = Plan::new("early").create();
    let digest = app.push("quiet", &Spec::new("1"));
    trail_tells(&app, "main", &digest, PIPELINE);
    until("the CloudTrail record", || app.items("PUSHERS#").first().map(|_| ()));
    app.deliver(&app.push_event("main", &digest, Timestamp::now()));
    let link = app.link(&digest);
    assert_eq!(pushers(&app, &link), [PIPELINE]);
    let mails = app.mails("lead");
    assert!(mails[0].body.contains(&format!("Pushed by: {PIPELINE}")), "{}", mails[0]);
}

#[test]
fn manual_tag_move_is_attributed_to_its_caller() {
    let app = Plan::new("mover").create();
    let pinned = app.pin("main", &Spec::new("1"));
    let other = app.push("quiet", &Spec::new("2"));
    app.push_image(Some("prod-stable"), &stablepin_tests::image(&Spec::new("2")));
    until("the stable tag back", || (app.tag("prod-stable") == Some(pinned.clone())).then_some(()));
    until("both audit records", || (app.audited("Drift Detected").len() == 2).then_some(()));
    trail_tells(&app, "prod-stable", &other, PIPELINE);
    let attribution = until("the attribution", || {
        let audit = app.api("GET", "/audit", None).1;
        let all = audit["audit"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["kind"] == "Drift Detected" && one["to"] == "Attributed")
    });
    let reason = attribution["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&format!("moved by hand, by {PIPELINE}")), "{attribution}");
    assert_eq!(app.tag("prod-stable"), Some(pinned), "the attribution moves no tag");
}

#[test]
fn ecr_calls_by_the_stack_do_not_count_as_pushes() {
    let app = Plan::new("own").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    let configuration = stablepin_tests::role::configuration("tagger");
    let role = configuration["Role"].as_str().expect("a role");
    let name = role.rsplit('/').next().unwrap_or_default();
    let session = format!("arn:aws:sts::000000000000:assumed-role/{name}/tagger");
    // A call that adds another tag to a pushed image is not a push.
    let collector = "arn:aws:iam::000000000000:user/collector";
    for (tag, arn) in [("main", session.as_str()), ("kept-for-later", collector), ("main", PIPELINE)] {
        app.deliver(&json!({
            "version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.ecr",
            "account": "000000000000", "region": "us-east-1", "time": Timestamp::now().to_string(),
            "resources": [], "detail": call(&app, tag, &digest, arn),
        }));
    }
    assert_eq!(pushers(&app, &link), [PIPELINE]);
}

/// A role of the same name in another account, or in another partition, is not the stack's role.
#[test]
fn same_named_role_of_another_account_counts_as_a_pusher() {
    let app = Plan::new("alike").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    let configuration = stablepin_tests::role::configuration("tagger");
    let role = configuration["Role"].as_str().expect("a role");
    let name = role.rsplit('/').next().unwrap_or_default();
    let arns = [
        format!("arn:aws-cn:sts::000000000000:assumed-role/{name}/tagger"),
        format!("arn:aws:sts::111122223333:assumed-role/{name}/tagger"),
    ];
    for arn in &arns {
        trail_tells(&app, "main", &digest, arn);
    }
    until("both pushers", || (pushers(&app, &link) == arns).then_some(()));
}

/// The tagger ignores an event of another account or region even if an EventBridge rule delivers
/// the event.
#[test]
fn events_of_other_accounts_and_regions_are_ignored() {
    let app = Plan::new("foreign").create_with_fakes();
    let digest = app.push_unheard("main", &Spec::new("1"));
    for (member, value) in [
        ("account", json!("111122223333")),
        ("region", json!("eu-central-1")),
        ("region", json!("us-gov-west-1")),
        ("account", Value::Null),
    ] {
        let mut event = app.push_event("main", &digest, Timestamp::now());
        event[member] = value;
        app.deliver(&event);
        assert_eq!(app.promotions(), [Value::Null; 0], "{member}: {}", event[member]);
        event["detail-type"] = json!("AWS API Call via CloudTrail");
        event["detail"] = call(&app, "main", &digest, PIPELINE);
        app.deliver(&event);
    }
    app.deliver(&app.push_event("main", &digest, Timestamp::now()));
    let promotions = app.promotions();
    assert_eq!(
        (promotions.len(), &promotions[0]["pushers"]),
        (1, &json!([])),
        "the foreign records named no pusher"
    );
}

/// The pusher cannot approve the build even if another person requests a new promotion of the
/// build.
#[test]
fn new_promotion_keeps_the_pusher_of_its_build() {
    let plan = Plan::new("again").approvers(["lead", "deputy"], 1).who_sign();
    let app = plan.approved_with("four_eyes = \"strict\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let first = app.link(&digest);
    app.settled(&digest);
    let arn = format!("arn:aws:iam::000000000000:user/{}", app.approver("lead"));
    trail_tells(&app, "main", &digest, &arn);
    until("the pusher", || (pushers(&app, &first) == [arn.clone()]).then_some(()));
    app.api("POST", &format!("/promotions/{}/withdraw", first.promotion()), None);

    let ask = json!({ "digest": digest });
    let (status, asked) = app.api("POST", "/environments/production/promotions", Some(&ask));
    assert_eq!(status, 202, "{asked}");
    let promotion = asked["promotion"].as_str().expect("an id").to_owned();
    assert_ne!(promotion, first.promotion());
    assert_eq!(app.promotion(&promotion)["pushers"], json!([arn]));
    let lead = app.signs_as("lead");
    let decision = json!({ "decision": "approve" });
    let path = format!("/promotions/{promotion}/decision");
    let (status, refused) = app.api_as(&lead, "POST", &path, Some(&decision));
    assert_eq!((status, &refused["type"]), (403, &json!("urn:stablepin:problem:own-request")), "{refused}");
    assert_eq!(app.pins(), []);
}

fn pushers(app: &App, link: &Link) -> Vec<String> {
    let promotion = app.promotion(link.promotion());
    let pushers = promotion["pushers"].as_array().cloned().unwrap_or_default();
    pushers.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}
