//! Live drift: a service runs a deployment that Stablepin did not make. Stablepin sends one notice,
//! writes one audit record, and shows the live drift on the console. Live drift ends when the
//! service runs the pin again.

use serde_json::{Value, json};
use stablepin_tests::ecs_fake::{DeploymentOutcome, Stage};
use stablepin_tests::{App, Console, Plan, Release, stack, until};
use xtask::image::Spec;

use crate::console::beginning_with;
use crate::deploy::promoted;

const KIND: &str = "Live Drift State Change";

/// Runs real containers, so that the emulator's ECS sends the events.
#[test]
fn manual_deployment_is_reported_once_as_live_drift() {
    let app = Plan::new("by-hand").services(["web"]).deployed("bake = \"0s\"").create();
    let other = app.push_runnable("by-hand", &Spec::new("before"));
    let service = app.service("web", &other);
    let pin = app.push_runnable("main", &Spec::new("1"));
    assert_eq!(promoted(&app, &pin)["state"], "Completed");
    assert_eq!((app.audited(KIND), notices(&app)), (Vec::new(), Vec::new()));

    service.deploy_by_hand(&other);
    let notice = until("a notice of the drift", || notices(&app).pop());
    let text = notice["content"]["description"].as_str().expect("a text");
    let revision = service.revision();
    let revision = revision.rsplit('/').next().expect("a revision");
    assert!(text.contains(&other) && text.contains(&pin) && text.contains(revision), "{text}");
    assert_eq!(app.audited(KIND), ["- → Detected"]);
    let drift = || {
        let (status, environment) = app.api("GET", "/environments/production", None);
        assert_eq!(status, 200, "{environment}");
        environment["live_drift"].clone()
    };
    let name = format!("{}/web", app.plan.cluster);
    let found = drift();
    assert_eq!((&found["services"][&name]["digest"], &found["ended_at"]), (&json!(other), &Value::Null));
    let console = Console::mint();
    console.open();
    let page = console.get(&format!("/{}", app.plan.name)).text();
    assert!(page.contains("does not run pin 1."), "{page}");
    let list = console.get(&format!("/{}", beginning_with(&app))).text();
    assert!(list.contains(&app.plan.name) && list.contains("Drift"), "{list}");

    service.deploy_by_hand(&pin);
    let ended = ["- → Detected", "Detected → Ended"];
    until("the drift's end", || (app.audited(KIND) == ended).then_some(()));
    assert!(drift()["ended_at"].is_string());
    let page = console.get(&format!("/{}", app.plan.name)).text();
    assert!(!page.contains("does not run pin"), "{page}");

    // ECS sends no deployment event for the deletion of a service. The end of a promotion or
    // rollback triggers the next check.
    let delete = json!({ "cluster": app.plan.cluster, "service": "web", "force": true });
    app.aws.ecs("DeleteService", &delete).expect("ECS deletes the service");
    let id = "019b0000-0000-7000-8000-000000000000";
    let detail =
        json!({ "application": app.plan.name, "environment": "production", "id": id, "to": "Completed" });
    let entry = json!({
        "Source": "stablepin", "DetailType": "Rollback State Change", "Detail": detail.to_string(),
        "EventBusName": stack().bus(),
    });
    let put = app.aws.events("PutEvents", &json!({ "Entries": [entry] })).expect("the bus answers");
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
    until("the check at the end of a rollback", || (app.audited(KIND).len() == 3).then_some(()));
    assert_eq!(drift()["services"][&name]["task_definition"], Value::Null);
    assert_eq!(notices(&app).len(), 1, "no second notice within the hour");
}

/// Returns a release whose pin 2 runs on every service, and the revision that each service ran
/// before the release. Stablepin has received all events of ECS.
#[track_caller]
fn pinned(services: &[&str]) -> (Release, Vec<String>) {
    let release = Release::next(services).with(services);
    let revision = |service: &&str| release.service(service).described()["taskDefinition"].clone();
    let old = services.iter().map(revision).map(|arn| arn.as_str().expect("an ARN").to_owned()).collect();
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.hears();
    assert_eq!(drift_notices(&release), Vec::<Value>::new());
    (release, old)
}

/// Returns the notices about live drift that people received.
fn notices(app: &App) -> Vec<Value> {
    let of = |notice: &Value| notice["metadata"]["eventType"] == "live-drift";
    app.notices().into_iter().filter(of).collect()
}

fn drift_notices(release: &Release) -> Vec<Value> {
    notices(&release.app)
}

#[track_caller]
fn drift(release: &Release) -> Value {
    let drift = release.app.environment()["live_drift"].clone();
    if drift["ended_at"].is_null() { drift } else { Value::Null }
}

#[track_caller]
fn applies(release: &Release, service: &str, revision: &str) {
    release.service(service).deploys_revision_meanwhile(revision);
    release.settle();
    release.hears();
}

#[test]
fn live_drift_to_an_old_revision_is_reported_once() {
    let (release, old) = pinned(&["web"]);
    let pinned = release.service("web").described()["taskDefinition"].as_str().expect("an ARN").to_owned();
    applies(&release, "web", &old[0]);
    release.tick(None);
    let notices = drift_notices(&release);
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let text = notices[0]["content"]["description"].as_str().expect("a text");
    assert!(text.contains(&release.before), "{text}");
    let found = drift(&release);
    assert_eq!(found["services"].as_object().map(serde_json::Map::len), Some(1), "{found:#}");
    assert_eq!(release.app.audited(KIND), ["- → Detected"]);

    // The live drift ends when a person deploys the pin again.
    applies(&release, "web", &pinned);
    assert_eq!(drift(&release), Value::Null);
    assert_eq!(release.app.audited(KIND), ["- → Detected", "Detected → Ended"]);

    // The live drift begins and ends twice more. No further notice follows within the hour.
    for revision in [&old[0], &pinned, &old[0], &pinned] {
        applies(&release, "web", revision);
    }
    release.tick(None);
    assert_eq!(drift_notices(&release).len(), 1);
}

#[test]
fn rollback_to_the_pin_ends_live_drift() {
    let (release, old) = pinned(&["web", "worker"]);
    applies(&release, "worker", &old[1]);
    assert_eq!(drift_notices(&release).len(), 1);
    let run = release.ask_back("stable", None);
    assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.hears();
    assert_eq!(drift(&release), Value::Null);
    assert_eq!(release.app.audited(KIND), ["- → Detected", "Detected → Ended"]);
}

/// Two rollbacks follow each other. Each rolls a single service back to pin 1. The pin of the
/// environment does not change.
#[test]
fn rollbacks_of_single_services_cause_no_live_drift() {
    let (release, _) = pinned(&["web", "worker"]);
    for service in ["web", "worker"] {
        let run = release.ask_back_of("1", &[service]);
        assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
        let record = release.ends();
        assert_eq!(record["state"], "Completed", "{record:#}");
        release.hears_of_its_end();
    }
    release.hears();
    release.app.sweep_with_fakes(Some(&release.ecs));
    assert_eq!((drift(&release), drift_notices(&release).len()), (Value::Null, 0));
}

#[test]
fn rollout_by_stablepin_is_no_live_drift() {
    let release = Release::next(&["web", "worker"]).with(&["web", "worker"]);
    release.begin();
    for _ in 0..8 {
        release.ecs.advance();
        release.hears();
        release.app.sweep_with_fakes(Some(&release.ecs));
    }
    release.ends();
    release.hears_of_its_end();
    release.hears();
    assert_eq!((release.app.audited(KIND), drift_notices(&release).len()), (Vec::new(), 0));
}

/// A rollback of `web` occupies the slot while ECS sends all events of `worker`.
#[test]
fn live_drift_during_a_rollback_is_reported_afterwards() {
    for (outcome, end) in [
        (DeploymentOutcome::PausesAt(Stage::PostScaleUp), "Completed"),
        (DeploymentOutcome::Stalls, "Incomplete"),
    ] {
        let (release, old) = pinned(&["web", "worker"]);
        release.service("web").will(outcome);
        let run = release.ask_back_of("1", &["web"]);
        assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
        applies(&release, "worker", &old[1]);
        assert!(release.app.environment()["slot"].is_object(), "{end}");
        match end {
            "Completed" => drop(release.service("web").continues()),
            _ => release.rewrite("rollout.deadline", "2026-01-01T00:00:00Z"),
        }
        let record = release.ends();
        assert_eq!((&record["state"], drift_notices(&release).len()), (&json!(end), 0), "{record:#}");
        is_found_at_its_end(&release, "worker");
    }
}

/// The promotion fails because of another person's deployment. The promotion's own changes are no
/// live drift.
#[test]
fn live_drift_during_a_promotion_is_reported_afterwards() {
    let release = Release::next(&["web", "worker"]).with(&["web", "worker"]);
    release.begin();
    release.service("worker").deploys_meanwhile("somebody/else:1");
    release.settle();
    release.hears();
    assert!(release.app.environment()["slot"].is_object());
    let record = release.ends();
    assert_eq!((&record["state"], drift_notices(&release).len()), (&json!("Failed"), 0), "{record:#}");
    is_found_at_its_end(&release, "worker");
}

/// Asserts that only this service drifted and that people got one notice, even if the event of the
/// operation's end arrives twice.
#[track_caller]
fn is_found_at_its_end(release: &Release, service: &str) {
    assert_eq!(release.app.audited(KIND), Vec::<String>::new());
    for _ in 0..2 {
        release.hears_of_its_end();
        assert_eq!(
            (release.app.audited(KIND), drift_notices(release).len()),
            (vec!["- → Detected".to_owned()], 1)
        );
    }
    let found = drift(release)["services"].clone();
    let services: Vec<_> = found.as_object().expect("services").keys().collect();
    assert_eq!(services, [&format!("{}/{service}", release.app.plan.cluster)], "{found:#}");
}

/// The release fails, and the circuit breaker of ECS rolls back to the pin. The failed release puts
/// a hold on the environment.
#[test]
fn rollback_by_ecs_is_no_live_drift() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    release.hears_of_its_end();
    release.hears();
    release.app.sweep_with_fakes(Some(&release.ecs));
    assert_eq!((release.app.audited(KIND), drift_notices(&release).len()), (Vec::new(), 0));
    // During the hold, Stablepin must still report a deployment by another person.
    release.service("web").deploys_meanwhile("somebody/else:1");
    release.settle();
    release.hears();
    assert_eq!(drift_notices(&release).len(), 1);
}

#[test]
fn scaling_is_no_live_drift() {
    let (release, _) = pinned(&["web"]);
    for desired in [5, 0, 1] {
        release.service("web").scales_to(desired);
        release.settle();
        release.hears();
        release.app.sweep_with_fakes(Some(&release.ecs));
    }
    assert_eq!((release.app.audited(KIND), drift_notices(&release).len()), (Vec::new(), 0));
}

#[test]
fn sweep_reports_a_deleted_service_once() {
    let (release, _) = pinned(&["web"]);
    release.service("web").is_deleted();
    release.app.sweep_with_fakes(Some(&release.ecs));
    let notices = drift_notices(&release);
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let text = notices[0]["content"]["description"].as_str().expect("a text");
    assert!(text.contains("web no longer exists"), "{text}");
    release.app.sweep_with_fakes(Some(&release.ecs));
    assert_eq!(drift_notices(&release).len(), 1);
}

/// The team deploys another revision with the same image, for example to add a variable.
#[test]
fn another_revision_with_the_pinned_image_is_no_live_drift() {
    let (release, _) = pinned(&["web"]);
    let image = release.image(&release.digest);
    release.service("web").deploys_meanwhile(&image);
    release.settle();
    release.hears();
    release.app.sweep_with_fakes(Some(&release.ecs));
    assert_eq!((release.app.audited(KIND), drift_notices(&release).len()), (Vec::new(), 0));
}

/// The services run the proven revisions, so the sweep needs only one call to ECS.
#[test]
fn sweep_without_live_drift_calls_ecs_once() {
    let (release, _) = pinned(&["web", "worker"]);
    let before = release.ecs.calls().len();
    release.app.sweep_with_fakes(Some(&release.ecs));
    let calls: Vec<_> = release.ecs.calls()[before..].iter().map(|call| call.operation.clone()).collect();
    assert_eq!(calls, ["DescribeServices"]);
}

/// ECS refuses a call of the sweep. The sweep then fails, so that the queue delivers its message
/// again.
#[test]
fn queue_retries_the_sweep_if_a_check_of_ecs_fails() {
    let (release, old) = pinned(&["web"]);
    release.service("web").deploys_revision_meanwhile(&old[0]);
    release.settle();
    release.ecs.refuses_next("DescribeServices", 400, "AccessDeniedException");
    let answer = release.app.sweep_with_fakes(Some(&release.ecs)).answer.expect("the sweep ends");
    assert_eq!(answer["errorMessage"], "an application could not be swept", "{answer}");
    assert_eq!(release.app.audited(KIND), Vec::<String>::new());
    release.app.sweep_with_fakes(Some(&release.ecs));
    assert_eq!(drift_notices(&release).len(), 1);
}
