//! Promotions of images that retention has marked for deletion.

use serde_json::{Value, json};
use stablepin_tests::{App, Plan, stack, until};
use xtask::image::Spec;

/// Invokes the promoter with a message of the sweep queue about the application.
#[track_caller]
fn sweep(app: &App) -> Value {
    let promoter = stack().variable("STABLEPIN_PROMOTER_FUNCTION");
    app.aws.invoke(promoter, &app.sweep_event()).expect("the sweep succeeds")
}

/// Returns the stored record of a tag that matches a `builds` pattern.
#[track_caller]
fn followed(app: &App, tag: &str) -> Value {
    let sk = format!("TAG#{}#{tag}", app.plan.repository);
    app.item(&format!("APP#{}", app.plan.name), &sk).unwrap_or_default()
}

#[test]
fn push_of_a_marked_image_waits_until_the_mark_is_removed() {
    let app = Plan::new("marked").create();
    let digest = app.push("quiet", &Spec::new("1"));
    app.mark_for_deletion(&digest);
    assert_eq!(app.push("main", &Spec::new("1")), digest, "the image exists already");
    until("the record of the push", || (followed(&app, "main")["unanswered"] == digest).then_some(()));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }), "the image is still marked");
    assert!(app.promotions().is_empty() && app.build(&digest).is_none() && app.mails("lead").is_empty());
    assert_eq!(app.marked(&digest).expect("the mark").get("needed_by"), None);

    app.unmark(&digest);
    // In this test, the sweep handles the push. On AWS, Lambda's retry of the event may do so
    // earlier.
    sweep(&app);
    app.link(&digest);
    app.settled(&digest);
    let promotions = app.promotions();
    let [promotion] = &promotions[..] else { panic!("{promotions:?}") };
    let id = promotion["id"].as_str().expect("an id");
    assert_eq!(app.marked(&digest).expect("the reference")["needed_by"], json!([format!("PROMOTION#{id}")]));
    assert_eq!(followed(&app, "main").get("unanswered"), None, "the push is handled");
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
}

#[test]
fn api_refuses_to_promote_a_marked_image() {
    let app = Plan::new("asked").create();
    let digest = app.pin("main", &Spec::new("1"));
    app.mark_for_deletion(&digest);
    let before = app.everything();
    let ask = json!({ "digest": digest });
    let (status, problem) = app.api("POST", "/environments/production/promotions", Some(&ask));
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:stablepin:problem:image-marked-for-deletion")),
        "{problem}"
    );
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("nothing was started: push the build again"), "{detail}");
    assert_eq!(app.everything(), before, "the refused request changed nothing");
    app.unmark(&digest);
    assert_eq!(app.api("POST", "/environments/production/promotions", Some(&ask)).0, 202);
    assert_eq!(app.marked(&digest).expect("both references")["needed_by"].as_array().map(Vec::len), Some(2));
}
