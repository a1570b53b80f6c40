//! The newest `ACTIVE` revision of a task definition family, which runs when somebody names the
//! family alone.
//!
//! After an operation that revision must not be one of Stablepin's that failed or was never used.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::Release;
use stablepin_tests::crash::Fault;
use stablepin_tests::ecs_fake::DeploymentOutcome;
use stablepin_tests::release::SERVICES;

/// The image of the first container of the family's newest revision, and that revision's ARN.
#[track_caller]
fn newest(release: &Release, family: &str) -> (String, String) {
    let (arn, definition) = release.ecs.newest_of(family).expect("a family");
    let image = definition["containerDefinitions"][0]["image"].as_str().expect("an image").to_owned();
    (image, arn)
}

/// Asserts that the newest revision has this digest and otherwise equals the service's definition.
#[track_caller]
fn runs_by_name(release: &Release, family: &str, digest: &str) {
    assert_eq!(newest(release, family).0, release.image(digest));
    let (_, definition) = release.ecs.newest_of(family).expect("a family");
    assert_eq!(definition, release.service(family).definition());
}

fn registrations(release: &Release) -> usize {
    release.ecs.count("RegisterTaskDefinition")
}

#[test]
fn newest_revision_has_the_pin_after_our_rollback() {
    let release = Release::next(&SERVICES);
    for service in SERVICES {
        release.new_service(service).circuit_breaker(false).create();
    }
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    SERVICES.iter().for_each(|service| runs_by_name(&release, service, &release.before));
    assert_eq!(release.ecs.count("DeregisterTaskDefinition"), 0);
}

#[test]
fn newest_revision_has_the_pin_after_a_rollback_by_ecs() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    runs_by_name(&release, "web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1, "registering it begins no deployment");
}

#[test]
fn newest_revision_is_restored_after_a_failed_first_release() {
    let release = Release::first(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    runs_by_name(&release, "web", &release.before);
}

/// The rollback fails, so the service keeps the failed revision.
#[test]
fn newest_revision_has_the_pin_if_the_rollback_fails() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    release.settle();
    release.ecs.keeps_refusing("UpdateService", "", (400, "AccessDeniedException", "not authorized"));
    let record = release.ends();
    assert_eq!(record["state"], "Failed", "{record:#}");
    assert_eq!(release.service("web").images()[0], release.image(&release.digest));
    assert_eq!(newest(&release, "web").0, release.image(&release.before));
}

#[test]
fn completed_release_registers_no_extra_revision() {
    let release = Release::next(&SERVICES).with(&SERVICES);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    SERVICES.iter().for_each(|service| runs_by_name(&release, service, &release.digest));
    assert_eq!(registrations(&release), 2);
}

/// The rollback uses the pin's own revision again, but a later revision has the highest number.
#[test]
fn newest_revision_has_the_target_of_a_rollback() {
    let release = Release::next(&["web"]).with(&["web"]);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    let (_, proven) = newest(&release, "web");
    release.service("web").deploys_meanwhile(&release.image(&release.before));
    release.settle();
    let before = registrations(&release);
    let run = release.ask_back("stable", None);
    assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
    assert_eq!(registrations(&release), before, "the rollback uses the revision again without a new one");
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    assert_eq!(release.service("web").described()["taskDefinition"], proven.as_str());
    runs_by_name(&release, "web", &release.digest);
    assert_eq!(registrations(&release), before + 1);
}

/// After a failed release, the pin's definition was registered again. A rollback to an older pin
/// leaves that copy behind.
#[test]
fn newest_revision_has_the_target_despite_a_copied_pin() {
    let release = Release::next(&["web"]).with(&["web"]);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.ecs.registers(&release.service("web").definition());
    let run = release.ask_back("previous", None);
    assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    runs_by_name(&release, "web", &release.before);
}

/// The function registers a revision and is killed before the update. The next try registers
/// another one, and ECS refuses its update.
#[test]
fn unused_revision_does_not_stay_the_newest() {
    for killed in [false, true] {
        let release = Release::next(&["web"]).with(&["web"]);
        release.approve(None);
        if killed {
            let requests = {
                let other = Release::next(&["web"]).with(&["web"]);
                other.approve(None);
                other.tick(None).requests
            };
            let register = requests.iter().position(|request| request == "RegisterTaskDefinition");
            let run = release.tick(Some((register.expect("a registration") + 1, Fault::KillAfter)));
            assert!(run.hit, "{:?}", run.requests);
        }
        release.ecs.keeps_refusing("UpdateService", "", (400, "AccessDeniedException", "not authorized"));
        if killed {
            while release.looks()["revert"].is_null() {}
            // ECS may show a change late, so the deadline must leave time.
            let deadline = Timestamp::now() + SignedDuration::from_mins(25);
            release.rewrite("revert.deadline", &deadline.to_string());
        }
        let record = release.ends();
        assert_eq!(record["state"], "Failed", "{record:#}");
        runs_by_name(&release, "web", &release.before);
    }
}

/// A person registered a revision after Stablepin's and did not deploy it.
#[test]
fn newer_revision_of_a_person_stays_the_newest() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    // The person uses the failed image too, to find its fault.
    let mut theirs = release.service("web").definition();
    theirs["containerDefinitions"][0]["environment"] = json!([{ "name": "DEBUG", "value": "1" }]);
    let arn = release.ecs.registers(&theirs);
    let record = release.ends();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert_eq!(newest(&release, "web").1, arn);
}

/// A killed promoter registers nothing twice. A short gap between the look at the family and the
/// registration remains.
#[test]
fn killed_promoter_restores_the_family_once() {
    let begun = || {
        let release = Release::next(&["web"]).with(&["web"]);
        release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
        release.begin();
        release.settle();
        release
    };
    // One tick does all of the remaining work.
    let requests = begun().tick(None).requests;
    let register = requests.iter().position(|request| request == "RegisterTaskDefinition");
    let register = register.unwrap_or_else(|| panic!("the family is not restored: {requests:?}")) + 1;
    for at in register - 3..=requests.len() {
        for fault in [Fault::KillBefore, Fault::KillAfter, Fault::ResetAfter] {
            let release = begun();
            let run = release.tick(Some((at, fault)));
            assert!(run.hit, "{at} {fault:?}: {:?}", run.requests);
            let record = release.ends();
            assert_eq!(record["state"], "RolledBack", "{at} {fault:?}: {record:#}");
            runs_by_name(&release, "web", &release.before);
            // The broken connection may have delivered the request twice: ECS has no idempotency
            // token here.
            let most = if fault == Fault::ResetAfter { 3 } else { 2 };
            assert!((2..=most).contains(&registrations(&release)), "{at} {fault:?}");
        }
    }
}

#[test]
fn family_that_cannot_be_restored_is_left() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    release.settle();
    release.ecs.keeps_refusing(
        "RegisterTaskDefinition",
        "",
        (400, "AccessDeniedException", "not authorized"),
    );
    let record = release.ends();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert_eq!(release.operation()["problem"], Value::Null);
}
