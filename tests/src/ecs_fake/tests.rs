//! Checks over HTTP that the fake of ECS follows ECS's documented rules.

mod deployments;
mod events;
mod service_deployments;
mod services;
mod task_definitions;
mod tasks;
mod wire;

use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError};

use super::{Ecs, EcsFake, Service};

const IMAGE: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web";

/// Returns a reference to an image of the repository. The image's digest repeats one digit.
fn image(digit: u8) -> String {
    format!("{IMAGE}@{}", digest(digit))
}

fn digest(digit: u8) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn client(ecs: &EcsFake) -> Aws {
    Aws::new(&ecs.url(), "us-east-1", "AKIAEXAMPLE", "secret")
}

#[track_caller]
fn ask(ecs: &EcsFake, operation: &str, body: &Value) -> Value {
    client(ecs).ecs(operation, body).expect("the fake answers")
}

/// Sends a request that ECS refuses. Returns the status, the error type and the message.
#[track_caller]
fn refused(ecs: &EcsFake, operation: &str, body: &Value) -> (u16, String, String) {
    match client(ecs).ecs(operation, body) {
        Err(AwsError::Refused { status, code, message, .. }) => (status, code, message),
        other => panic!("the request is not refused: {other:?}"),
    }
}

/// Describes the service once, as a polling caller does.
#[track_caller]
fn poll(ecs: &EcsFake, service: &str) -> Value {
    let (cluster, name) = service.split_once('/').expect("cluster/service");
    let answer = ask(ecs, "DescribeServices", &json!({ "cluster": cluster, "services": [name] }));
    assert_eq!(answer["failures"], json!([]));
    answer["services"][0].clone()
}

/// Registers a revision of the task definition `web` with the image `image(digit)`. Returns the
/// revision's ARN.
fn revision(ecs: &Ecs, digit: u8) -> String {
    ecs.registers(&json!({
        "family": "web",
        "networkMode": "awsvpc",
        "containerDefinitions": [{ "name": "web", "image": image(digit) }],
    }))
}

/// Updates the service `prod/web` to the image `image(digit)`. Returns the service from the
/// response.
#[track_caller]
fn update(ecs: &EcsFake, digit: u8) -> Value {
    let request = json!({ "cluster": "prod", "service": "web", "taskDefinition": revision(ecs, digit) });
    ask(ecs, "UpdateService", &request)["service"].clone()
}

/// Returns the status of the newest service deployment.
fn status(service: &Service<'_>) -> String {
    service.service_deployments()[0]["status"].as_str().expect("a status").to_owned()
}

/// Advances the service by enough steps for any deployment that can end. Returns the status of the
/// newest service deployment.
fn settle(service: &Service<'_>) -> String {
    for _ in 0..30 {
        service.advance();
    }
    status(service)
}

/// Returns the status, the rollout state and the last digit of the image digest of each deployment.
fn deployments(ecs: &EcsFake, service: &Service<'_>) -> Vec<String> {
    let described = service.described();
    let all = described["deployments"].as_array().cloned().unwrap_or_default();
    let each = all.iter().map(|one| {
        let word = |member: &str| one[member].as_str().unwrap_or_default().to_owned();
        let definition =
            ask(ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": one["taskDefinition"] }));
        let image = definition["taskDefinition"]["containerDefinitions"][0]["image"].to_string();
        let digit = image.chars().rev().nth(1).expect("an image has a digest");
        format!("{} {} {digit}", word("status"), word("rolloutState"))
    });
    each.collect()
}
