use serde_json::{Value, json};

use super::super::{DeploymentOutcome, EcsFake, Stage};
use super::{ask, digest, image, settle, update};

fn of(kind: &str, events: &[Value]) -> Vec<Value> {
    events.iter().filter(|event| event["detail-type"] == kind).cloned().collect()
}

/// Returns the name and the reason of each deployment event since the last call of this function.
fn deployment_events(ecs: &EcsFake) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().expect("a string").to_owned();
    let events = of("ECS Deployment State Change", &ecs.events());
    events
        .iter()
        .map(|event| (word(&event["detail"]["eventName"]), word(&event["detail"]["reason"])))
        .collect()
}

#[test]
fn deployment_event_has_documented_format() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let id = update(&ecs, 2)["deployments"][0]["id"].clone();
    let event = of("ECS Deployment State Change", &ecs.events()).remove(0);
    let reason = format!("ECS deployment {} in progress.", id.as_str().unwrap());
    let expected = json!({
        "version": "0",
        "id": event["id"],
        "detail-type": "ECS Deployment State Change",
        "source": "aws.ecs",
        "account": "000000000000",
        "time": event["time"],
        "region": "us-east-1",
        "resources": [web.arn()],
        "detail": {
            "eventType": "INFO",
            "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/prod",
            "deploymentId": id,
            "updatedAt": event["detail"]["updatedAt"],
            "reason": reason,
        },
    });
    assert_eq!(event, expected);
    assert!(event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
}

#[test]
fn rollback_sends_an_in_progress_then_a_completed_event() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    let before = web.described()["deployments"][0]["id"].as_str().unwrap().to_owned();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    settle(&web);
    let events = deployment_events(&ecs);
    let names: Vec<_> =
        events.iter().map(|(name, _)| name.trim_start_matches("SERVICE_DEPLOYMENT_")).collect();
    assert_eq!(names, ["IN_PROGRESS", "FAILED", "IN_PROGRESS", "COMPLETED"]);
    assert_eq!(events[1].1, "ECS deployment circuit breaker: task failed to start.");
    let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {before}.");
    assert_eq!(events[2].1, reason);
}

#[test]
fn failing_deployment_without_breaker_sends_no_failure_event() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    update(&ecs, 2);
    settle(&web);
    assert_eq!(deployment_events(&ecs).len(), 1);
}

#[test]
fn task_event_contains_the_task_with_times_as_text() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let id = update(&ecs, 2)["deployments"][0]["id"].clone();
    settle(&web);
    let events = of("ECS Task State Change", &ecs.events());
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event["detail"]["startedBy"] == id, event["detail"]["lastStatus"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [(true, "PENDING"), (true, "RUNNING"), (false, "RUNNING"), (false, "STOPPED")]);
    let detail = &events[1]["detail"];
    assert_eq!(events[1]["resources"], json!([detail["taskArn"]]));
    assert_eq!(detail["group"], "service:web");
    assert_eq!(detail["containers"][0]["imageDigest"], digest(2));
    assert!(detail["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(detail["attachments"][0]["type"], "eni");
    assert!(events[1]["detail"]["version"].as_u64() > events[0]["detail"]["version"].as_u64());
}

#[test]
fn pause_event_contains_the_id_of_the_pause_hook() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    web.will(DeploymentOutcome::PausesAt(Stage::PreScaleUp));
    update(&ecs, 2);
    settle(&web);
    let event = of("ECS Hook State Change", &ecs.events()).remove(0);
    let rollout = web.service_deployments().remove(0);
    let arn = &rollout["serviceDeploymentArn"];
    assert_eq!(event["resources"], json!([arn]));
    let detail = &event["detail"];
    let expected = json!({
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "hookId": rollout["lifecycleHookDetails"][0]["hookId"],
        "hookType": "PAUSE",
        "expiresAt": detail["expiresAt"],
        "lifecycleStage": "PRE_SCALE_UP",
        "clusterArn": rollout["clusterArn"],
        "serviceArn": web.arn(),
        "serviceDeploymentArn": arn,
        "updatedAt": detail["updatedAt"],
    });
    assert_eq!(*detail, expected);
    let go_on = json!({ "serviceDeploymentArn": arn, "hookId": detail["hookId"] });
    ask(&ecs, "ContinueServiceDeployment", &go_on);
    let event = of("ECS Hook State Change", &ecs.events()).remove(0);
    assert_eq!(event["detail"]["eventName"], "HOOK_SUCCEEDED");
}
