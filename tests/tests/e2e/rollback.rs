//! Rollbacks of an environment to an earlier pin.

use serde_json::{Value, json};
use stablepin_tests::{App, Plan, stack, until};
use xtask::image::{Mode, Spec};

fn to(target: &str) -> Value {
    json!({ "to": target, "confirm": "ROLLBACK", "reason": "500s since 14:30" })
}

/// Asserts that the API refuses the rollback with this status, problem type and advice, and that
/// the refusal changes nothing.
#[track_caller]
fn refused(app: &App, body: &Value, status: u16, kind: &str, advice: &str) {
    let before = app.everything();
    let (got, problem) = app.rollback(body);
    assert_eq!(
        (got, &problem["type"]),
        (status, &json!(format!("urn:stablepin:problem:{kind}"))),
        "{problem}"
    );
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(advice), "{detail}");
    assert_eq!(app.everything(), before, "a refusal changes nothing");
}

#[test]
fn api_refuses_a_rollback_to_a_marked_image() {
    let app = Plan::new("marked").create();
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    app.mark_for_deletion(&first);
    refused(&app, &to("1"), 409, "image-marked-for-deletion", "or roll back to another pin");
    app.unmark(&first);
    let (status, begun) = app.rollback(&to("1"));
    assert_eq!(status, 202, "{begun}");
    let reference = json!(format!("ROLLBACK#{}", begun["id"].as_str().expect("an id")));
    let needed_by = app.marked(&first).expect("references")["needed_by"].clone();
    assert!(needed_by.as_array().is_some_and(|all| all.contains(&reference)), "{needed_by}");
}

#[test]
fn unsigned_rollback_is_forbidden() {
    let app = Plan::new("unsigned").create();
    app.pin("main", &Spec::new("1"));
    let before = app.everything();
    let url = format!("{}/v1/applications/{}/environments/production/rollback", stack().api(), app.plan.name);
    let body = to("stable").to_string();
    let answer = app.aws.call("POST", &url, Some(body.as_bytes()), Some("application/json"), false);
    assert_eq!(answer.expect("the API answers").status, 403);
    assert_eq!(app.everything(), before);
}

#[test]
fn api_refuses_an_invalid_rollback_with_advice() {
    let app = Plan::new("refused").create();
    refused(&app, &to("stable"), 409, "nothing-pinned", "approve a build first");
    let first = app.pin("main", &Spec::new("1"));
    refused(&app, &to("previous"), 409, "no-previous", "name a pin by its number");
    let second = app.pin("main", &Spec::new("2"));

    for confirm in ["rollback", "yes", "", "ROLLBACK "] {
        let body = json!({ "to": "1", "confirm": confirm });
        refused(&app, &body, 422, "not-confirmed", "`confirm` must be \"ROLLBACK\"");
    }
    refused(&app, &json!({ "to": "1" }), 422, "not-confirmed", "Stablepin changed nothing");
    refused(&app, &to("3"), 422, "unknown-pin", "the newest is pin 2");
    let never = app.push("quiet", &Spec::new("never"));
    app.forget_ignored_push("quiet");
    refused(&app, &to(&never), 422, "never-pinned", "promote it instead");
    for name in ["latest", "a1b2c3d4", "production-20250717-143052-a1b2c3d4", "stable; rm", "0", "-1", "1.5"]
    {
        refused(&app, &to(name), 422, "never-pinned", "promote it instead");
    }
    for live in ["stable", "2", &second] {
        refused(&app, &to(live), 409, "already-live", "is live already");
    }
    let unknown = json!({ "to": "1", "confirm": "ROLLBACK", "services": ["prod/other"] });
    refused(&app, &unknown, 422, "unknown-service", "prod/other is not a service");
    refused(&app, &json!({ "confirm": "ROLLBACK" }), 400, "bad-request", "missing field `to`");
    refused(&app, &json!({ "to": "1", "confirm": "ROLLBACK", "force": true }), 400, "bad-request", "force");
    assert_eq!(app.pins(), [(1, first), (2, second)]);

    let (status, problem) = app.api("POST", "/environments/staging/rollback", Some(&to("1")));
    assert_eq!((status, &problem["type"]), (404, &"urn:stablepin:problem:not-found".into()));
    let nobody = App::unborn(Plan::new("nobody"));
    let (status, problem) = nobody.rollback(&to("stable"));
    assert_eq!((status, &problem["type"]), (404, &"urn:stablepin:problem:not-found".into()));
}

/// Stablepin does not deploy to this environment, but a rollback still changes the pin.
#[test]
fn rollback_creates_a_new_pin_and_moves_the_stable_tag() {
    let app = Plan::new("number").create();
    let commit = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334";
    let first = app.pin("main", &Spec::new("1").revision(commit));
    let second = app.pin("main", &Spec::new("2"));

    let (status, answer) = app.rollback(&to(&commit[..8]));
    assert_eq!(status, 202, "{answer}");
    let record = app.rolled_back(answer["id"].as_str().expect("an id"));
    assert_eq!((&record["state"], &record["pin"]), (&"Completed".into(), &3.into()), "{record}");
    assert_eq!(app.pins(), [(1, first.clone()), (2, second.clone()), (3, first.clone())]);
    assert_eq!(app.tag("prod-stable"), Some(first.clone()));
    assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2", "2 → 3"]);

    // The watermark does not change. The environment is held until a person approves a promotion
    // after the rollback.
    let environment = app.environment();
    assert_eq!(environment["watermark"]["digest"], json!(second));
    assert_eq!(environment["hold"]["reason"], json!({ "rollback": 1 }));
    refused(&app, &to("stable"), 409, "already-live", "is live already");
    let third = app.pin("main", &Spec::new("3"));
    assert_eq!(app.pins().pop(), Some((4, third)));
    assert_eq!(app.environment()["hold"], Value::Null);
}

/// The environment needs no approval, so Stablepin pins each push immediately. But after a
/// rollback, Stablepin must not pin a push until the hold ends.
#[test]
fn push_after_a_rollback_waits_until_the_hold_ends() {
    let mut plan = Plan::new("held");
    plan.required = 0;
    let app = plan.create();
    let pinned = |number: u64, digest: &str| {
        until("the pin", || {
            app.tick();
            (app.pins().last() == Some(&(number, digest.to_owned()))).then_some(())
        });
        app.settled(digest);
    };
    let first = app.push("main", &Spec::new("1"));
    pinned(1, &first);
    let second = app.push_after(&first, &Spec::new("2"));
    pinned(2, &second);
    let (status, answer) = app.rollback(&to("1"));
    assert_eq!(status, 202, "{answer}");
    app.rolled_back(answer["id"].as_str().expect("an id"));

    let third = app.push_after(&second, &Spec::new("3"));
    app.settled(&third);
    app.tick();
    assert_eq!(
        app.pins().last(),
        Some(&(3, first.clone())),
        "Stablepin pins no push while the environment is held"
    );
    assert_eq!(app.tag("prod-stable"), Some(first));
    let waits = app.promotions().pop().expect("a promotion");
    assert_eq!((&waits["digest"], &waits["state"]), (&json!(third), &json!("Pending")));
    assert_eq!(app.api("DELETE", "/environments/production/hold", None).0, 200);
    app.pause_ends(waits["id"].as_str().expect("an id"));
    pinned(4, &third);
}

#[test]
fn rollback_dry_run_shows_the_plan_and_changes_nothing() {
    let app = Plan::new("dry-run").create();
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let before = app.everything();
    let (status, answer) = app.rollback(&json!({ "to": 1, "dry_run": true }));
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["target"]["pin"], &answer["target"]["digest"]), (&1.into(), &json!(first)));
    assert_eq!(app.everything(), before);
}

/// Tests the product's main promise with real containers: one signed request makes every service
/// run the pin again.
#[test]
fn rollback_to_the_pin_replaces_a_manual_deployment() {
    let app = Plan::new("return").services(["web", "worker"]).create();
    let good = app.push_runnable("main", &Spec::new("1"));
    app.approve(&good);
    let services = [app.service("web", &good), app.service("worker", &good)];
    let sidecars = services.each_ref().map(|service| service.sidecars());
    refused(&app, &to("stable"), 409, "already-live", "is live already");

    let bad = app.push_runnable("by-hand", &Spec::new("2"));
    services.iter().for_each(|service| service.deploy_by_hand(&bad));
    let by_hand = services.each_ref().map(|service| service.task_definition());
    let unknown = json!({ "to": "stable", "confirm": "ROLLBACK", "services": ["web"] });
    refused(&app, &unknown, 422, "unknown-service", "its services are");
    let (status, plan) = app.rollback(&json!({ "to": "stable", "dry_run": true }));
    assert_eq!((status, plan["services"].as_array().map(Vec::len)), (200, Some(2)), "{plan}");
    assert_eq!(services.each_ref().map(|service| service.task_definition()), by_hand, "nothing was deployed");

    let (status, answer) = app.rollback(&to("stable"));
    assert_eq!(status, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id");
    let (status, problem) = app.rollback(&to("1"));
    assert_eq!(
        (status, &problem["type"]),
        (409, &"urn:stablepin:problem:rollback-running".into()),
        "{problem}"
    );
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(id)), "{problem}");
    assert_eq!(app.items("ROLLBACK#").len(), 1);
    let record = app.rolled_back(id);
    assert_eq!(record["state"], "Completed", "{record}");
    for service in &services {
        service.runs(&good);
    }
    assert_eq!(services.each_ref().map(|service| service.sidecars()), sidecars, "no sidecar was changed");
    for rollout in record["rollout"]["services"].as_array().into_iter().flatten() {
        assert_eq!(
            (&rollout["progress"]["state"], &rollout["progress"]["tasks"]),
            (&"proven".into(), &1.into())
        );
        assert_eq!(rollout["before"]["digests"], json!([bad]), "the record names the image that ran before");
    }
    for (service, mut before) in services.iter().zip(by_hand) {
        let image =
            before["containerDefinitions"][0]["image"].as_str().unwrap_or_default().replace(&bad, &good);
        before["containerDefinitions"][0]["image"] = json!(image);
        assert_eq!(service.task_definition(), before, "only the image differs");
    }
    assert_eq!(app.pins(), [(1, good.clone())], "the pin did not change");
    assert_eq!((app.tag("prod-stable"), &app.environment()["slot"]), (Some(good), &Value::Null));
    assert!(app.tags(&bad).iter().any(|tag| tag.starts_with("production-rollback-")), "{:?}", app.tags(&bad));
    let changes = ["- → Requested", "Requested → InProgress", "InProgress → Completed"];
    assert_eq!(app.audited("Rollback State Change"), changes);
    let (_, shown) = app.api("GET", &format!("/rollbacks/{id}"), None);
    assert_eq!(shown["state"], "Completed");
}

/// Rule 10: Stablepin never reports an unproven rollback as a success.
#[test]
fn rollback_to_a_crashing_pin_does_not_count_as_success() {
    let app = Plan::new("crashing").services(["web"]).create();
    let crashing = app.push_runnable("main", &Spec::new("1").mode(Mode::Crash));
    app.approve(&crashing);
    let running = app.push_runnable("by-hand", &Spec::new("2"));
    let _service = app.service("web", &running);

    let (status, answer) = app.rollback(&to("stable"));
    assert_eq!(status, 202, "{answer}");
    let record = app.rolled_back(answer["id"].as_str().expect("an id"));
    assert!(matches!(record["state"].as_str(), Some("Incomplete" | "Failed")), "{record}");
    assert!(app.reason(&record).contains("web"), "{record}");
    assert_eq!((app.pins().len(), &app.environment()["slot"]), (1, &Value::Null));
}

#[test]
fn rollback_not_proven_by_its_deadline_ends_as_incomplete() {
    let app = Plan::new("late").services(["web"]).create();
    let crashing = app.push_runnable("main", &Spec::new("1").mode(Mode::Crash));
    app.approve(&crashing);
    let running = app.push_runnable("by-hand", &Spec::new("2"));
    let service = app.service("web", &running);
    service.never_gives_up();
    let (status, answer) = app.rollback(&to("stable"));
    assert_eq!(status, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id");
    let record = until("the end of the rollback", || {
        let sk = format!("ROLLBACK#{id}");
        if app.rollback_record(id)["state"] == "InProgress" {
            for path in
                ["record.operation.work.Rollback.rollout.deadline", "record.operation.wake_at", "wake_at"]
            {
                app.rewrite(&sk, path, "2026-01-01T00:00:00Z");
            }
        }
        app.tick();
        let record = app.rollback_record(id);
        (record["state"] != "Requested" && record["state"] != "InProgress").then_some(record)
    });
    assert_eq!(record["state"], "Incomplete", "{record}");
    assert!(app.reason(&record).contains("not proven in time"), "{record}");
    assert_eq!(app.environment()["slot"], Value::Null, "the slot is free for another rollback");
}
