use jiff::SignedDuration;
use serde_json::json;

use super::super::{DeploymentOutcome, EcsFake, WayBack};
use super::{ask, deployments, image, poll, settle, status, update};

#[test]
fn polling_returns_pending_then_in_progress_then_completed() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).create();
    let id = update(&ecs, 2)["deployments"][0]["id"].clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let status = status(&web);
        let service = poll(&ecs, "prod/web");
        let primary = &service["deployments"][0];
        assert_eq!(primary["id"], id);
        seen.push((status, primary["rolloutState"].clone(), primary["runningCount"].clone()));
    }
    let expected =
        [("PENDING", "IN_PROGRESS", 0), ("IN_PROGRESS", "IN_PROGRESS", 0), ("SUCCESSFUL", "COMPLETED", 2)];
    assert_eq!(
        seen,
        expected.map(|(status, state, running)| (status.to_owned(), json!(state), json!(running)))
    );
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2"]);
    let reason = web.described()["deployments"][0]["rolloutStateReason"].clone();
    assert_eq!(reason, format!("ECS deployment {} completed.", id.as_str().unwrap()));
}

#[test]
fn polling_advances_no_deployment_in_manual_mode() {
    let ecs = EcsFake::start();
    ecs.by_hand();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    update(&ecs, 2);
    for _ in 0..5 {
        poll(&ecs, "prod/web");
    }
    assert_eq!(status(&web), "PENDING");
    ecs.advance();
    assert_eq!(status(&web), "IN_PROGRESS");
    web.advance();
    assert_eq!(status(&web), "SUCCESSFUL");
}

#[test]
fn old_tasks_run_until_new_tasks_run() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).create();
    update(&ecs, 2);
    web.advance();
    assert_eq!(deployments(&ecs, &web), ["PRIMARY IN_PROGRESS 2", "ACTIVE COMPLETED 1"]);
    let service = web.described();
    assert_eq!((&service["runningCount"], &service["pendingCount"]), (&json!(2), &json!(2)));
    assert_eq!(service["currentServiceRevisions"].as_array().unwrap().len(), 2);
}

#[test]
fn breaker_rolls_back_to_the_last_completed_deployment() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).circuit_breaker(true).create();
    let before = web.described()["deployments"][0]["id"].as_str().unwrap().to_owned();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    let ours = update(&ecs, 2)["deployments"][0]["id"].as_str().unwrap().to_owned();
    web.advance();
    web.advance();
    assert_eq!(web.described()["deployments"][0]["failedTasks"], 1);
    assert_eq!(web.service_deployments()[0]["deploymentCircuitBreaker"]["status"], "MONITORING");
    web.advance();

    assert_eq!(deployments(&ecs, &web), ["PRIMARY IN_PROGRESS 1", "ACTIVE FAILED 2", "ACTIVE COMPLETED 1"]);
    let service = web.described();
    let way_back = &service["deployments"][0];
    let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {before}.");
    assert_eq!(way_back["rolloutStateReason"], reason);
    assert!(way_back["id"] != json!(before) && way_back["id"] != json!(ours), "the rollback has its own id");
    assert_eq!(service["deployments"][1]["id"], ours);
    let failed = &service["deployments"][1]["rolloutStateReason"];
    assert_eq!(failed, "ECS deployment circuit breaker: tasks failed to start.");

    let rollout = &web.service_deployments()[0];
    assert_eq!(rollout["status"], "ROLLBACK_IN_PROGRESS");
    let breaker = json!({ "status": "TRIGGERED", "failureCount": 3, "threshold": 3 });
    assert_eq!(rollout["deploymentCircuitBreaker"], breaker);
    let why = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert_eq!((&rollout["statusReason"], &rollout["rollback"]["reason"]), (&json!(why), &json!(why)));
    let first = &web.service_deployments()[1]["targetServiceRevision"]["arn"];
    assert_eq!(&rollout["rollback"]["serviceRevisionArn"], first, "no new revision");

    web.advance();
    assert_eq!(status(&web), "ROLLBACK_SUCCESSFUL");
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 1"]);
    assert_eq!(web.described()["runningCount"], 2);
    assert_eq!(web.images(), [image(1)]);
    assert_eq!(web.service_deployments().len(), 2, "the rollback is the same service deployment");
}

#[test]
fn service_looks_steady_after_a_rollback() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    web.will(DeploymentOutcome::NeverHealthy);
    let ours = update(&ecs, 2)["deployments"][0]["id"].clone();
    settle(&web);
    let service = poll(&ecs, "prod/web");
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["runningCount"], service["desiredCount"]);
    assert_ne!(service["deployments"][0]["id"], ours);
}

#[test]
fn failed_deployment_is_kept_if_breaker_does_not_roll_back() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(false).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    assert_eq!(settle(&web), "STOPPED");
    assert_eq!(deployments(&ecs, &web), ["PRIMARY FAILED 2", "ACTIVE COMPLETED 1"]);
    assert!(web.service_deployments()[0]["stoppedAt"].is_f64());
}

#[test]
fn ecs_replaces_crashed_tasks_forever_without_a_breaker() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    assert_eq!(settle(&web), "IN_PROGRESS");
    assert_eq!(deployments(&ecs, &web), ["PRIMARY IN_PROGRESS 2", "ACTIVE COMPLETED 1"]);
    assert!(web.described()["deployments"][0]["failedTasks"].as_u64() > Some(10));
    assert_eq!(web.service_deployments()[0]["deploymentCircuitBreaker"]["status"], "DISABLED");
}

#[test]
fn rollback_fails_if_no_earlier_deployment_has_completed() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).not_settled().create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2); // the first deployment has not completed
    assert_eq!(settle(&web), "ROLLBACK_FAILED");
    let reason = &web.service_deployments()[0]["statusReason"];
    assert_eq!(reason, "No rollback candidate was found to run the rollback.");
    assert_eq!(web.images(), [image(2)]);

    let stalls = ecs.service("prod/stalls").runs(&image(1)).circuit_breaker(true).not_settled().create();
    stalls.will(DeploymentOutcome::CrashesUntilTheBreaker).way_back(WayBack::Stalls);
    stalls.deploys_meanwhile(&image(2));
    assert_eq!(settle(&stalls), "IN_PROGRESS");
    let live = stalls.tasks().iter().filter(|task| task["lastStatus"] != "STOPPED").count();
    assert_eq!(live, 0, "no new tasks");
    assert_eq!(stalls.service_deployments()[0]["deploymentCircuitBreaker"]["status"], "TRIGGERED");
}

#[test]
fn deployment_that_starts_during_a_rollback_cannot_roll_back() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker).will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    for _ in 0..3 {
        web.advance();
    }
    assert_eq!(status(&web), "ROLLBACK_IN_PROGRESS");
    update(&ecs, 3);
    assert_eq!(settle(&web), "ROLLBACK_FAILED");
    assert_eq!(web.service_deployments()[1]["status"], "STOPPED");
    assert_eq!(web.images(), [image(3)]);
}

#[test]
fn rollback_by_ecs_can_fail_or_stall() {
    for (way, status) in [(WayBack::Fails, "ROLLBACK_FAILED"), (WayBack::Stalls, "ROLLBACK_IN_PROGRESS")] {
        let ecs = EcsFake::start();
        let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
        web.will(DeploymentOutcome::CrashesUntilTheBreaker).way_back(way);
        update(&ecs, 2);
        assert_eq!(settle(&web), status);
        assert_eq!(web.images(), [image(1)]);
    }
}

#[test]
fn breaker_threshold_is_half_of_desired_count_within_limits() {
    let ecs = EcsFake::start();
    for (desired, threshold) in [(1, 3), (6, 3), (7, 4), (100, 50), (1000, 200)] {
        let name = format!("prod/s{desired}");
        let service = ecs.service(&name).runs(&image(1)).desired(desired).circuit_breaker(true).create();
        let breaker = service.service_deployments()[0]["deploymentCircuitBreaker"].clone();
        assert_eq!(
            (&breaker["threshold"], &breaker["status"]),
            (&json!(threshold), &json!("MONITORING_COMPLETE"))
        );
    }
}

#[test]
fn new_deployment_stops_the_deployment_in_progress() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    update(&ecs, 2);
    web.advance();
    web.deploys_meanwhile(&image(3));
    assert_eq!(web.service_deployments()[1]["status"], "STOP_REQUESTED");
    assert_eq!(
        deployments(&ecs, &web),
        ["PRIMARY IN_PROGRESS 3", "ACTIVE IN_PROGRESS 2", "ACTIVE COMPLETED 1"]
    );
    assert_eq!(web.service_deployments()[0]["sourceServiceRevisions"].as_array().unwrap().len(), 2);
    web.advance();
    assert_eq!(web.service_deployments()[1]["status"], "STOPPED");
    assert_eq!(status(&web), "IN_PROGRESS");
    assert_eq!(settle(&web), "SUCCESSFUL");
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 3"]);
}

#[test]
fn rollback_skips_a_superseded_deployment() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    web.will(DeploymentOutcome::Stalls).will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    web.advance();
    web.deploys_meanwhile(&image(3));
    assert_eq!(settle(&web), "ROLLBACK_SUCCESSFUL");
    assert_eq!(web.images(), [image(1)]);
}

#[test]
fn deployment_without_tasks_completes_immediately() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(0).create();
    let updated = update(&ecs, 2);
    assert_eq!(updated["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!((status(&web), web.tasks()), ("SUCCESSFUL".to_owned(), Vec::new()));
    let revision = web.service_deployments()[0]["targetServiceRevision"]["arn"].clone();
    let described = ask(&ecs, "DescribeServiceRevisions", &json!({ "serviceRevisionArns": [revision] }));
    let images = &described["serviceRevisions"][0]["containerImages"];
    assert_eq!(*images, json!([{ "containerName": "web", "image": image(2) }]), "no digest before a task");
}

#[test]
fn deployment_completes_after_the_service_scales_to_zero() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    web.advance();
    web.scales_to(0);
    assert_eq!(settle(&web), "SUCCESSFUL");
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2"]);
    assert_eq!(web.described()["runningCount"], 0);
}

#[test]
fn deployment_stalls_while_ecs_cannot_place_tasks() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    web.will(DeploymentOutcome::Stalls);
    update(&ecs, 2);
    assert_eq!(settle(&web), "IN_PROGRESS");
    let service = web.described();
    assert_eq!(service["deployments"][0]["failedTasks"], 0);
    assert_eq!(service["deployments"][0]["pendingCount"], 1);
    assert!(service["events"][0]["message"].as_str().unwrap().contains("unable to place a task"));
}

#[test]
fn alarm_rolls_the_deployment_back() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).alarms(&["5xx"], true).create();
    web.will(DeploymentOutcome::AlarmFires);
    update(&ecs, 2);
    assert_eq!(settle(&web), "ROLLBACK_SUCCESSFUL");
    let alarms = &web.service_deployments()[0]["alarms"];
    assert_eq!((&alarms["status"], &alarms["triggeredAlarmNames"]), (&json!("TRIGGERED"), &json!(["5xx"])));
    assert_eq!(web.images(), [image(1)]);
}

#[test]
fn early_success_ends_deployment_before_all_tasks_run() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(4).early_success(50).drains_for(2).create();
    update(&ecs, 2);
    web.advance();
    web.advance();
    assert_eq!(status(&web), "SUCCESSFUL");
    let primary = &web.described()["deployments"][0];
    assert_eq!((&primary["runningCount"], &primary["pendingCount"]), (&json!(2), &json!(2)));
    assert_eq!(web.described()["deployments"].as_array().unwrap().len(), 2);
    settle(&web);
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2"]);
    assert_eq!(web.described()["runningCount"], 4);
}

#[test]
fn old_tasks_may_drain_after_the_new_deployment_completes() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).drains_for(2).create();
    update(&ecs, 2);
    web.advance();
    web.advance();
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2", "ACTIVE COMPLETED 1"]);
    assert_eq!(web.described()["runningCount"], 2);
    let old = &web.tasks()[0];
    assert_eq!((&old["desiredStatus"], &old["lastStatus"]), (&json!("STOPPED"), &json!("RUNNING")));
    for _ in 0..3 {
        web.advance();
    }
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2"]);
    assert_eq!(web.tasks()[0]["lastStatus"], "STOPPED");
}

#[test]
fn deployment_times_increase_with_the_clock() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    ecs.time_passes(SignedDuration::from_hours(1));
    update(&ecs, 2);
    settle(&web);
    let all = web.service_deployments();
    let at = |number: usize, member: &str| all[number][member].as_f64().unwrap();
    assert!(at(0, "createdAt") - at(1, "finishedAt") > 3599.0);
    assert!(at(0, "createdAt") < at(0, "startedAt") && at(0, "startedAt") < at(0, "finishedAt"));
}
