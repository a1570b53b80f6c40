//! Signed requests of pipelines: reports of checks, and requests that name an image and a pipeline
//! run.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_tests::{App, Plan, until};
use xtask::image::Spec;

const REQUIRES: &str = "requires = [\"staging-tests\"]";
const LINK: &str = "https://github.com/acme/web/actions/runs/7";

fn promotion_of(app: &App, digest: &str) -> Option<Value> {
    app.promotions().into_iter().rfind(|one| one["digest"] == digest)
}

#[track_caller]
fn waits_for_its_tests(app: &App, digest: &str) -> Value {
    let waits = |one: &Value| one["waits_for"] == json!(["the check staging-tests"]);
    until("a promotion that waits for its tests", || promotion_of(app, digest).filter(waits))
}

fn report(app: &App, digest: &str, result: &str) -> (u16, Value) {
    let body =
        json!({ "digest": digest, "name": "staging-tests", "result": result, "link": LINK, "seconds": 93 });
    app.api("POST", "/checks", Some(&body))
}

#[test]
fn approver_is_asked_when_the_pipeline_reports_passed_tests() {
    let app = Plan::new("tests-first").with(REQUIRES).create();
    let digest = app.push("main", &Spec::new("1"));
    waits_for_its_tests(&app, &digest);
    assert!(app.mails("lead").is_empty(), "nobody is asked before the tests have passed");

    let (status, answer) = report(&app, &digest, "passed");
    assert_eq!((status, &answer["recorded"]), (200, &json!("new")), "{answer:#}");
    assert_eq!(answer["required_by"], json!(["production"]));
    assert_eq!(answer["promotions"][0]["waits_for"], json!([]));
    let mail = until("the mail", || app.mails("lead").pop());
    assert!(mail.body.contains(&format!("staging-tests passed ({LINK})")), "{}", mail.body);
    app.approve(&digest);
    assert_eq!(app.pins(), [(1, digest.clone())]);
    let runs = app.audit().into_iter().filter(|record| record["run"]["link"] == LINK);
    assert!(runs.count() >= 2, "audit records after the report name the run: {:#?}", app.audit());

    // A report after the end of the promotion changes nothing.
    assert_eq!(report(&app, &digest, "failed").0, 200);
    assert_eq!(promotion_of(&app, &digest).expect("the promotion")["state"], "Completed");
}

#[test]
fn promotion_fails_if_the_pipeline_reports_failed_tests() {
    let app = Plan::new("tests-fail").with(REQUIRES).create();
    let digest = app.push("main", &Spec::new("1"));
    let promotion = waits_for_its_tests(&app, &digest);
    let (status, answer) = report(&app, &digest, "failed");
    assert_eq!((status, &answer["promotions"][0]["state"]), (200, &json!("Failed")), "{answer:#}");
    let (state, reason) = app.ended(promotion["id"].as_str().expect("an id"));
    assert_eq!((state.as_str(), reason), ("Failed", format!("the check staging-tests failed: {LINK}")));
    assert!(app.mails("lead").is_empty());
}

#[test]
fn check_counts_if_it_is_reported_before_the_push() {
    let app = Plan::new("tests-early").with(REQUIRES).create_with_fakes();
    let other = Plan::new("tests-of-another").with(REQUIRES).create_with_fakes();
    let digest = app.push_unheard("main", &Spec::new("1"));
    let same = other.push_unheard("main", &Spec::new("1"));
    assert_eq!(digest, same, "both applications have the same image");
    let mut body = json!({ "digest": digest, "name": "staging-tests", "result": "passed" });
    body["finished_at"] = json!("2026-11-21T10:00:00Z");
    let (status, answer) = app.api_with_fakes("POST /v1/applications/{application}/checks", &body);
    assert_eq!((status, &answer["promotions"]), (200, &json!([])), "{answer:#}");
    app.hears();
    other.hears();
    assert!(app.everybody_is_asked());
    assert!(!other.everybody_is_asked(), "a report counts for its application only");
    let (_, again) = app.api_with_fakes("POST /v1/applications/{application}/checks", &body);
    assert_eq!(again["recorded"], "known", "{again:#}");
}

#[test]
fn error_names_the_invalid_field_of_a_report() {
    let app = Plan::new("wrong-report").create();
    let digest = format!("sha256:{}", "a1".repeat(32));
    let valid = json!({ "digest": digest, "name": "tests", "result": "passed" });
    let with = |name: &str, value: Value| {
        let mut body = valid.clone();
        body[name] = value;
        body
    };
    for (body, expected) in [
        (with("digest", json!("latest")), "digest"),
        (with("name", json!("my tests")), "name"),
        (with("link", json!("javascript:alert(1)")), "link"),
        (with("finished_at", json!("2999-01-01T00:00:00Z")), "finished_at"),
    ] {
        let (status, answer) = app.api("POST", "/checks", Some(&body));
        assert_eq!((status, &answer["in"]), (400, &json!(expected)), "{answer:#}");
    }
    for body in [with("result", json!("skipped")), with("colour", json!("red"))] {
        assert_eq!(app.api("POST", "/checks", Some(&body)).0, 400, "{body:#}");
    }
}

#[test]
fn request_that_names_an_image_opens_a_promotion() {
    let app = Plan::new("named-image").create_with_fakes();
    let digest = app.push_unheard("main-7", &Spec::new("1"));
    let run = json!({ "repository": "acme/web", "workflow": "release.yml", "id": "7", "link": LINK });
    let route = "POST /v1/applications/{application}/builds";
    let (status, answer) = app.api_with_fakes(route, &json!({ "tag": "main-7", "run": run }));
    assert_eq!((status, &answer["digest"]), (202, &json!(digest)), "{answer:#}");
    let announced = app.audit().into_iter().find(|record| record["kind"] == "Image Named");
    let announced = announced.expect("the request is in the audit trail");
    for _ in 0..2 {
        app.publish("Image Named", &announced);
        assert_eq!(app.promotions().len(), 1, "a repeated event opens nothing");
    }
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    let built = &app.promotions()[0]["build"];
    assert_eq!(built["run"]["workflow"], "release.yml", "{built:#}");
    assert!(app.mails("lead")[0].body.contains("release.yml"), "{}", app.mails("lead")[0].body);
    // The push event arrives after the request, and opens no second promotion.
    app.hears();
    assert_eq!(app.promotions().len(), 1);

    let (status, answer) = app.api_with_fakes(route, &json!({ "tag": "main-8" }));
    assert_eq!(status, 404, "{answer:#}");
    let (status, answer) = app.api_with_fakes(route, &json!({ "tag": "feature-x" }));
    assert_eq!(status, 409, "{answer:#}");
    let other = format!("sha256:{}", "0".repeat(64));
    let (status, answer) = app.api_with_fakes(route, &json!({ "tag": "main-7", "digest": other }));
    assert_eq!(status, 409, "{answer:#}");
}

#[test]
fn ignored_pushes_are_listed_with_their_reasons() {
    let app = Plan::new("why-ignored").create();
    let digest = app.push("feature-x", &Spec::new("1"));
    let ignored = until("the ignored push", || {
        let (status, answer) = app.api("GET", "/ignored-pushes", None);
        assert_eq!(status, 200, "{answer:#}");
        answer["ignored_pushes"].as_array().filter(|pushes| !pushes.is_empty()).cloned()
    });
    assert_eq!((&ignored[0]["tag"], &ignored[0]["digest"]), (&json!("feature-x"), &json!(digest)));
    let reason = ignored[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("no pattern of the application's `builds`"), "{reason}");
    assert!(ignored[0]["at"].as_str().expect("a time").parse::<Timestamp>().is_ok());
}

#[test]
fn replicated_image_opens_a_promotion() {
    let app = Plan::new("replicated").create_with_fakes();
    let digest = app.push_unheard("main", &Spec::new("1"));
    let mut event = app.push_event("main", &digest, Timestamp::now());
    event["detail-type"] = json!("ECR Replication Action");
    event["detail"]["action-type"] = json!("REPLICATE");
    app.deliver(&event);
    assert!(app.everybody_is_asked());
}
