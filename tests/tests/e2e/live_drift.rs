//! Somebody moves what runs, and nobody asked Stablepin for it: told once, audited, shown, and over by itself.

use serde_json::Value;
use stablepin_tests::Release;
use stablepin_tests::ecs_double::Outcome;

const KIND: &str = "Live Drift State Change";

/// Pin 2 runs on every service, and ECS has nothing left to tell. With the revision that each service had before.
#[track_caller]
fn pinned(services: &[&str]) -> (Release, Vec<String>) {
    let release = Release::next(services).with(services);
    let revision = |service: &&str| release.service(service).described()["taskDefinition"].clone();
    let old = services.iter().map(revision).map(|arn| arn.as_str().expect("an ARN").to_owned()).collect();
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.hears();
    assert_eq!(told(&release), Vec::<Value>::new());
    (release, old)
}

/// What people were told of it.
fn told(release: &Release) -> Vec<Value> {
    let of = |notice: &Value| notice["metadata"]["eventType"] == "live-drift";
    release.app.notices().into_iter().filter(of).collect()
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
fn an_apply_that_puts_the_old_revision_back_is_told_once() {
    let (release, old) = pinned(&["web"]);
    let pinned = release.service("web").described()["taskDefinition"].as_str().expect("an ARN").to_owned();
    applies(&release, "web", &old[0]);
    release.tick(None);
    let notices = told(&release);
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let text = notices[0]["content"]["description"].as_str().expect("a text");
    assert!(text.contains(&release.before), "{text}");
    let found = drift(&release);
    assert_eq!(found["services"].as_object().map(serde_json::Map::len), Some(1), "{found:#}");
    assert_eq!(release.app.audited(KIND), ["- → Detected"]);

    // It ends by itself when somebody puts the pin back.
    applies(&release, "web", &pinned);
    assert_eq!(drift(&release), Value::Null);
    assert_eq!(release.app.audited(KIND), ["- → Detected", "Detected → Ended"]);

    // And back again, and again: nobody is told anew within the hour.
    for revision in [&old[0], &pinned, &old[0], &pinned] {
        applies(&release, "web", revision);
    }
    release.tick(None);
    assert_eq!(told(&release).len(), 1);
}

#[test]
fn a_rollback_to_the_pin_ends_the_drift() {
    let (release, old) = pinned(&["web", "worker"]);
    applies(&release, "worker", &old[1]);
    assert_eq!(told(&release).len(), 1);
    let run = release.ask_back("stable", None);
    assert_eq!(run.answer.expect("it was not killed")["statusCode"], 202);
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.hears();
    assert_eq!(drift(&release), Value::Null);
    assert_eq!(release.app.audited(KIND), ["- → Detected", "Detected → Ended"]);
}

/// The pin stays, and each part of the services was brought to another one, by a rollback of its own.
#[test]
fn what_rollbacks_of_a_part_left_is_no_drift() {
    let (release, _) = pinned(&["web", "worker"]);
    for service in ["web", "worker"] {
        let run = release.ask_back_of("1", &[service]);
        assert_eq!(run.answer.expect("it was not killed")["statusCode"], 202);
        let record = release.ends();
        assert_eq!(record["state"], "Completed", "{record:#}");
    }
    release.hears();
    release.app.sweep_beside(Some(&release.ecs));
    assert_eq!((drift(&release), told(&release).len()), (Value::Null, 0));
}

#[test]
fn our_own_rollout_is_no_drift() {
    let release = Release::next(&["web", "worker"]).with(&["web", "worker"]);
    release.begin();
    for _ in 0..8 {
        release.ecs.advance();
        release.hears();
        release.app.sweep_beside(Some(&release.ecs));
    }
    release.ends();
    release.hears();
    assert_eq!((release.app.audited(KIND), told(&release).len()), (Vec::new(), 0));
}

/// The release fails, ECS's circuit breaker goes back to the pin, and the environment is held.
#[test]
fn ecs_going_back_by_itself_is_no_drift() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(Outcome::CrashesUntilTheBreaker);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    release.hears();
    release.app.sweep_beside(Some(&release.ecs));
    assert_eq!((release.app.audited(KIND), told(&release).len()), (Vec::new(), 0));
    // A hold does not silence what somebody does afterwards.
    release.service("web").deploys_meanwhile("somebody/else:1");
    release.settle();
    release.hears();
    assert_eq!(told(&release).len(), 1);
}

#[test]
fn scaling_is_no_drift() {
    let (release, _) = pinned(&["web"]);
    for desired in [5, 0, 1] {
        release.service("web").scales_to(desired);
        release.settle();
        release.hears();
        release.app.sweep_beside(Some(&release.ecs));
    }
    assert_eq!((release.app.audited(KIND), told(&release).len()), (Vec::new(), 0));
}

#[test]
fn sweep_finds_a_service_that_was_deleted() {
    let (release, _) = pinned(&["web"]);
    release.service("web").is_deleted();
    release.app.sweep_beside(Some(&release.ecs));
    let notices = told(&release);
    assert_eq!(notices.len(), 1, "{notices:#?}");
    let text = notices[0]["content"]["description"].as_str().expect("a text");
    assert!(text.contains("web is not there any more"), "{text}");
    release.app.sweep_beside(Some(&release.ecs));
    assert_eq!(told(&release).len(), 1);
}

/// A change of the team's that keeps the image, such as a new variable.
#[test]
fn another_revision_of_the_pinned_image_is_no_drift() {
    let (release, _) = pinned(&["web"]);
    let image = release.image(&release.digest);
    release.service("web").deploys_meanwhile(&image);
    release.settle();
    release.hears();
    release.app.sweep_beside(Some(&release.ecs));
    assert_eq!((release.app.audited(KIND), told(&release).len()), (Vec::new(), 0));
}

/// The sweep of services that run the revisions that were proven: one call of ECS.
#[test]
fn sweep_asks_ecs_once_where_nothing_drifted() {
    let (release, _) = pinned(&["web", "worker"]);
    let before = release.ecs.calls().len();
    release.app.sweep_beside(Some(&release.ecs));
    let calls: Vec<_> = release.ecs.calls()[before..].iter().map(|call| call.operation.clone()).collect();
    assert_eq!(calls, ["DescribeServices"]);
}

/// What ECS does not answer is asked again by the queue.
#[test]
fn a_look_that_fails_is_an_error_and_no_drift() {
    let (release, old) = pinned(&["web"]);
    release.service("web").deploys_revision_meanwhile(&old[0]);
    release.settle();
    release.ecs.refuses_next("DescribeServices", 400, "AccessDeniedException");
    let answer = release.app.sweep_beside(Some(&release.ecs)).answer.expect("it ends");
    assert_eq!(answer["errorMessage"], "an application could not be swept", "{answer}");
    assert_eq!(release.app.audited(KIND), Vec::<String>::new());
    release.app.sweep_beside(Some(&release.ecs));
    assert_eq!(told(&release).len(), 1);
}
