//! Rules 2 and 6 for a release and a rollback of two services. One request to AWS fails, in any way
//! and in any Lambda function. Ticks still finish the operation, and each effect happens once.
//!
//! In the first run the first request fails, in the next run the second request fails, and so on.
//! The test ends when a run has no such request.

use stablepin_tests::Release;
use stablepin_tests::crash::{Fault, ProgramRun};
use stablepin_tests::ecs_fake::DeploymentOutcome;
use stablepin_tests::faults::{ANSWERS, KILLS, everywhere, some};
use stablepin_tests::release::SERVICES;

/// The largest number of ticks that an operation may need.
const TICKS: usize = 12;

/// An operation under test, and the request that starts it.
struct TestedOperation {
    new: fn() -> Release,
    start: fn(&Release, Option<(usize, Fault)>) -> ProgramRun,
    /// Returns whether the operation does not exist yet, so that the caller must repeat the
    /// request.
    is_not_begun: fn(&Release) -> bool,
    /// Asserts that the operation succeeded and that each effect happened once.
    check: fn(&Release, &str),
}

/// Runs the operation to its end with one fault. Returns whether the fault happened.
fn run(operation: &TestedOperation, at: usize, fault: Fault) -> bool {
    let release = (operation.new)();
    let mut left = at;
    let mut hit = false;
    let mut requests = Vec::new();
    let mut invoked = |invoke: &dyn Fn(Option<(usize, Fault)>) -> ProgramRun| {
        let run = invoke((!hit).then_some((left, fault)));
        hit |= run.hit;
        left -= run.requests.len().min(left);
        requests.push(run.requests);
    };
    invoked(&|fault| (operation.start)(&release, fault));
    if (operation.is_not_begun)(&release) {
        invoked(&|fault| (operation.start)(&release, fault));
    }
    for _ in 0..TICKS {
        if release.has_ended() {
            break;
        }
        release.settle();
        invoked(&|fault| release.tick(fault));
    }
    let what = format!("{at} {fault:?}: {requests:?}");
    assert!(release.has_ended(), "{what}: {:#}", release.operation());
    (operation.check)(&release, &what);
    hit
}

const RELEASE: TestedOperation = TestedOperation {
    new: || Release::next(&SERVICES).with(&SERVICES),
    start: Release::approve,
    is_not_begun: |release| release.record()["votes"].as_object().is_none_or(serde_json::Map::is_empty),
    check: |release, what| {
        is_everywhere(release, what);
        let app = &release.app;
        let changes = ["- → Pending", "Pending → Pending", "Pending → InProgress", "InProgress → Completed"];
        let audited = app.audited("Promotion State Change");
        assert_eq!(audited[audited.len() - 4..], changes, "{what}");
        assert_eq!(audited.len(), 8, "{what}: {audited:?}");
        assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2"], "{what}");
        let pins = [(1, release.before.clone()), (2, release.digest.clone())];
        assert_eq!(app.pins(), pins, "{what}");
    },
};

const ROLLBACK: TestedOperation = TestedOperation {
    new: || Release::back(&SERVICES).with(&SERVICES),
    start: |release, fault| release.ask_back("1", fault),
    is_not_begun: |release| release.operation().is_null(),
    check: |release, what| {
        is_everywhere(release, what);
        let app = &release.app;
        let changes = ["- → Requested", "Requested → InProgress", "InProgress → Completed"];
        assert_eq!(app.audited("Rollback State Change"), changes, "{what}");
        assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2", "2 → 3"], "{what}");
        assert_eq!(app.pins().pop(), Some((3, release.digest.clone())), "{what}");
        assert_eq!(app.items("ROLLBACK#").len(), 1, "{what}");
    },
};

/// A release that fails: the worker's containers crash, and ECS stops the deployment without a
/// rollback. Stablepin rolls the two services back to the pin.
const FAILED_RELEASE: TestedOperation = TestedOperation {
    new: || {
        let release = Release::next(&SERVICES);
        for service in SERVICES {
            release.new_service(service).circuit_breaker(false).create();
        }
        release.service("worker").will(DeploymentOutcome::CrashesUntilTheBreaker);
        release
    },
    start: Release::approve,
    is_not_begun: RELEASE.is_not_begun,
    check: |release, what| {
        let app = &release.app;
        assert_eq!(release.record()["state"], "RolledBack", "{what}: {:#}", release.record());
        for service in SERVICES {
            release.runs(service, &release.before);
            let begun = release.service(service).service_deployments().len();
            assert_eq!(begun, 3, "{what}: the first deployment, the release and its rollback");
        }
        let audited = app.audited("Promotion State Change");
        let changes = ["Pending → InProgress", "InProgress → InProgress", "InProgress → RolledBack"];
        assert_eq!(audited[audited.len() - 3..], changes, "{what}: {audited:?}");
        assert_eq!(app.pins(), [(1, release.before.clone())], "{what}");
        let environment = app.environment();
        assert_eq!(environment["hold"]["by"], release.record()["id"], "{what}");
        assert!(environment["slot"].is_null(), "{what}: {environment:#}");
        // If the promoter is killed after it sent a notice and before it recorded the notice, the
        // next tick sends the notice again.
        assert!((2..=3).contains(&app.notices().len()), "{what}");
    },
};

/// Asserts that the operation completed with one new deployment of each service, that the stable
/// tag refers to the deployed image, and that the slot is free.
fn is_everywhere(release: &Release, what: &str) {
    let app = &release.app;
    assert_eq!(release.record()["state"], "Completed", "{what}: {:#}", release.record());
    for name in SERVICES {
        let service = release.service(name);
        let images = [release.image(&release.digest), "sidecar:1".to_owned()];
        assert_eq!(service.images(), images, "{what}");
        assert_eq!(service.service_deployments().len(), 2, "{what}: the first deployment and this one");
        for task in service.tasks().iter().filter(|task| task["lastStatus"] == "RUNNING") {
            assert_eq!(task["containers"][0]["imageDigest"], release.digest.as_str(), "{what}");
        }
    }
    assert_eq!(app.tag(&app.plan.stable_tag).as_ref(), Some(&release.digest), "{what}");
    let environment = app.environment();
    assert!(environment["slot"].is_null(), "{what}: {environment:#}");
    assert_eq!(environment["applied"], environment["pin"]["number"], "{what}");
    assert_eq!(environment["pin"]["digest"], release.digest.as_str(), "{what}");
    assert_eq!(app.notices(), Vec::<serde_json::Value>::new(), "{what}: no notice of a failure");
}

#[test]
fn ticks_complete_a_release_killed_at_any_request() {
    everywhere(|_| KILLS.to_vec(), |at, fault| run(&RELEASE, at, fault));
}

#[test]
fn ticks_complete_a_rollback_killed_at_any_request() {
    everywhere(|_| KILLS.to_vec(), |at, fault| run(&ROLLBACK, at, fault));
}

#[test]
fn release_survives_any_single_aws_fault() {
    everywhere(|at| some(&ANSWERS, at), |at, fault| run(&RELEASE, at, fault));
}

#[test]
fn rollback_survives_any_single_aws_fault() {
    everywhere(|at| some(&ANSWERS, at), |at, fault| run(&ROLLBACK, at, fault));
}

#[test]
fn failed_release_killed_at_any_request_rolls_back_once() {
    everywhere(|at| some(&KILLS, at), |at, fault| run(&FAILED_RELEASE, at, fault));
}
