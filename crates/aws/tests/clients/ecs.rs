use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stablepin_aws::ecs::{
    Binding, CircuitBreaker, Controller, DeploymentStatus, Ecs, Health, Registration, RolloutState,
};

use crate::wire::{ACCESS_KEY, REGION, Request, SECRET_KEY, Wire, bytes, chain, error, ok};

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:service/prod/{name}")
}

fn deployment(id: &str, status: &str) -> Value {
    json!({
        "id": id,
        "status": status,
        "taskDefinition": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8",
        "desiredCount": 2,
        "runningCount": 1,
        "pendingCount": 1,
        "failedTasks": 3,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": "ECS deployment ecs-svc/2 in progress.",
    })
}

fn service(name: &str) -> Value {
    json!({
        "serviceArn": arn(name),
        "serviceName": name,
        "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 2,
        "pendingCount": 0,
        "taskDefinition": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8",
        "deployments": [deployment("ecs-svc/1", "ACTIVE"), deployment("ecs-svc/2", "PRIMARY")],
    })
}

fn missing(name: &str) -> Value {
    json!({"arn": arn(name), "reason": "MISSING"})
}

#[tokio::test]
async fn client_describes_ten_services_per_call() {
    let names: Vec<String> = (0..12).map(|n| format!("s{n}")).collect();
    let first: Vec<_> = names[1..10].iter().map(|name| service(name)).collect();
    let wire = Wire::answering([
        ok(json!({"services": first, "failures": [missing("s0")]})),
        ok(json!({"services": [service("s10"), service("s11")], "failures": []})),
    ]);
    let services = Ecs::new(&wire.session()).services("prod", &names).await.unwrap();
    assert_eq!(services.found.len(), 11);
    assert_eq!(services.missing, ["s0"]);
    let requests = wire.requests();
    assert_eq!(requests[0].json(), json!({"cluster": "prod", "services": names[..10]}));
    assert_eq!(requests[1].json()["services"], json!(["s10", "s11"]));

    let state = &services.found[0];
    assert!(state.is_active());
    assert_eq!((state.controller, state.desired, state.running), (Controller::Ecs, 2, 2));
    assert_eq!(state.deployments[0].status, DeploymentStatus::Active);
    let primary = state.primary().unwrap();
    assert_eq!(primary.id, "ecs-svc/2");
    assert_eq!(primary.rollout_state, Some(RolloutState::InProgress));
    assert_eq!((primary.desired, primary.running, primary.failed), (2, 1, 3));
}

fn target_group(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/50dc6c495c0c9188")
}

#[tokio::test]
async fn service_includes_its_deployment_settings() {
    let mut answered = service("web");
    answered["currentServiceDeployment"] =
        "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/web/1".into();
    answered["schedulingStrategy"] = "DAEMON".into();
    answered["loadBalancers"] = json!([
        {
            "targetGroupArn": target_group("blue"), "containerName": "web", "containerPort": 80,
            "advancedConfiguration": {"alternateTargetGroupArn": target_group("green")},
        },
        {"targetGroupArn": target_group("blue"), "containerName": "web", "containerPort": 443},
        {"loadBalancerName": "classic", "containerName": "web", "containerPort": 80},
    ]);
    answered["deploymentConfiguration"] = json!({
        "maximumPercent": 200, "minimumHealthyPercent": 0, "strategy": "STRATEGY_OF_TOMORROW",
        "deploymentCircuitBreaker": {"enable": true, "rollback": true},
    });
    let mut off = service("off");
    off["deploymentConfiguration"] = json!({"deploymentCircuitBreaker": {"enable": false, "rollback": true}});
    let wire = Wire::answering([ok(json!({"services": [answered, service("plain"), off], "failures": []}))]);
    let names = ["web", "plain", "off"].map(str::to_owned);
    let found = Ecs::new(&wire.session()).services("prod", &names).await.unwrap().found;

    let web = &found[0];
    assert!(web.service_deployment.as_deref().unwrap().ends_with("service-deployment/prod/web/1"));
    let registration = |groups: &[&str], port| Registration {
        groups: groups.iter().map(|name| target_group(name)).collect(),
        container: Some("web".to_owned()),
        port: Some(port),
    };
    assert_eq!(
        web.registrations,
        [registration(&["blue", "green"], 80), registration(&["blue"], 443)],
        "a Classic Load Balancer has no target group"
    );
    assert!(web.daemon && web.classic_load_balancer);
    assert_eq!((web.minimum_healthy_percent, web.maximum_percent), (Some(0), Some(200)));
    assert_eq!(web.strategy.as_deref(), Some("STRATEGY_OF_TOMORROW"));
    assert_eq!(web.circuit_breaker, Some(CircuitBreaker { rollback: true }));

    let plain = &found[1];
    assert_eq!((&plain.service_deployment, &plain.strategy), (&None, &None));
    assert_eq!((plain.minimum_healthy_percent, plain.maximum_percent), (None, None));
    assert!(!plain.daemon && !plain.classic_load_balancer && plain.registrations.is_empty());
    assert_eq!((plain.circuit_breaker, found[2].circuit_breaker), (None, None));
}

/// Each case sets the launch type, the capacity providers of the service or of its deployment, or
/// the platform version.
#[tokio::test]
async fn service_state_says_whether_tasks_run_on_fargate() {
    let strategy = |names: &[&str]| {
        let items = names.iter().map(|name| json!({"capacityProvider": name, "weight": 1, "base": 0}));
        json!({"capacityProviderStrategy": items.collect::<Vec<_>>()})
    };
    let by_deployment = |names: &[&str]| {
        let mut primary = deployment("ecs-svc/2", "PRIMARY");
        primary["capacityProviderStrategy"] = strategy(names)["capacityProviderStrategy"].clone();
        json!({"deployments": [primary]})
    };
    let cases = [
        (json!({"launchType": "FARGATE"}), Some(true)),
        (json!({"launchType": "EC2", "platformVersion": "LATEST"}), Some(false)),
        (json!({"launchType": "EXTERNAL"}), Some(false)),
        (json!({"launchType": "MANAGED_INSTANCES"}), Some(false)),
        (json!({"launchType": "LAUNCH_TYPE_OF_TOMORROW"}), Some(false)),
        (strategy(&["FARGATE", "FARGATE_SPOT"]), Some(true)),
        (strategy(&["FARGATE_SPOT"]), Some(true)),
        (strategy(&["prod-arm64"]), Some(false)),
        (strategy(&["prod-arm64", "prod-x86"]), Some(false)),
        (by_deployment(&["FARGATE"]), Some(true)),
        (by_deployment(&["prod-arm64"]), Some(false)),
        (json!({"platformVersion": "1.4.0"}), Some(true)),
        (json!({"platformVersion": "", "capacityProviderStrategy": []}), None),
        (json!({}), None),
    ];
    let answered = cases.iter().enumerate().map(|(number, (members, _))| {
        let mut answered = service(&number.to_string());
        answered.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        answered
    });
    let answered: Vec<_> = answered.collect();
    let (first, rest) = answered.split_at(10);
    let page = |services: &[Value]| ok(json!({"services": services, "failures": []}));
    let wire = Wire::answering([page(first), page(rest)]);
    let names: Vec<_> = (0..cases.len()).map(|number| number.to_string()).collect();
    let found = Ecs::new(&wire.session()).services("prod", &names).await.unwrap().found;
    for (service, (members, expected)) in found.iter().zip(&cases) {
        assert_eq!(service.on_fargate, *expected, "{members}");
    }
}

#[tokio::test]
async fn client_finds_a_service_by_its_arn() {
    let wire = Wire::answering([ok(json!({"services": [service("a")], "failures": [missing("b")]}))]);
    let services = Ecs::new(&wire.session()).services("prod", &[arn("a"), arn("b")]).await.unwrap();
    assert_eq!(services.found[0].name, "a");
    assert_eq!(services.missing, [arn("b")]);
}

#[tokio::test]
async fn response_without_a_requested_service_is_an_error() {
    for answer in [
        json!({"services": [], "failures": []}),
        json!({"services": [], "failures": [missing("other")]}),
        json!({"services": [service("web")], "failures": [{"arn": arn("x"), "reason": "ACCESS_DENIED", "detail": "d"}]}),
    ] {
        let wire = Wire::answering([ok(answer)]);
        let failed = Ecs::new(&wire.session()).services("prod", &["web".to_owned()]).await.unwrap_err();
        assert!(chain(&failed).contains("ECS left "), "{failed}");
    }
}

#[tokio::test]
async fn unknown_rollout_state_is_neither_success_nor_failure() {
    let mut new = service("web");
    new["deployments"][1]["rolloutState"] = "HALFWAY".into();
    let wire = Wire::answering([ok(json!({"services": [new], "failures": []}))]);
    let services = Ecs::new(&wire.session()).services("prod", &["web".to_owned()]).await.unwrap();
    assert_eq!(services.found[0].primary().unwrap().rollout_state, Some(RolloutState::Unknown));

    let mut new = service("web");
    new["deploymentController"] = json!({"type": "SOMEBODY"});
    let wire = Wire::answering([ok(json!({"services": [new], "failures": []}))]);
    let failed = Ecs::new(&wire.session()).services("prod", &["web".to_owned()]).await.unwrap_err();
    assert!(chain(&failed).contains("deploymentController"), "{failed}");

    for (named, controller) in [("CODE_DEPLOY", Controller::CodeDeploy), ("EXTERNAL", Controller::External)] {
        let mut other = service("web");
        other["deploymentController"] = json!({"type": named});
        other["deployments"] = json!([]);
        let wire = Wire::answering([ok(json!({"services": [other], "failures": []}))]);
        let services = Ecs::new(&wire.session()).services("prod", &["web".to_owned()]).await.unwrap();
        assert_eq!(services.found[0].controller, controller);
    }
}

fn task_arn(n: usize) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:task/prod/{n:032x}")
}

fn task(n: usize) -> Value {
    json!({
        "taskArn": task_arn(n),
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8",
        "startedBy": "ecs-svc/2",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "healthStatus": "HEALTHY",
        "stopCode": "",
        "stoppedReason": "",
        "containers": [
            {"name": "web", "image": "web:main", "imageDigest": format!("sha256:{}", "ab".repeat(32)), "lastStatus": "RUNNING"},
            {"name": "side", "lastStatus": "STOPPED", "exitCode": 137, "reason": "OutOfMemory", "imageDigest": ""},
        ],
    })
}

#[tokio::test]
async fn client_reads_all_pages_of_tasks() {
    let pages: Vec<Vec<String>> = vec![(0..100).map(task_arn).collect(), (100..101).map(task_arn).collect()];
    let wire = Wire::answering([
        ok(json!({"taskArns": pages[0], "nextToken": "more"})),
        ok(json!({"taskArns": pages[1]})),
        ok(
            json!({"tasks": (1..100).map(task).collect::<Vec<_>>(), "failures": [{"arn": task_arn(0), "reason": "MISSING"}]}),
        ),
        ok(json!({"tasks": [task(100)], "failures": []})),
    ]);
    let tasks = Ecs::new(&wire.session()).running("prod", "web").await.unwrap();
    assert_eq!(tasks.len(), 100);
    assert_eq!(wire.operations(), ["ListTasks", "ListTasks", "DescribeTasks", "DescribeTasks"]);
    let requests = wire.requests();
    assert_eq!(
        requests[1].json(),
        json!({"cluster": "prod", "serviceName": "web", "desiredStatus": "RUNNING", "nextToken": "more"})
    );
    assert_eq!(requests[2].json(), json!({"cluster": "prod", "tasks": pages[0]}));
    assert_eq!(requests[3].json()["tasks"], json!(pages[1]));

    let task = &tasks[0];
    assert_eq!(task.started_by.as_deref(), Some("ecs-svc/2"));
    assert_eq!(task.health, Health::Healthy);
    assert_eq!((&task.stop_code, &task.stopped_reason), (&None, &None), "an empty text counts as none");
    assert_eq!(task.containers[0].digest.as_ref().unwrap().hex(), "ab".repeat(32));
    assert_eq!(task.containers[1].digest, None);
    assert_eq!(task.containers[1].exit_code, Some(137));
}

#[tokio::test]
async fn task_has_the_addresses_of_its_network_interfaces() {
    let mut answered = task(0);
    answered["attachments"] = json!([
        {"type": "Service Connect", "details": [{"name": "privateIPv4Address", "value": "10.9.9.9"}]},
        {"type": "ElasticNetworkInterface", "status": "ATTACHED", "details": [
            {"name": "subnetId", "value": "subnet-1"},
            {"name": "privateIPv4Address", "value": "10.0.1.7"},
            {"name": "ipv6Address", "value": "2001:db8::7"},
        ]},
    ]);
    answered["containers"][0]["healthStatus"] = "HEALTHY".into();
    answered["containers"][1]["healthStatus"] = "UNHEALTHY".into();
    let arns = json!({"taskArns": [task_arn(0), task_arn(1)]});
    let wire = Wire::answering([ok(arns), ok(json!({"tasks": [answered, task(1)], "failures": []}))]);
    let tasks = Ecs::new(&wire.session()).running("prod", "web").await.unwrap();
    assert_eq!(tasks[0].addresses, ["10.0.1.7", "2001:db8::7"]);
    assert_eq!(tasks[0].containers[0].health, Health::Healthy);
    assert_eq!(tasks[0].containers[1].health, Health::Unhealthy);
    assert!(tasks[1].addresses.is_empty());
    assert_eq!(tasks[1].containers[0].health, Health::Unknown);
}

#[tokio::test]
async fn task_without_addresses_has_host_ports() {
    let mut answered = task(0);
    answered["containers"][0]["networkBindings"] = json!([
        {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 49153, "protocol": "tcp"},
        {"bindIP": "0.0.0.0", "containerPortRange": "90-95", "hostPortRange": "49160-49165", "protocol": "tcp"},
    ]);
    let wire = Wire::answering([
        ok(json!({"taskArns": [task_arn(0)]})),
        ok(json!({"tasks": [answered], "failures": []})),
    ]);
    let tasks = Ecs::new(&wire.session()).running("prod", "web").await.unwrap();
    assert_eq!(tasks[0].containers[0].bindings, [Binding { container_port: 80, host_port: 49153 }]);
    assert_eq!(tasks[0].containers[1].bindings, []);
}

#[tokio::test]
async fn empty_task_list_needs_no_describe_call() {
    let wire = Wire::answering([ok(json!({"taskArns": []}))]);
    assert_eq!(Ecs::new(&wire.session()).stopped("prod", "web").await.unwrap(), []);
    assert_eq!(wire.request().json()["desiredStatus"], "STOPPED");
}

#[tokio::test]
async fn response_without_a_requested_task_is_an_error() {
    for answer in [
        json!({"tasks": [task(0)], "failures": []}),
        json!({"tasks": [task(0)], "failures": [{"arn": task_arn(1), "reason": "SOMETHING"}]}),
    ] {
        let wire = Wire::answering([ok(json!({"taskArns": [task_arn(0), task_arn(1)]})), ok(answer)]);
        let failed = Ecs::new(&wire.session()).running("prod", "web").await.unwrap_err();
        assert!(chain(&failed).contains("ECS left "), "{failed}");
    }
}

/// A task definition with fields, numbers and an order that the SDK's types do not keep.
const DESCRIBED: &str = r#"{
    "taskDefinition": {
        "memberOfTomorrow": {"b": 1, "a": [1.5, null, "é"]},
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8",
        "family": "web",
        "status": "ACTIVE",
        "registeredAt": 1752760000.123,
        "containerDefinitions": [{"name": "web", "image": "web:main", "optionOfTomorrow": true}]
    },
    "tags": [{"key": "team", "value": "web"}],
    "futureMember": 1
}"#;

#[tokio::test]
async fn task_definition_keeps_unknown_fields() {
    let wire = Wire::answering([bytes(DESCRIBED)]);
    let raw = Ecs::new(&wire.session()).task_definition("web:8").await.unwrap();
    let expected: Value = serde_json::from_str(DESCRIBED).unwrap();
    assert_eq!(raw.described, expected["taskDefinition"]);
    assert_eq!(raw.tags, expected["tags"]);
    assert_eq!(raw.arn, "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8");
    assert_eq!(raw.status, "ACTIVE");
    assert_eq!(wire.request().json(), json!({"taskDefinition": "web:8", "include": ["TAGS"]}));

    let wire = Wire::answering([bytes(DESCRIBED.replace("\"tags\"", "\"other\""))]);
    let raw = Ecs::new(&wire.session()).task_definition("web:8").await.unwrap();
    assert_eq!(raw.tags, Value::Null);
}

#[tokio::test]
async fn task_definition_is_from_the_response_to_the_last_attempt() {
    let wire = Wire::answering([error(500, "ServerException"), bytes(DESCRIBED)]);
    let mut settings = wire.settings();
    settings.attempts = 2;
    let raw =
        Ecs::new(&stablepin_aws::session::Session::new(settings)).task_definition("web:8").await.unwrap();
    assert_eq!(raw.status, "ACTIVE");
    assert_eq!(wire.requests().len(), 2);
}

#[tokio::test]
async fn registration_sends_and_signs_the_exact_json() {
    let registered = json!({"taskDefinition": {
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:9", "status": "ACTIVE",
        "memberOfTomorrow": {"b": 1},
    }});
    let wire = Wire::answering([ok(registered)]);
    let request = json!({
        "family": "web",
        "memberOfTomorrow": {"b": 1, "a": [1.5, null, "é"]},
        "containerDefinitions": [{"name": "web", "optionOfTomorrow": true}],
    });
    let made = Ecs::new(&wire.session()).register(&request).await.unwrap();
    assert_eq!(made.described["memberOfTomorrow"]["b"], 1, "the response keeps unknown members");
    assert_eq!(made.arn, "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:9");
    let sent = wire.request();
    assert_eq!(sent.operation(), "RegisterTaskDefinition");
    assert_eq!(sent.json(), request);
    assert_eq!(sent.headers["content-length"], sent.body.len().to_string());
    assert_eq!(sent.headers["content-type"], "application/x-amz-json-1.1");
    assert_eq!(signature(&sent), expected_signature(&sent), "the signature covers the sent body");
}

fn signature(request: &Request) -> &str {
    request.headers["authorization"].split("Signature=").nth(1).unwrap()
}

/// Computes the signature of a request without the SDK.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
fn expected_signature(request: &Request) -> String {
    let authorization = &request.headers["authorization"];
    let signed = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    let headers: String =
        signed.split(';').map(|name| format!("{name}:{}\n", request.headers[name])).collect();
    let hash = hex(&Sha256::digest(&request.body));
    let canonical = format!("{}\n{}\n\n{headers}\n{signed}\n{hash}", request.method, request.path);
    let date = &request.headers["x-amz-date"];
    let scope = format!("{}/{REGION}/ecs/aws4_request", &date[..8]);
    assert!(authorization.contains(&format!("Credential={ACCESS_KEY}/{scope}")), "{authorization}");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = scope.split('/').fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| hmac(&key, part));
    hex(&hmac(&key, &to_sign))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn update_request_changes_only_the_task_definition() {
    let wire = Wire::answering([ok(json!({"service": service("web")}))]);
    let started = Ecs::new(&wire.session()).start("prod", "web", "web:9").await.unwrap().deployment;
    assert_eq!(started.id, "ecs-svc/2");
    assert_eq!(
        wire.request().json(),
        json!({"cluster": "prod", "service": "web", "taskDefinition": "web:9"})
    );
}

#[tokio::test]
async fn start_returns_the_service_deployment() {
    let mut updated = service("web");
    updated["currentServiceDeployment"] = "arn:sd/2".into();
    let wire = Wire::answering([ok(json!({"service": updated})), ok(json!({"service": service("web")}))]);
    let ecs = Ecs::new(&wire.session());
    let started = ecs.start("prod", "web", "web:9").await.unwrap();
    assert_eq!(started.deployment.id, "ecs-svc/2");
    assert_eq!(started.service_deployment.as_deref(), Some("arn:sd/2"));
    assert_eq!(ecs.start("prod", "web", "web:9").await.unwrap().service_deployment, None);
}

/// ECS may have carried out an attempt that got no response, even if ECS refuses the next attempt.
#[tokio::test]
async fn update_is_refused_only_if_ecs_refused_all_attempts() {
    for (first, second, refused) in [
        (400, "AccessDeniedException", true),
        (500, "AccessDeniedException", false),
        // ECS cannot have updated a service that does not exist.
        (500, "ServiceNotFoundException", true),
    ] {
        let throttled = if first == 400 { "ThrottlingException" } else { "ServerException" };
        let wire = Wire::answering([error(first, throttled), error(400, second)]);
        let mut settings = wire.settings();
        settings.attempts = 2;
        let ecs = Ecs::new(&stablepin_aws::session::Session::new(settings));
        let failed = ecs.start("prod", "web", "web:9").await.unwrap_err();
        assert_eq!(failed.refusal().is_some(), refused, "{throttled}: {failed}");
        assert_eq!(failed.may_have_moved(), !refused, "{throttled}");
    }
}

#[tokio::test]
async fn failed_update_returns_the_ecs_error() {
    for (status, code, retryable) in [
        (400, "ServiceNotActiveException", false),
        (400, "ServiceNotFoundException", false),
        (400, "ClientException", false),
        (400, "AccessDeniedException", false),
        (400, "ThrottlingException", true),
        (500, "ServerException", true),
    ] {
        let wire = Wire::answering([error(status, code)]);
        let failed = Ecs::new(&wire.session()).start("prod", "web", "web:9").await.unwrap_err();
        assert_eq!(failed.may_have_moved(), status == 500, "{failed}");
        assert_eq!(failed.refusal().is_some(), !retryable, "{failed}");
        assert_eq!(failed.is_retryable(), retryable, "{code}");
        assert!(chain(&failed).contains("prod/web"), "{failed}");
    }
    let wire =
        Wire::answering([ok(json!({"service": {"deployments": [deployment("ecs-svc/1", "ACTIVE")]}}))]);
    let failed = Ecs::new(&wire.session()).start("prod", "web", "web:9").await.unwrap_err();
    assert!(failed.may_have_moved() && chain(&failed).ends_with("no valid primary deployment"), "{failed}");
}
