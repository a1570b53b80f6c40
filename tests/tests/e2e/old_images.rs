//! The deployed retention Lambda function. The tests send requests to the API, the queue triggers
//! the Lambda function, and the images are in the emulator's registry.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::{App, Plan, until};
use xtask::image::Spec;

const BUILDS: i64 = 8;

/// Pushes and pins builds of about 400 days ago, oldest first. The last build remains the pin.
fn aged(app: &App) -> Vec<String> {
    let pinned = (0..BUILDS).map(|n| {
        let digest = app.push(&format!("quiet-{n}"), &Spec::new(&format!("old {n}")));
        app.forget_ignored_push(&format!("quiet-{n}"));
        let at = Timestamp::now() - SignedDuration::from_hours(24 * (400 - n));
        app.deliver(&app.push_event("main", &digest, at));
        app.settled(&digest);
        digest
    });
    pinned.collect()
}

fn plan(story: &str) -> Plan {
    Plan::new(story).approvers(["lead"], 0)
}

fn with_retention(app: &App, keys: &str) {
    let answer = app.put(&format!("{}\n[retention]\nkeep = 5\n{keys}\n", app.plan.toml()));
    assert!(answer.status < 300, "{}", answer.text());
}

#[track_caller]
fn begins(app: &App, path: &str, body: &Value) -> String {
    let (status, run) = app.api("POST", path, Some(body));
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().expect("a run has an id").to_owned()
}

/// Waits until the run ends. Returns the run's record.
#[track_caller]
fn ended(app: &App, id: &str) -> Value {
    until("the run's end", || {
        let (status, run) = app.api("GET", &format!("/retention/{id}"), None);
        assert_eq!(status, 200, "{run}");
        run["ended_at"].is_string().then_some(run)
    })
}

fn stored_digests(app: &App) -> BTreeSet<String> {
    let ask = json!({ "repositoryName": app.plan.repository });
    let answer = app.aws.ecr("DescribeImages", &ask).expect("ECR answers");
    let images = answer["imageDetails"].as_array().cloned().unwrap_or_default();
    images.iter().filter_map(|image| image["imageDigest"].as_str().map(str::to_owned)).collect()
}

#[test]
fn deployed_stack_plans_and_then_applies_a_deletion() {
    let app = plan("aged").create();
    let builds = aged(&app);
    with_retention(&app, "");
    let before = stored_digests(&app);
    let id = begins(&app, "/retention", &json!({ "share": 100 }));
    let planned = ended(&app, &id);
    assert_eq!((&planned["state"], stored_digests(&app)), (&json!("Completed"), before.clone()), "{planned}");
    let one = &planned["repositories"][&app.plan.repository];
    assert_eq!((&one["to_remove"], &one["deleted"]), (&json!(3), &json!(0)), "{planned}");
    assert!(one["freed_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{planned}");

    let (_, images) = app.api("GET", &format!("/retention/{id}/images?action=delete"), None);
    let gone: BTreeSet<_> = images["images"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["digest"].as_str())
        .collect();
    assert_eq!(gone, builds[..3].iter().map(String::as_str).collect());
    let (_, image) = app.api("GET", &format!("/retention/{id}/images?digest={}", builds[7]), None);
    assert_eq!(image["images"][0]["why"], "pin 8 of production", "{image}");

    // The application's file says dry-run, so the API refuses to apply a plan.
    let (status, problem) = app.api("POST", &format!("/retention/{id}/apply"), None);
    assert_eq!((status, &problem["type"]), (409, &json!("urn:stablepin:problem:dry-run")), "{problem}");

    with_retention(&app, "mode = \"delete\"");
    let young = app.push("quiet-young", &Spec::new("young"));
    let done =
        ended(&app, &begins(&app, &format!("/retention/{id}/apply"), &json!({ "reason": "looked at it" })));
    assert_eq!(done["state"], "Completed", "{done}");
    assert_eq!(done["repositories"][&app.plan.repository]["deleted"], 3, "{done}");
    let mut left = before;
    left.insert(young);
    left.retain(|digest| !builds[..3].contains(digest));
    assert_eq!(stored_digests(&app), left);
    assert_eq!(app.tag("prod-stable").as_ref(), Some(&builds[7]));
    assert!(app.marks().iter().all(|mark| mark["marked_by"].is_null()), "no image stays marked");
    until("the end on the bus", || {
        let recorded = app.audited("Retention Run State Change");
        (recorded.iter().filter(|line| line.ends_with("→ Completed")).count() == 2).then_some(())
    });
}

#[test]
fn deployed_retention_restores_archived_images() {
    let app = plan("archived").create();
    let builds = aged(&app);
    with_retention(&app, "mode = \"archive\"");
    let id = begins(&app, "/retention", &json!({ "share": 100 }));
    let done = ended(&app, &id);
    assert_eq!(done["repositories"][&app.plan.repository]["archived"], 3, "{done}");
    assert!(
        builds[..3].iter().all(|digest| !stored_digests(&app).contains(digest)),
        "archived images cannot be pulled"
    );
    let undone = ended(&app, &begins(&app, &format!("/retention/{id}/undo"), &json!({})));
    assert_eq!(undone["repositories"][&app.plan.repository]["restored"], 3, "{undone}");
    until("the restored images", || {
        builds.iter().all(|digest| stored_digests(&app).contains(digest)).then_some(())
    });
}

#[test]
fn invalid_retention_requests_are_refused() {
    let app = plan("asks").create();
    let ask = |path: &str, body: Value| {
        let (status, problem) = app.api("POST", path, Some(&body));
        (status, problem["type"].as_str().unwrap_or_default().to_owned())
    };
    let kind = |name: &str| format!("urn:stablepin:problem:{name}");
    assert_eq!(ask("/retention", json!({ "dry_run": false })), (409, kind("dry-run")));
    assert_eq!(ask("/retention", json!({ "share": 0 })).0, 400);
    assert_eq!(ask("/retention", json!({ "share": 101 })).0, 400);
    assert_eq!(ask("/retention", json!({ "shares": 1 })).0, 400);
    let unknown = "019b0000-0000-7000-8000-000000000000";
    assert_eq!(ask(&format!("/retention/{unknown}/apply"), json!({})).0, 404);
    assert_eq!(ask("/retention/x/undo", json!({})).0, 404);
    let id = begins(&app, "/retention", &json!({}));
    ended(&app, &id);
    assert_eq!(ask(&format!("/retention/{id}/apply"), json!({ "dry_run": true })).0, 400);
    assert_eq!(ask(&format!("/retention/{id}/undo"), json!({})), (409, kind("nothing-archived")));
}
