use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::{DeploymentOutcome, EcsFake, Reported};
use super::{ask, digest, image, refused, settle, update};

fn list(ecs: &EcsFake, filter: Value) -> Vec<Value> {
    let mut request = filter;
    request["cluster"] = json!("prod");
    ask(ecs, "ListTasks", &request)["taskArns"].as_array().cloned().expect("a list")
}

#[test]
fn list_and_describe_return_up_to_100_tasks() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).desired(101).create();
    let first = ask(&ecs, "ListTasks", &json!({ "cluster": "prod", "serviceName": "web" }));
    assert_eq!(first["taskArns"].as_array().unwrap().len(), 100);
    let next = json!({ "cluster": "prod", "serviceName": "web", "nextToken": first["nextToken"] });
    let rest = ask(&ecs, "ListTasks", &next);
    assert_eq!((rest["taskArns"].as_array().unwrap().len(), &rest["nextToken"]), (1, &Value::Null));
    let described = json!({ "cluster": "prod", "tasks": first["taskArns"] });
    assert_eq!(ask(&ecs, "DescribeTasks", &described)["tasks"].as_array().unwrap().len(), 100);
    for tasks in [vec![], vec![first["taskArns"][0].clone(); 101]] {
        let asked = json!({ "cluster": "prod", "tasks": tasks });
        assert_eq!(refused(&ecs, "DescribeTasks", &asked).1, "InvalidParameterException");
    }
}

#[test]
fn list_filters_tasks_by_service_or_family_or_deployment() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).desired(2).create();
    let worker = ecs.service("prod/worker").runs(&image(1)).create();
    ecs.service("other/web").runs(&image(1)).create();
    assert_eq!(list(&ecs, json!({})).len(), 3);
    assert_eq!(list(&ecs, json!({ "serviceName": "web" })).len(), 2);
    assert_eq!(list(&ecs, json!({ "family": "worker" })).len(), 1);
    assert_eq!(
        list(&ecs, json!({ "desiredStatus": "PENDING" })).len(),
        0,
        "ECS never wants a task to be pending"
    );
    let id = worker.described()["deployments"][0]["id"].clone();
    assert_eq!(list(&ecs, json!({ "startedBy": id })).len(), 1);
    let two = json!({ "cluster": "prod", "startedBy": id, "family": "worker" });
    assert_eq!(refused(&ecs, "ListTasks", &two).1, "InvalidParameterException");
    let none = json!({ "cluster": "prod", "serviceName": "none" });
    assert_eq!(refused(&ecs, "ListTasks", &none).1, "ServiceNotFoundException");
}

#[test]
fn description_of_a_task_contains_deployment_and_images() {
    let ecs = EcsFake::start();
    let web =
        ecs.service("prod/web").runs(&image(1)).container("sidecar", "sidecar:1").health_check().create();
    let arn = list(&ecs, json!({})).remove(0);
    let answer = ask(&ecs, "DescribeTasks", &json!({ "cluster": "prod", "tasks": [arn] }));
    let task = &answer["tasks"][0];
    assert_eq!(task["startedBy"], web.described()["deployments"][0]["id"]);
    assert_eq!(task["taskDefinitionArn"], web.described()["taskDefinition"]);
    assert_eq!((&task["lastStatus"], &task["healthStatus"]), (&json!("RUNNING"), &json!("HEALTHY")));
    let container = &task["containers"][0];
    assert_eq!((&container["image"], &container["imageDigest"]), (&json!(image(1)), &json!(digest(1))));
    assert_eq!(container["healthStatus"], "HEALTHY");
    let sidecar = task["containers"][1]["imageDigest"].as_str().unwrap();
    assert_eq!(sidecar.len(), 71, "an image with a tag has a digest too");
    let details = task["attachments"][0]["details"].as_array().unwrap();
    let address = details.iter().find(|detail| detail["name"] == "privateIPv4Address").unwrap();
    assert_eq!(address["value"], container["networkInterfaces"][0]["privateIpv4Address"]);
}

#[test]
fn each_fargate_task_has_its_own_ip_address() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(300).create();
    let tasks = web.tasks();
    let mut addresses: Vec<_> = tasks.iter().map(|task| task["attachments"].to_string()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 300);
    let bridge = ecs.service("prod/bridge").runs(&image(1)).bridge().create();
    assert_eq!(bridge.tasks()[0]["attachments"], json!([]));
}

#[test]
fn task_without_health_check_has_unknown_health() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    assert_eq!(web.tasks()[0]["healthStatus"], "UNKNOWN");
    web.becomes_unhealthy();
    assert_eq!(web.tasks()[0]["healthStatus"], "UNKNOWN");
}

/// The health of a task is UNKNOWN if an essential container has no health check and no essential
/// container is unhealthy. According to AWS's page on health checks, nonessential containers do not
/// count.
#[test]
fn task_health_depends_only_on_essential_containers() {
    let ecs = EcsFake::start();
    let check = json!({ "healthCheck": { "command": ["CMD-SHELL", "true"] } });
    let agent = json!({ "healthCheck": { "command": ["CMD-SHELL", "true"] }, "essential": false });
    let web = |name: &str| ecs.service(&format!("prod/{name}")).runs(&image(1));
    let sidecar = web("sidecar").container("agent", "agent:1").container_with(&agent).create();
    assert_eq!(sidecar.tasks()[0]["healthStatus"], "UNKNOWN");
    assert_eq!(sidecar.tasks()[0]["containers"][1]["healthStatus"], "HEALTHY");
    sidecar.becomes_unhealthy();
    assert_eq!(sidecar.tasks()[0]["healthStatus"], "UNKNOWN");

    let half = web("half").container("api", "api:1").container_with(&check).create();
    assert_eq!(half.tasks()[0]["healthStatus"], "UNKNOWN");
    half.becomes_unhealthy();
    assert_eq!(half.tasks()[0]["healthStatus"], "UNHEALTHY");
    let whole = web("whole").container_with(&check).container("agent", "agent:1").container_with(&agent);
    assert_eq!(whole.create().tasks()[0]["healthStatus"], "HEALTHY");
}

#[test]
fn end_of_a_nonessential_container_does_not_stop_its_task() {
    let ecs = EcsFake::start();
    let worker = json!({ "essential": false });
    let web = ecs.service("prod/web").runs(&image(1)).container("worker", &image(1)).container_with(&worker);
    let web = web.create();
    web.a_container_ends("worker", 1, "OutOfMemoryError");
    let task = &web.tasks()[0];
    assert_eq!(
        (&task["lastStatus"], &task["containers"][0]["lastStatus"]),
        (&json!("RUNNING"), &json!("RUNNING"))
    );
    let worker = &task["containers"][1];
    assert_eq!((&worker["lastStatus"], &worker["exitCode"]), (&json!("STOPPED"), &json!(1)));
    assert_eq!(worker["reason"], "OutOfMemoryError");
}

#[test]
fn test_can_set_the_digest_that_a_container_reports() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).create();
    let reported = || {
        let digest = |task: &Value| task["containers"][0]["imageDigest"].clone();
        web.tasks().iter().map(digest).collect::<Vec<_>>()
    };
    assert_eq!(reported(), [digest(1), digest(1)].map(Value::from));
    ecs.reports(&image(1), &Reported::Digest(digest(7)));
    assert_eq!(reported(), [digest(7), digest(7)].map(Value::from));
    web.a_task_reports(&Reported::Digest(digest(9)));
    assert_eq!(reported(), [digest(7), digest(9)].map(Value::from));
    ecs.reports(&image(1), &Reported::Nothing);
    assert_eq!(reported()[0], Value::Null);
}

#[test]
fn pending_task_has_no_image_digest() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    update(&ecs, 2);
    web.advance();
    let task = &web.tasks()[1];
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("PENDING"), &json!("RUNNING")));
    assert_eq!(task["containers"][0]["imageDigest"], Value::Null);
}

#[test]
fn ecs_replaces_a_crashed_task_and_reports_its_exit_code() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    web.a_task_crashes(137);
    let tasks = web.tasks();
    assert_eq!(
        (&tasks[0]["lastStatus"], &tasks[0]["stopCode"]),
        (&json!("STOPPED"), &json!("EssentialContainerExited"))
    );
    assert_eq!(tasks[0]["stoppedReason"], "Essential container in task exited");
    assert_eq!(tasks[0]["containers"][0]["exitCode"], 137);
    assert_eq!(tasks[1]["lastStatus"], "RUNNING");
}

#[test]
fn unhealthy_task_runs_for_one_step_before_ecs_stops_it() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).health_check().circuit_breaker(true).create();
    web.will(DeploymentOutcome::NeverHealthy);
    web.deploys_meanwhile(&image(2));
    web.advance();
    web.advance();
    let task = &web.tasks()[1];
    assert_eq!((&task["lastStatus"], &task["healthStatus"]), (&json!("RUNNING"), &json!("UNHEALTHY")));
    assert_eq!(task["containers"][0]["imageDigest"], digest(2));
    web.advance();
    assert_eq!(web.tasks()[1]["stoppedReason"], "Task failed container health checks");
    assert_eq!(settle(&web), "ROLLBACK_SUCCESSFUL");
}

#[test]
fn ecs_returns_stopped_tasks_for_one_hour() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    update(&ecs, 2);
    settle(&web);
    let stopped = list(&ecs, json!({ "serviceName": "web", "desiredStatus": "STOPPED" }));
    assert_eq!(stopped.len(), 1);
    ecs.time_passes(SignedDuration::from_mins(61));
    assert_eq!(list(&ecs, json!({ "serviceName": "web", "desiredStatus": "STOPPED" })).len(), 0);
    let answer = ask(&ecs, "DescribeTasks", &json!({ "cluster": "prod", "tasks": stopped }));
    assert_eq!(answer["failures"], json!([{ "arn": stopped[0], "reason": "MISSING" }]));
}

#[test]
fn list_of_stopped_tasks_contains_draining_tasks() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).drains_for(9).create();
    update(&ecs, 2);
    web.advance();
    web.advance();
    let stopped = list(&ecs, json!({ "serviceName": "web", "desiredStatus": "STOPPED" }));
    assert_eq!(stopped, [web.tasks()[0]["taskArn"].clone()]);
    assert_eq!(web.tasks()[0]["lastStatus"], "RUNNING");
    assert_eq!(list(&ecs, json!({ "serviceName": "web" })).len(), 1);
}
