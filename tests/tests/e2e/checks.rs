//! Signed requests of pipelines: reports of checks, and requests that name an image and a pipeline
//! run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::{NewImage, TagMutability};
use stablepin_tests::{App, Console, Plan, until};
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

pub(crate) fn report(app: &App, digest: &str, result: &str) -> (u16, Value) {
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
    let page = Console::mint().get(&format!("/{}?ignored=0", app.plan.name)).text();
    assert!(page.contains("<code>feature-x</code>") && page.contains("Back to"), "{page}");
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

const BUILDS: &str = "POST /v1/applications/{application}/builds";

/// Sends a request that names an image, and passes the audit record of the request to the promoter.
#[track_caller]
fn name_image(app: &App, body: &Value) -> Value {
    let (status, answer) = app.api_with_fakes(BUILDS, body);
    assert_eq!(status, 202, "{answer:#}");
    let announced = app.audit().into_iter().find(|record| record["kind"] == "Image Named");
    app.publish("Image Named", &announced.expect("the request is in the audit trail"));
    answer
}

#[test]
fn request_names_an_image_by_its_digest_alone() {
    let app = Plan::new("named-digest").create_with_fakes();
    let digest = app.push_unheard("feature-x", &Spec::new("1"));
    let (status, answer) = app.api_with_fakes(BUILDS, &json!({ "digest": digest }));
    assert_eq!(status, 409, "{answer:#}");
    assert!(answer["detail"].as_str().expect("a detail").contains("has no tag that a pattern"), "{answer:#}");
    app.web().is_tagged("main", &digest).is_tagged("main-4f2a9c1", &digest);
    let answer = name_image(&app, &json!({ "digest": digest }));
    assert_eq!(answer["tag"], "main-4f2a9c1", "the tag with a commit names the build: {answer:#}");
    app.ticks_until("the approver is asked", App::everybody_is_asked);

    // The image has two build tags, but the sweep opens no second promotion.
    app.ecr().time_passes(SignedDuration::from_mins(-10));
    app.sweep_with_fakes(None);
    assert_eq!(app.promotions().len(), 1, "{:#?}", app.promotions());
    // Stablepin has recorded the build, so the request needs no tag and the response has none.
    let run = json!({ "id": "7", "link": LINK });
    let (status, answer) = app.api_with_fakes(BUILDS, &json!({ "digest": digest, "run": run }));
    assert_eq!((status, &answer["tag"]), (202, &Value::Null), "{answer:#}");
    assert_eq!(app.promotions()[0]["build"]["run"]["id"], "7");
    assert_eq!(app.promotions().len(), 1);
    let (status, answer) = app.api_with_fakes(BUILDS, &json!({ "run": run }));
    assert_eq!((status, &answer["in"]), (400, &json!("tag")), "{answer:#}");
}

#[test]
fn build_request_pulls_through_the_pull_through_cache() {
    let app = Plan::new("pulled-through").create_with_fakes();
    app.web().caches_on_pull("main-7", NewImage::named("built for GHCR"));
    assert_eq!(app.web().count(), 0);
    let answer = name_image(&app, &json!({ "tag": "main-7", "run": { "link": LINK } }));
    assert_eq!(answer["digest"], app.web().digests()[0]);
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    assert_eq!(app.promotions()[0]["build"]["run"]["link"], LINK);
}

#[test]
fn promotion_of_a_replicated_image_waits_for_its_layers() {
    let app = Plan::new("late-layers").create_with_fakes();
    let digest = app.web().put(NewImage::named("image").layer("late", 1000).tag("main"));
    let manifest: Value =
        serde_json::from_str(&app.web().manifest(&digest).expect("a manifest")).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer");
    app.web().loses_blob(layer);
    let mut event = app.push_event("main", &digest, Timestamp::now());
    event["detail-type"] = json!("ECR Replication Action");
    event["detail"]["action-type"] = json!("REPLICATE");
    app.deliver(&event);
    let waiting = &app.promotions()[0];
    assert_eq!((&waiting["state"], &waiting["asked"]), (&json!("Pending"), &json!({})));
    assert_eq!(waiting["waits_for"], json!(["the validation of the image"]));
    app.web().receives_blob(layer, 1000);
    app.pauses_end();
    app.ticks_until("the approver is asked", App::everybody_is_asked);
}

#[test]
fn concurrent_reports_of_one_digest_are_all_recorded() {
    let app = Plan::new("reports-at-once").with(REQUIRES).create();
    let digest = app.push("main", &Spec::new("1"));
    waits_for_its_tests(&app, &digest);
    let names = ["unit", "staging-tests", "scan", "licences"];
    std::thread::scope(|scope| {
        for name in names {
            let (app, digest) = (&app, &digest);
            scope.spawn(move || {
                let body = json!({ "digest": digest, "name": name, "result": "passed" });
                let (status, answer) = app.api("POST", "/checks", Some(&body));
                assert_eq!((status, &answer["recorded"]), (200, &json!("new")), "{name}: {answer:#}");
            });
        }
    });
    let promotion = until("a promotion that waits for nothing", || {
        promotion_of(&app, &digest).filter(|one| one["waits_for"] == json!([]))
    });
    for name in names {
        assert_eq!(promotion["checks"][name]["result"], "passed", "{promotion:#}");
    }
}

#[test]
fn record_of_an_ignored_push_expires_after_thirty_days() {
    let app = Plan::new("ignored-expires").create_with_fakes();
    app.push_unheard("feature-x", &Spec::new("1"));
    app.hears();
    let items = app.raw_items(&format!("APP#{}", app.plan.name));
    let sk = |item: &Value| item["sk"]["S"].as_str().expect("a key").to_owned();
    let ignored = items.iter().find(|item| sk(item).starts_with("IGNORED#")).expect("the ignored push");
    let ttl: i64 = ignored["ttl"]["N"].as_str().expect("an expiry").parse().expect("a number");
    let days = (ttl - Timestamp::now().as_second()) as f64 / 86_400.0;
    assert!((29.9..30.1).contains(&days), "{days} days");
}

/// The tagger reads no report of a check and no earlier environment. One call validates all layers,
/// while the tagger downloads the image's configuration.
#[test]
fn push_without_required_checks_makes_few_aws_calls() {
    let app = Plan::new("calls-of-a-push").create_with_fakes();
    let digest = app.web().put(NewImage::named("image").tag("main"));
    let run = app.invoke(None, "tagger", &app.push_event("main", &digest, Timestamp::now()), None);
    assert!(app.everybody_is_asked());
    let mut calls = BTreeMap::new();
    for request in &run.requests {
        let operation = request.split(' ').next().expect("an operation");
        *calls.entry(operation).or_insert(0) += 1;
    }
    let expected = [
        ("BatchCheckLayerAvailability", 1),
        ("BatchGetImage", 2),
        ("BatchGetItem", 5),
        ("GET", 1),
        ("GetDownloadUrlForLayer", 1),
        ("ListSubscriptionsByTopic", 1),
        ("Publish", 1),
        ("PutImage", 1),
        ("PutItem", 1),
        ("TransactWriteItems", 3),
        ("UpdateItem", 2),
    ];
    assert_eq!(calls, BTreeMap::from(expected));
}

/// Stablepin writes the request into the audit trail. The promoter then publishes the audit record
/// on the event bus, and a rule of the bus invokes the promoter.
#[test]
fn deployed_stack_opens_a_promotion_of_a_named_image() {
    let app = Plan::new("named-in-stack").with_repository();
    let narrow = app.plan.toml().replace("\"main-*\", ", "");
    assert_eq!(app.put(&narrow).status, 201);
    let digest = app.push("main-7", &Spec::new("1"));
    until("the ignored push", || app.items("IGNORED#").pop());
    assert_eq!(app.put(&app.plan.toml()).status, 200);
    let run = json!({ "repository": "acme/web", "id": "7", "link": LINK });
    let (status, answer) = app.api("POST", "/builds", Some(&json!({ "tag": "main-7", "run": run })));
    assert_eq!((status, &answer["digest"]), (202, &json!(digest)), "{answer:#}");
    let promotion = until("the promotion", || promotion_of(&app, &digest));
    assert_eq!(promotion["build"]["run"]["link"], LINK, "{promotion:#}");
    app.link(&digest);
}

/// Any principal with access to the event bus can send an `Image Named` event. The promoter ignores
/// an event without a record in the audit trail, which only Stablepin can write.
#[test]
fn forged_event_opens_no_promotion() {
    let app = Plan::new("forged").create_with_fakes();
    let digest = app.push_unheard("main-7", &Spec::new("1"));
    let forged = json!({ "application": app.plan.name, "kind": "Image Named", "to": "main-7", "digest": digest,
        "at": Timestamp::now(), "version": 1, "actor": { "type": "push" } });
    app.publish("Image Named", &forged);
    assert_eq!(app.promotions(), Vec::<Value>::new());
}

#[test]
fn pipeline_run_is_recorded_after_the_promotion_ended() {
    let app = Plan::new("late-run").create_with_fakes();
    let digest = app.push_unheard("main-7", &Spec::new("1"));
    app.hears();
    let link = app.link(&digest);
    app.decides(&link, "reject");
    let (status, answer) = app.api_with_fakes(BUILDS, &json!({ "tag": "main-7", "run": { "link": LINK } }));
    assert_eq!((status, &answer["promotions"]), (202, &json!([])), "{answer:#}");
    assert_eq!(app.build(&digest).expect("the build")["run"]["link"], LINK);
}

#[test]
fn api_returns_502_if_ecr_fails_to_read_a_named_image() {
    let app = Plan::new("ecr-fails").create_with_fakes();
    app.push_unheard("main-7", &Spec::new("1"));
    app.ecr().keeps_failing("BatchGetImage", 1, 400, "UpstreamUnavailableException");
    let (status, answer) = app.api_with_fakes(BUILDS, &json!({ "tag": "main-7" }));
    assert_eq!(status, 502, "{answer:#}");
    assert!(answer["detail"].as_str().expect("a detail").contains("UpstreamUnavailable"), "{answer:#}");
    app.ecr().is_well();
}

#[test]
fn mail_shows_a_run_from_an_image_label_as_unverified() {
    let app = Plan::new("run-label").create_with_fakes();
    let labelled = app.plan.toml().replacen("repository", "run_label = \"ci.run\"\nrepository", 1);
    app.registers(&app.plan.name, &labelled);
    let digest = app.web().put(NewImage::named("image").label("ci.run", LINK).tag("main"));
    app.deliver(&app.push_event("main", &digest, Timestamp::now()));
    assert_eq!(app.promotions()[0]["build"]["run"]["source"], "label");
    let mail = app.mails("lead").pop().expect("a mail");
    assert!(mail.body.contains("/acme/web/actions/runs/7 (unverified"), "{}", mail.body);
}

/// Returns the application file with a second environment, `staging`, that needs no approval.
fn after_staging(app: &App) -> String {
    let staging = "\n[[environment]]\nname = \"staging\"\nstable_tag = \"staging-stable\"\ndeploy = \"never\"\n\
                   approval = { required = 0, approvers = [] }\n";
    format!("{}{staging}", app.plan.toml())
}

#[test]
fn promotion_waits_for_a_pin_of_the_earlier_environment() {
    let app = App::create_unregistered(Plan::new("after-staging").with("after = \"staging\"\nsoak = \"1m\""));
    app.registers(&app.plan.name, &after_staging(&app));
    let digest = app.push_unheard("main", &Spec::new("1"));
    app.hears();
    app.ticks_until("the pin of staging", |app| app.tag("staging-stable") == Some(digest.clone()));
    let pinned = app.audit().into_iter().find(|one| one["kind"] == "Pin Change").expect("an audit record");
    app.publish("Pin Change", &pinned);
    let production =
        || app.promotions().into_iter().find(|one| one["pushed_tag"] == "main" && one["state"] == "Pending");
    app.ticks_until("the soak time", |_| {
        production().is_some_and(|one| {
            one["waits_for"][0].as_str().is_some_and(|text| text.contains("soak time in staging"))
        })
    });
    assert!(app.mails("lead").is_empty());
    for pin in app.items("PIN#staging#") {
        app.rewrite(pin["sk"].as_str().expect("a key"), "record.at", "2026-01-01T00:00:00Z");
    }
    let id = production().expect("the promotion")["id"].as_str().expect("an id").to_owned();
    app.rewrite(
        &format!("PROMOTION#{id}"),
        "record.operation.work.Promotion.earlier.read_at",
        "2026-01-01T00:00:00Z",
    );
    app.ticks_until("the mail", |app| !app.mails("lead").is_empty());
}

#[test]
fn latest_tag_follows_pushes_or_pins_as_configured() {
    for (setting, at_push) in [("push", true), ("pin", false)] {
        let app = Plan::new(&format!("latest-{setting}")).with_repository();
        let text = app.plan.toml().replacen("repository", &format!("latest = \"{setting}\"\nrepository"), 1);
        assert_eq!(app.put(&text).status, 201);
        let digest = app.push("main", &Spec::new("1"));
        let link = app.link(&digest);
        if at_push {
            until("the tag of the push", || (app.tag("latest") == Some(digest.clone())).then_some(()));
        } else {
            assert_eq!(app.tag("latest"), None);
        }
        link.approve();
        until("the tag of the pin", || (app.tag("latest") == Some(digest.clone())).then_some(()));
    }
}

#[test]
fn immutable_repository_keeps_its_latest_tag() {
    let app = Plan::new("latest-immutable").tags_are(TagMutability::Immutable).create_with_fakes();
    let text = app.plan.toml().replacen("repository", "latest = \"pin\"\nrepository", 1);
    app.registers(&app.plan.name, &text);
    let old = app.web().put(NewImage::named("old").tag("latest"));
    let digest = app.push("main-1", &Spec::new("1"));
    app.approve(&digest);
    assert_eq!(app.pins(), [(1, digest)]);
    assert_eq!(app.tag("latest"), Some(old));
}
