//! Every possible result of an ECS deployment, and what the promoter then does.
//!
//! The promoter's real program runs against an ECS fake. The fake produces on demand the results
//! that real ECS produces rarely.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, decision};
use stablepin_tests::ecs_fake::{ControllerKind, DeploymentOutcome, Reported, Stage, WayBack};
use stablepin_tests::release::SERVICES;
use stablepin_tests::{Release, until};

/// A digest that belongs to no build.
const ELSE: &str = "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
const PAST: &str = "2026-01-01T00:00:00Z";

/// Asserts the number of pins, that the hold of the environment names the promotion, and that the
/// slot is free.
#[track_caller]
fn is_held(release: &Release, pins: usize) {
    let environment = release.app.environment();
    assert_eq!(release.app.pins().len(), pins);
    assert_eq!(environment["hold"]["by"], release.record()["id"], "{environment:#}");
    assert!(environment["slot"].is_null(), "{environment:#}");
}

/// Returns the titles of the notices that people received, in order.
fn notice_titles(release: &Release) -> Vec<String> {
    let title = |notice: &Value| notice["content"]["title"].as_str().unwrap_or_default().to_owned();
    let all: Vec<_> = release.app.notices().iter().map(title).collect();
    all.iter().map(|title| title.rsplit(": ").next().unwrap_or_default().to_owned()).collect()
}

const WENT_BACK: [&str; 2] = ["release failed, rolling back", "release failed, rolled back"];

/// Asserts that the release failed and that Stablepin rolled every service back to pin 1.
#[track_caller]
fn is_back_at_the_pin(release: &Release, record: &Value, services: &[&str], why: &str) {
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.reason(record).contains(why), "{record:#}");
    for service in services {
        release.runs(service, &release.before);
    }
    is_held(release, 1);
    assert_eq!(notice_titles(release), WENT_BACK);
    assert_eq!(release.app.environment()["rolled_back_from"], json!([release.digest]));
}

#[test]
fn proven_build_becomes_the_pin() {
    let release = Release::next(&SERVICES).with(&SERVICES);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    SERVICES.iter().for_each(|service| release.runs(service, &release.digest));
    assert_eq!(release.app.pins(), [(1, release.before.clone()), (2, release.digest.clone())]);
    assert_eq!(release.app.tag(&release.app.plan.stable_tag), Some(release.digest.clone()));
    assert!(release.app.environment()["hold"].is_null());
}

#[test]
fn stablepin_accepts_a_circuit_breaker_rollback_to_the_pin() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.reason(&record).contains("the circuit breaker threshold was exceeded"), "{record:#}");
    assert!(release.app.reason(&record).contains("ECS rolled back to pin 1"), "{record:#}");
    release.runs("web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1, "Stablepin does not disturb the rollback of ECS");
    is_held(&release, 1);
}

/// The response to `UpdateService` may still name the previous service deployment.
#[test]
fn promoter_finds_a_deployment_missing_in_the_ecs_response() {
    for (outcome, end) in [
        (DeploymentOutcome::Succeeds, "Completed"),
        (DeploymentOutcome::CrashesUntilTheBreaker, "RolledBack"),
    ] {
        let release = Release::next(&["web"]).with(&["web"]);
        release.ecs.names_service_deployments_late();
        release.service("web").will(outcome);
        let record = release.runs_its_course();
        assert_eq!(record["state"], end, "{record:#}");
        let ours = &release.service("web").service_deployments()[0]["serviceDeploymentArn"];
        assert_eq!(record["rollout"]["services"][0]["started"]["service_deployment"], *ours);
        assert_eq!(release.ecs.count("UpdateService"), 1);
    }
}

/// ECS has accepted the deployment, but for some seconds its responses show the state before the
/// deployment.
#[test]
fn promotion_continues_while_ecs_does_not_show_its_deployment() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.settle();
    release.ecs.names_service_deployments_late();
    release.ecs.shows_updates_late(true);
    release.begin();
    release.looks_again(None);
    let record = release.record();
    assert_eq!(record["state"], "InProgress", "{record:#}");
    let web = &record["rollout"]["services"][0];
    assert_eq!(
        (&web["progress"]["state"], &web["seen"]),
        (&json!("deployed"), &json!("ECS does not show it yet"))
    );
    release.ecs.shows_updates_late(false);
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.runs("web", &release.digest);
}

/// The promoter is killed after it updates the service. ECS still names the previous service
/// deployment, which ECS has rolled back.
#[test]
fn promoter_ignores_the_end_of_an_earlier_deployment() {
    let begun = || {
        let release = Release::next(&["web"]).with(&["web"]);
        release.ecs.names_service_deployments_late();
        release
            .service("web")
            .will(DeploymentOutcome::CrashesUntilTheBreaker)
            .deploys_meanwhile(&release.image(ELSE));
        release.settle();
        release.approve(None);
        release
    };
    let requests = begun().tick(None).requests;
    let update = requests.iter().position(|request| request == "UpdateService").expect("an update") + 1;
    let release = begun();
    let run = release.tick(Some((update, Fault::KillAfter)));
    assert!(run.hit, "{:?}", run.requests);
    // The first check finds that the deployment is the promoter's own. The second check finds that
    // the deployment has not begun.
    release.looks();
    let record = release.looks();
    assert_eq!(record["state"], "InProgress", "{record:#}");
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    assert_eq!(record["rollout"]["services"][0]["progress"]["state"], "proven", "{record:#}");
    release.runs("web", &release.digest);
}

/// Another person deploys after the release has failed and before Stablepin's rollback begins.
#[test]
fn rollback_does_not_replace_another_persons_deployment() {
    // Three cases: a rollback to the pin, a rollback to the pin while ECS does not yet name the
    // deployment, and a rollback to the image before the first release.
    for case in ["next", "named late", "first"] {
        let release = if case == "first" { Release::first(&["web"]) } else { Release::next(&["web"]) };
        release
            .new_service("web")
            .circuit_breaker(false)
            .create()
            .will(DeploymentOutcome::CrashesUntilTheBreaker);
        if case == "named late" {
            release.ecs.names_service_deployments_late();
        }
        release.begin();
        release.settle();
        release.ecs.refuses_next("UpdateService", 400, "ClientException");
        let record = release.looks();
        assert_eq!(record["revert"]["services"][0]["progress"]["state"], "waiting", "{record:#}");
        release.service("web").deploys_meanwhile(&release.image(ELSE));
        let record = release.ends();
        assert_eq!(record["state"], "Failed", "{case}: {record:#}");
        assert!(
            release.app.reason(&record).contains("somebody else started a deployment meanwhile"),
            "{record:#}"
        );
        release.runs("web", ELSE);
        is_held(&release, usize::from(case != "first"));
    }
}

/// ECS has rolled the service back to the pin. A push of the pin's own build then opens a
/// promotion.
#[test]
fn build_can_be_pinned_again_after_ecs_rolls_back_to_it() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    let later = Timestamp::now() + SignedDuration::from_secs(2);
    let event = release.app.push_event("main", &release.before, later);
    release.app.invoke(Some(&release.ecs), "tagger", &event, None);
    let asked = release.record()["id"].clone();
    let link = until("the mail about the promotion", || {
        Some(release.app.link(&release.before)).filter(|link| link.promotion() == asked)
    });
    release.app.invoke(Some(&release.ecs), "approval", &decision(&link, "approve", "it was good"), None);
    release.tick(None);
    let record = release.ends();
    assert_eq!(record["digest"], release.before.as_str(), "{record:#}");
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.runs("web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1, "the build runs already");
    assert_eq!(release.app.pins(), [(1, release.before.clone()), (2, release.before.clone())]);
    assert!(release.app.environment()["hold"].is_null());
    assert_eq!(release.app.environment()["rolled_back_from"], json!([release.digest]));
}

/// When the operator requests the rollback, ECS has already rolled one of two services back, or is
/// still rolling that service back.
#[test]
fn rollback_completes_if_ecs_rolls_one_service_back() {
    for way_back in [WayBack::Succeeds, WayBack::Stalls] {
        let release = Release::back(&SERVICES);
        let web = release.service("web").runs(&release.image(&release.digest)).desired(2);
        let web = web.container("sidecar", "sidecar:1").circuit_breaker(true).create();
        release.new_service("worker").circuit_breaker(true).create();
        release.settle();
        web.will(DeploymentOutcome::CrashesUntilTheBreaker).way_back(way_back);
        web.deploys_meanwhile(&release.image(&release.before));
        release.settle();
        let run = release.ask_back("1", None);
        assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
        web.way_back(WayBack::Succeeds);
        let record = release.ends();
        assert_eq!(record["state"], "Completed", "{way_back:?}: {record:#}");
        SERVICES.iter().for_each(|service| release.runs(service, &release.digest));
        assert_eq!(release.ecs.count("UpdateService"), 1, "only the worker needs an update");
    }
}

#[test]
fn stablepin_accepts_an_alarm_rollback_by_ecs_to_the_pin() {
    let release = Release::next(&["web"]);
    release.new_service("web").alarms(&["cpu"], true).create().will(DeploymentOutcome::AlarmFires);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.reason(&record).contains("alarms were triggered"), "{record:#}");
    release.runs("web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1);
}

#[test]
fn stablepin_corrects_an_ecs_rollback_to_an_unpinned_image() {
    let release = Release::next(&["web"]);
    let by_hand = release.service("web").runs(&release.image(ELSE)).container("sidecar", "sidecar:1");
    by_hand.circuit_breaker(true).create().will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    is_back_at_the_pin(&release, &record, &["web"], "the circuit breaker threshold was exceeded");
    assert_eq!(release.ecs.count("UpdateService"), 2);
}

/// Begins a release whose rollback by ECS does not finish. Returns when the promoter's time limit
/// for that rollback has passed.
#[track_caller]
fn going_back_for_ever(before: Option<&str>) -> Release {
    let release = Release::next(&["web"]);
    let runs = release.image(before.unwrap_or(&release.before));
    let new = release.service("web").runs(&runs).container("sidecar", "sidecar:1").circuit_breaker(true);
    new.create().will(DeploymentOutcome::CrashesUntilTheBreaker).way_back(WayBack::Stalls);
    release.begin();
    for _ in 0..3 {
        release.settle();
        let record = release.looks();
        assert_eq!(record["state"], "InProgress", "{record:#}");
    }
    let record = release.record();
    assert_eq!(record["rollout"]["services"][0]["progress"]["state"], "returning", "{record:#}");
    assert_eq!(release.ecs.count("UpdateService"), 1, "the promoter leaves the rollback to ECS");
    // The deadline of the release does not count while ECS rolls back.
    release.rewrite("rollout.deadline", PAST);
    assert_eq!(release.looks()["revert"], Value::Null);
    release.rewrite("rollout.services[0].progress.until", PAST);
    release.service("web").way_back(WayBack::Succeeds);
    release
}

#[test]
fn stalled_ecs_rollback_to_a_wrong_image_is_replaced() {
    let release = going_back_for_ever(Some(ELSE));
    release.looks();
    assert_eq!(release.ecs.count("UpdateService"), 2);
    let record = release.ends();
    is_back_at_the_pin(&release, &record, &["web"], "ECS did not finish its rollback");
}

#[test]
fn stalled_ecs_rollback_to_the_pin_is_replaced() {
    let release = going_back_for_ever(None);
    release.looks();
    assert_eq!(release.ecs.count("UpdateService"), 2, "{:#}", release.record());
    let record = release.ends();
    is_back_at_the_pin(&release, &record, &["web"], "ECS did not finish its rollback");
}

#[test]
fn late_ecs_rollback_to_the_pin_needs_no_new_deployment() {
    let release = going_back_for_ever(None);
    release.settle();
    let record = release.ends();
    is_back_at_the_pin(&release, &record, &["web"], "ECS did not finish its rollback");
    assert_eq!(release.ecs.count("UpdateService"), 1);
}

#[test]
fn stablepin_rolls_back_if_the_circuit_breaker_does_not() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    is_back_at_the_pin(&release, &record, &["web"], "ECS stopped it: ECS deployment circuit breaker");
}

#[test]
fn stablepin_rolls_back_if_the_rollback_by_ecs_fails() {
    let release = Release::next(&["web"]);
    let web = release.new_service("web").circuit_breaker(true).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker).way_back(WayBack::Fails);
    let record = release.runs_its_course();
    is_back_at_the_pin(&release, &record, &["web"], "ECS could not roll it back");
}

#[test]
fn stablepin_rolls_back_if_a_task_runs_a_wrong_image() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.ecs.reports(&release.image(&release.digest), &Reported::Digest(ELSE.to_owned()));
    let record = release.runs_its_course();
    is_back_at_the_pin(&release, &record, &["web"], &format!("runs {ELSE}"));
}

#[test]
fn stablepin_rolls_back_a_release_not_proven_by_its_deadline() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::Stalls);
    release.begin();
    release.settle();
    assert_eq!(release.looks()["state"], "InProgress");
    release.rewrite("rollout.deadline", PAST);
    let record = release.ends();
    is_back_at_the_pin(&release, &record, &["web"], "not proven in time");
}

/// Asserts that the promotion failed and that Stablepin did not replace the other person's
/// deployment.
#[track_caller]
fn is_left_to_others(release: &Release, record: &Value, updates: usize) {
    assert_eq!(record["state"], "Failed", "{record:#}");
    assert!(release.app.reason(record).contains("replaced ours"), "{record:#}");
    let said = release.app.reason(record);
    assert!(said.contains("Stablepin did not change what runs there now"), "{record:#}");
    assert_eq!(release.ecs.count("UpdateService"), updates);
    is_held(release, 1);
    release.runs("web", ELSE);
}

#[test]
fn deployment_that_superseded_a_release_is_not_replaced() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.begin();
    release.service("web").deploys_meanwhile(&release.image(ELSE));
    let record = release.ends();
    is_left_to_others(&release, &record, 1);
    assert_eq!(notice_titles(&release), ["release failed"]);
}

#[test]
fn other_services_roll_back_when_one_is_superseded() {
    let release = Release::next(&SERVICES).with(&SERVICES);
    release.begin();
    release.service("web").deploys_meanwhile(&release.image(ELSE));
    let record = release.ends();
    is_left_to_others(&release, &record, 3);
    assert!(release.app.reason(&record).ends_with("Every other service was rolled back"), "{record:#}");
    release.runs("worker", &release.before);
    assert_eq!(notice_titles(&release), ["release failed, rolling back", "release failed"]);
}

#[test]
fn pause_of_a_deployment_suspends_the_release_deadline() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::PausesAt(Stage::PostScaleUp));
    release.begin();
    release.settle();
    let record = release.looks();
    assert_eq!(record["state"], "InProgress", "{record:#}");
    let seen = record["rollout"]["services"][0]["seen"].as_str().unwrap_or_default();
    assert!(seen.starts_with("paused at POST_SCALE_UP"), "{seen}");
    // The pause began five minutes before the deadline, and the deadline is long past.
    release.rewrite("rollout.deadline", "2026-01-01T00:10:00Z");
    release.rewrite("rollout.services[0].pause.since", "2026-01-01T00:05:00Z");
    for _ in 0..2 {
        let record = release.looks();
        assert_eq!((&record["state"], &record["revert"]), (&json!("InProgress"), &Value::Null));
    }
    release.service("web").continues();
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.runs("web", &release.digest);
}

#[test]
fn release_with_a_desired_count_of_zero_pins_nothing() {
    let release = Release::next(&SERVICES);
    SERVICES.iter().for_each(|name| drop(release.new_service(name).desired(0).create()));
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Failed", "{record:#}");
    assert!(
        release.app.reason(&record).starts_with("not proven: the desired count of every service is 0"),
        "{record:#}"
    );
    is_held(&release, 1);
    assert_eq!(notice_titles(&release), ["release failed"]);
    let stable = release.app.tag(&release.app.plan.stable_tag);
    assert_eq!(stable, Some(release.before.clone()), "the stable tag was not moved");
}

#[test]
fn release_with_an_unsupported_controller_changes_nothing() {
    for controller in [ControllerKind::CodeDeploy, ControllerKind::External] {
        let release = Release::next(&SERVICES).with(&["web"]);
        release.new_service("worker").controller(controller).create();
        let record = release.runs_its_course();
        assert_eq!(record["state"], "Failed", "{record:#}");
        assert!(release.app.reason(&record).starts_with("Stablepin changed nothing"), "{record:#}");
        assert!(release.app.reason(&record).contains("CodeDeploy or an external controller"), "{record:#}");
        let changes = ["RegisterTaskDefinition", "UpdateService"].map(|call| release.ecs.count(call));
        assert_eq!(changes, [0, 0], "{controller:?}");
        assert!(release.app.environment()["hold"].is_null(), "a refusal holds nothing");
    }
}

#[test]
fn failure_of_one_service_rolls_every_service_back() {
    for rolls_back in [true, false] {
        let release = Release::next(&SERVICES);
        for service in SERVICES {
            release.new_service(service).circuit_breaker(rolls_back).create();
        }
        release.service("worker").will(DeploymentOutcome::CrashesUntilTheBreaker);
        let record = release.runs_its_course();
        is_back_at_the_pin(&release, &record, &SERVICES, "worker: ");
        let updates = if rolls_back { 3 } else { 4 };
        assert_eq!(
            release.ecs.count("UpdateService"),
            updates,
            "Stablepin updates the worker again only if ECS does not roll it back"
        );
    }
}

#[test]
fn failed_first_release_restores_task_definitions() {
    let release = Release::first(&SERVICES);
    for service in SERVICES {
        release.new_service(service).circuit_breaker(false).create();
    }
    let before = SERVICES.map(|service| release.service(service).described()["taskDefinition"].clone());
    release.service("worker").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    let after = SERVICES.map(|service| release.service(service).described()["taskDefinition"].clone());
    assert_eq!(after, before);
    is_held(&release, 0);
    assert_eq!(notice_titles(&release), WENT_BACK);
}

#[test]
fn stablepin_accepts_an_ecs_rollback_of_a_first_release() {
    let release = Release::first(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.reason(&record).contains("ECS rolled back to what ran before"), "{record:#}");
    release.runs("web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1);
    is_held(&release, 0);
}

/// CloudFormation and Terraform deregister each task definition revision that they replace.
#[test]
fn failed_first_release_restores_a_deregistered_revision() {
    let release = Release::first(&["web"]);
    release.new_service("web").circuit_breaker(false).tag("aws:cloudformation:stack-name", "prod").create();
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let before = release.service("web").described()["taskDefinition"].as_str().expect("an ARN").to_owned();
    release.begin();
    release.ecs.deregisters(&before);
    let record = release.ends();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    release.runs("web", &release.before);
    assert_ne!(release.service("web").described()["taskDefinition"], before.as_str());
    is_held(&release, 0);
}
