//! The newest `ACTIVE` revision of a task definition family. ECS uses this revision when a caller
//! names the family without a revision.
//!
//! Stablepin may have registered a revision that failed or was never deployed. Such a revision must
//! not remain the newest after the operation.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::Release;
use stablepin_tests::crash::Fault;
use stablepin_tests::ecs_fake::DeploymentOutcome;
use stablepin_tests::release::SERVICES;

/// Returns the image of the first container of the family's newest revision, and the revision's
/// ARN.
#[track_caller]
fn newest(release: &Release, family: &str) -> (String, String) {
    let (arn, definition) = release.ecs.newest_of(family).expect("a family");
    let image = definition["containerDefinitions"][0]["image"].as_str().expect("an image").to_owned();
    (image, arn)
}

/// Asserts that the newest revision of the family has this digest, and equals the service's task
/// definition.
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
fn newest_revision_has_the_pinned_image_after_a_rollback() {
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
fn newest_revision_has_the_pinned_image_after_ecs_rolls_back() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    runs_by_name(&release, "web", &release.before);
    assert_eq!(release.ecs.count("UpdateService"), 1, "registering a revision begins no deployment");
}

#[test]
fn newest_revision_has_the_old_image_if_a_first_release_fails() {
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

/// ECS refuses the rollback, so the service keeps the failed revision.
#[test]
fn newest_revision_has_the_pinned_image_if_a_rollback_fails() {
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

/// The rollback deploys the pin's old revision, which is not the newest of its family. So Stablepin
/// also registers a new revision with the pin's image.
#[test]
fn newest_revision_has_the_image_of_the_rollback_target() {
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

/// A failed release registered a copy of the pin's task definition. After a rollback to an older
/// pin, the copy must not remain the newest revision.
#[test]
fn rollback_to_an_older_pin_updates_the_newest_revision() {
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

/// ECS refuses to update the service, so the registered revision is never deployed. In the second
/// case, the promoter was also killed after the registration, and the next tick registers another
/// revision.
#[test]
fn stablepin_replaces_an_unused_newest_revision() {
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
            // ECS may show a change with a delay, so the deadline must be far enough in the future.
            let deadline = Timestamp::now() + SignedDuration::from_mins(25);
            release.rewrite("revert.deadline", &deadline.to_string());
        }
        let record = release.ends();
        assert_eq!(record["state"], "Failed", "{record:#}");
        runs_by_name(&release, "web", &release.before);
    }
}

/// After Stablepin has registered its own revision, a person registers another revision without
/// deploying it.
#[test]
fn stablepin_keeps_a_revision_that_another_person_registered() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    // The person's revision has the failed image too, because the person investigates the failure.
    let mut theirs = release.service("web").definition();
    theirs["containerDefinitions"][0]["environment"] = json!([{ "name": "DEBUG", "value": "1" }]);
    let arn = release.ecs.registers(&theirs);
    let record = release.ends();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert_eq!(newest(&release, "web").1, arn);
}

/// A killed promoter must not register a revision twice. One gap remains: the family may change
/// between the promoter's check and the registration.
#[test]
fn killed_promoter_restores_the_newest_revision_once() {
    let begun = || {
        let release = Release::next(&["web"]).with(&["web"]);
        release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
        release.begin();
        release.settle();
        release
    };
    // One tick does all remaining work.
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
            // After a broken connection, the promoter may register the revision a second time,
            // because `RegisterTaskDefinition` has no idempotency token.
            let most = if fault == Fault::ResetAfter { 3 } else { 2 };
            assert!((2..=most).contains(&registrations(&release)), "{at} {fault:?}");
        }
    }
}

#[test]
fn rollback_ends_even_if_ecs_refuses_to_register_a_revision() {
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
