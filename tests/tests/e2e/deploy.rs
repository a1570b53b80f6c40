//! Deployments in real containers. Stablepin deploys an approved build to every service, and proves
//! that every task runs the build. If the proof fails, Stablepin rolls every service back to the
//! previous image.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::{App, ContainerService, Plan, until};
use xtask::image::{Mode, Spec};

/// Approves the build and runs ticks until the promotion ends. Returns the promotion's record.
#[track_caller]
pub(crate) fn promoted(app: &App, digest: &str) -> Value {
    let link = app.link(digest);
    let promotion = link.promotion().to_owned();
    let answer = link.approve();
    assert_eq!(answer.status, 200, "{}", answer.text());
    until("the promotion's end", || {
        app.tick();
        let record = app.promotion(&promotion);
        (record["state"] != "Pending" && record["state"] != "InProgress").then_some(record)
    })
}

/// Pushes the image that the services run before the first release. Its tag matches no `builds`
/// pattern.
#[track_caller]
fn before(app: &App) -> String {
    app.push_runnable("by-hand", &Spec::new("before"))
}

#[track_caller]
fn notices(app: &App) -> Vec<String> {
    app.notices()
        .iter()
        .map(|notice| notice["content"]["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Stablepin deploys two builds and then rolls back to the first. Each service keeps its own
/// settings.
#[test]
fn approved_build_is_deployed_to_every_service_and_pinned() {
    let app = Plan::new("deploy").services(["web", "worker"]).deployed("bake = \"0s\"").create();
    let old = before(&app);
    let services = [app.service("web", &old), app.service("worker", &old)];
    let definitions = services.each_ref().map(ContainerService::task_definition);
    let sidecars = services.each_ref().map(ContainerService::sidecars);

    let first = app.push_runnable("main", &Spec::new("1"));
    let record = promoted(&app, &first);
    assert_eq!(record["state"], "Completed", "{record}");
    for (service, was) in services.iter().zip(&definitions) {
        assert_eq!(service.running(), std::slice::from_ref(&first), "{}", service.name);
        let mut is = service.task_definition();
        is["containerDefinitions"][0]["image"] = was["containerDefinitions"][0]["image"].clone();
        assert_eq!(&is, was, "only the image changed");
    }
    assert_eq!(services.each_ref().map(ContainerService::sidecars), sidecars, "no sidecar was changed");
    assert_eq!(app.pins(), [(1, first.clone())]);
    assert_eq!(
        (app.tag("prod-stable"), app.tag("production-current")),
        (Some(first.clone()), Some(first.clone()))
    );
    assert_eq!(app.environment()["slot"], Value::Null);

    let second = app.push_runnable("main", &Spec::new("2"));
    assert_eq!(promoted(&app, &second)["state"], "Completed");
    assert_eq!(app.pins(), [(1, first.clone()), (2, second.clone())]);

    // The rollback must deploy the task definition revision that ran when Stablepin created pin 1.
    let (_, pins) = app.api("GET", "/environments/production/pins", None);
    let proven = pins["pins"].as_array().expect("pins").iter().find(|pin| pin["number"] == 1).expect("pin 1")
        ["revisions"]
        .clone();
    let (status, answer) =
        app.rollback(&json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s since 14:30" }));
    assert_eq!(status, 202, "{answer}");
    let record = app.rolled_back(answer["id"].as_str().expect("an id"));
    assert_eq!(record["state"], "Completed", "{record}");
    for service in &services {
        assert_eq!(service.running(), std::slice::from_ref(&first));
        let name = format!("{}/{}", app.plan.cluster, service.name);
        assert_eq!(service.revision(), proven[&name], "no new revision was registered");
    }
    assert!(notices(&app).is_empty(), "nothing failed");
}

#[test]
fn release_with_a_crashing_container_is_rolled_back() {
    let app = Plan::new("crash").services(["web"]).deployed("bake = \"0s\"").create();
    let old = before(&app);
    let service = app.service("web", &old);
    let good = app.push_runnable("main", &Spec::new("1"));
    assert_eq!(promoted(&app, &good)["state"], "Completed");

    let bad = app.push_runnable("main", &Spec::new("2").mode(Mode::Crash));
    let record = promoted(&app, &bad);
    assert_eq!(record["state"], "RolledBack", "{record}");
    service.runs(&good);
    assert_eq!((app.pins().len(), app.tag("prod-stable")), (1, Some(good.clone())));
    let environment = app.environment();
    assert_eq!(environment["hold"]["by"], record["id"], "the failed release is the hold: {environment}");
    until("both notices", || (app.notices().len() == 2).then_some(()));
    let said = notices(&app);
    assert!(said[0].ends_with("release failed, rolling back"), "{said:?}");
    assert!(said[1].ends_with("release failed, rolled back"), "{said:?}");

    // The approval page of the corrected build says that the environment is held.
    let fix = app.push_runnable("main", &Spec::new("3"));
    assert!(app.link(&fix).get().text().contains("held"));
    assert_eq!(promoted(&app, &fix)["state"], "Completed");
    assert_eq!((service.running(), app.environment()["hold"].clone()), (vec![fix], Value::Null));
}

#[test]
fn stablepin_accepts_a_circuit_breaker_rollback_by_ecs() {
    let app = Plan::new("breaker").services(["web"]).deployed("bake = \"0s\"").create();
    let old = before(&app);
    let breaker = json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } });
    let service = app.service_on("web", &old, 0, &breaker);
    let good = app.push_runnable("main", &Spec::new("1"));
    assert_eq!(promoted(&app, &good)["state"], "Completed");
    let bad = app.push_runnable("main", &Spec::new("2").mode(Mode::Crash));
    let record = promoted(&app, &bad);
    assert_eq!(record["state"], "RolledBack", "a rollback of ECS is no success: {record}");
    service.runs(&good);
    assert_eq!((app.pins().len(), app.tag("prod-stable")), (1, Some(good)));
}

#[test]
fn release_with_a_failing_health_check_is_rolled_back() {
    let port = xtask::port::free().expect("a port");
    let verify = format!("bake = \"0s\", endpoints = [\"http://127.0.0.1:{port}/health\"]");
    let app = Plan::new("health").services(["web"]).deployed(&verify).create();
    let old = before(&app);
    // The old task and the new task need the same port of the host, so the old task must stop
    // first.
    let one_port = json!({ "minimumHealthyPercent": 0, "maximumPercent": 100 });
    let service = app.service_on("web", &old, port, &one_port);
    let good = app.push_runnable("main", &Spec::new("1"));
    let record = promoted(&app, &good);
    assert_eq!(record["state"], "Completed", "{record}");
    let bad = app.push_runnable("main", &Spec::new("2").mode(Mode::Unhealthy));
    let record = promoted(&app, &bad);
    assert_eq!(record["state"], "RolledBack", "{record}");
    assert!(record["failure"].to_string().contains("status 500"), "{record}");
    service.runs(&good);
    assert_eq!((app.pins().len(), app.tag("prod-stable")), (1, Some(good)));
}

#[test]
fn failed_first_release_restores_the_previous_image() {
    let app = Plan::new("first").services(["web"]).deployed("bake = \"0s\"").create();
    let old = before(&app);
    let service = app.service("web", &old);
    let was = service.revision();
    let bad = app.push_runnable("main", &Spec::new("1").mode(Mode::Crash));
    let record = promoted(&app, &bad);
    assert_eq!(record["state"], "RolledBack", "{record}");
    service.runs(&old);
    assert_eq!((service.revision(), app.pins().len()), (was, 0));
}

#[test]
fn release_to_a_missing_service_changes_nothing() {
    let app = Plan::new("missing").services(["web", "gone"]).deployed("bake = \"0s\"").create();
    let old = before(&app);
    let service = app.service("web", &old);
    let build = app.push_runnable("main", &Spec::new("1"));
    let record = promoted(&app, &build);
    assert_eq!(record["state"], "Failed", "{record}");
    let said = app.reason(&record);
    assert!(said.starts_with("Stablepin changed nothing: there is no service"), "{said}");
    assert_eq!(service.running(), [old]);
    assert_eq!(
        (app.environment()["hold"].clone(), app.environment()["slot"].clone()),
        (Value::Null, Value::Null)
    );
}

#[test]
fn release_waits_until_the_freeze_ends() {
    let app = Plan::new("freeze").create();
    let path = "/environments/production/freeze";
    let (status, problem) = app.api("PUT", path, Some(&json!({})));
    assert_eq!((status, &problem["type"]), (422, &json!("urn:stablepin:problem:reason-needed")), "{problem}");
    let (status, answer) = app.api("PUT", path, Some(&json!({ "reason": "sale" })));
    assert_eq!((status, &answer["freeze"]["reason"]), (200, &json!("sale")), "{answer}");
    let (status, problem) = app.api("PUT", path, Some(&json!({ "reason": "again" })));
    assert_eq!((status, &problem["type"]), (409, &json!("urn:stablepin:problem:frozen")), "{problem}");

    let build = app.push("main", &Spec::new("1"));
    let link = app.link(&build);
    let answer = link.approve();
    assert!(answer.text().contains("frozen (sale)"), "{}", answer.text());
    app.tick();
    assert_eq!(app.pins().len(), 0);

    let (status, answer) = app.api("DELETE", path, None);
    assert_eq!((status, &answer["freeze"]), (200, &Value::Null), "{answer}");
    let (status, problem) = app.api("DELETE", "/environments/production/hold", None);
    assert_eq!((status, &problem["type"]), (409, &json!("urn:stablepin:problem:not-held")), "{problem}");
    app.pause_ends(link.promotion());
    until("the pin", || {
        app.tick();
        (app.pins() == [(1, build.clone())]).then_some(())
    });
    assert_eq!(app.audited("Environment State Change"), ["open → frozen", "frozen → open"]);
}

/// An older version of Stablepin may have stored a watermark so far in the future that no push is
/// newer than the watermark.
#[test]
fn signed_request_resets_a_watermark_in_the_future() {
    let app = Plan::new("watermark").create();
    let bad = app.pin("main", &Spec::new("1"));
    for path in ["record.watermark.at", "record.latest.occurrence.at"] {
        app.rewrite("ENV#production", path, "2099-01-01T00:00:00Z");
    }
    let path = "/environments/production/watermark";
    let (status, problem) = app.api("DELETE", path, None);
    assert_eq!((status, &problem["type"]), (422, &json!("urn:stablepin:problem:reason-needed")), "{problem}");
    let (status, answer) = app.api("DELETE", path, Some(&json!({ "reason": "a test event" })));
    assert_eq!(status, 200, "{answer}");
    let at = answer["watermark"]["at"].as_str().expect("a time").to_owned();
    assert!(at.starts_with("20") && !at.starts_with("2099"), "{at}");
    let (status, problem) = app.api("DELETE", path, Some(&json!({ "reason": "again" })));
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:stablepin:problem:watermark-not-ahead")),
        "{problem}"
    );
    let audited = app.audited("Environment State Change");
    assert_eq!(audited, [format!("watermark 2099-01-01T00:00:00Z → watermark {at}")]);

    // Stablepin orders builds of the same second by digest, so the test waits for the next second.
    let after = at.parse::<Timestamp>().expect("a time") + SignedDuration::from_secs(1);
    until("the next second", || (Timestamp::now() >= after).then_some(()));
    let next = app.pin("main", &Spec::new("2"));
    assert_eq!(app.pins(), [(1, bad), (2, next)]);
}
