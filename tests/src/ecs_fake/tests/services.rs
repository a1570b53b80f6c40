use serde_json::{Value, json};

use super::super::{ControllerKind, EcsFake, Strategy};
use super::{ask, image, poll, refused, revision, update};

#[test]
fn created_service_is_steady_by_default() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).desired(2).create();
    let web = poll(&ecs, "prod/web");
    assert_eq!(web["serviceArn"], "arn:aws:ecs:us-east-1:000000000000:service/prod/web");
    assert_eq!((&web["status"], &web["desiredCount"]), (&json!("ACTIVE"), &json!(2)));
    assert_eq!((&web["runningCount"], &web["pendingCount"]), (&json!(2), &json!(0)));
    let deployments = web["deployments"].as_array().unwrap();
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0]["status"], "PRIMARY");
    assert_eq!(deployments[0]["rolloutState"], "COMPLETED");
    assert!(web["events"][0]["message"].as_str().unwrap().contains("steady state"));
    assert_eq!(ecs.events(), Vec::<Value>::new());

    let began = ecs.service("prod/new").runs(&image(1)).not_settled().create();
    assert_eq!(began.described()["deployments"][0]["rolloutState"], "IN_PROGRESS");
}

#[test]
fn service_created_through_the_api_completes_its_deployment() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    let create = json!({
        "cluster": "prod", "serviceName": "web", "desiredCount": 1, "taskDefinition": revision(&ecs, 1),
    });
    ask(&ecs, "CreateService", &create);
    assert_eq!(refused(&ecs, "CreateService", &create).1, "InvalidParameterException");
    let states: Vec<_> = (0..3)
        .map(|_| poll(&ecs, "prod/web")["deployments"][0]["rolloutState"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]);
}

#[test]
fn replica_service_needs_desired_count_but_daemon_refuses_it() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    let definition = revision(&ecs, 1);
    let without = json!({ "cluster": "prod", "serviceName": "web", "taskDefinition": definition });
    assert_eq!(refused(&ecs, "CreateService", &without).1, "InvalidParameterException");
    let agent = ecs.service("prod/agent").runs(&image(1)).daemon(3).create();
    let described = agent.described();
    assert_eq!((&described["schedulingStrategy"], &described["runningCount"]), (&json!("DAEMON"), &json!(3)));
    assert_eq!(described["deploymentConfiguration"]["maximumPercent"], 100);
    let scale = json!({ "cluster": "prod", "service": "agent", "desiredCount": 1 });
    assert_eq!(refused(&ecs, "UpdateService", &scale).1, "InvalidParameterException");
}

#[test]
fn describe_accepts_1_to_10_services() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    let names = |count: usize| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>();
    let ten = json!({ "cluster": "prod", "services": names(10) });
    assert_eq!(ask(&ecs, "DescribeServices", &ten)["failures"].as_array().unwrap().len(), 10);
    for count in [0, 11] {
        let asked = json!({ "cluster": "prod", "services": names(count) });
        assert_eq!(refused(&ecs, "DescribeServices", &asked).1, "InvalidParameterException");
    }
}

#[test]
fn response_lists_missing_and_unreachable_services_as_failures() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    ecs.service("prod/hidden").runs(&image(1)).create().is_unreachable();
    let asked = json!({ "cluster": "prod", "services": ["web", "none", "hidden"] });
    let answer = ask(&ecs, "DescribeServices", &asked);
    assert_eq!(answer["services"].as_array().unwrap().len(), 1);
    let arn = |name: &str| format!("arn:aws:ecs:us-east-1:000000000000:service/prod/{name}");
    let failures = json!([
        { "arn": arn("none"), "reason": "MISSING" },
        { "arn": arn("hidden"), "reason": "ACCESS" },
    ]);
    assert_eq!(answer["failures"], failures);
}

#[test]
fn request_may_identify_service_and_cluster_by_arn() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let asked =
        json!({ "cluster": "arn:aws:ecs:us-east-1:000000000000:cluster/prod", "services": [web.arn()] });
    assert_eq!(ask(&ecs, "DescribeServices", &asked)["services"][0]["serviceName"], "web");
}

#[test]
fn page_has_10_services_by_default_and_at_most_100() {
    let ecs = EcsFake::start();
    for n in 0..12 {
        ecs.service(&format!("prod/s{n}")).runs(&image(1)).create();
    }
    ecs.service("prod/s3").is_deleted();
    let first = ask(&ecs, "ListServices", &json!({ "cluster": "prod" }));
    assert_eq!(first["serviceArns"].as_array().unwrap().len(), 10);
    let rest = json!({ "cluster": "prod", "nextToken": first["nextToken"] });
    assert_eq!(ask(&ecs, "ListServices", &rest)["serviceArns"].as_array().unwrap().len(), 1);
    let all = ask(&ecs, "ListServices", &json!({ "cluster": "prod", "maxResults": 100 }));
    assert_eq!(all["serviceArns"].as_array().unwrap().len(), 11);
    assert_eq!(all["nextToken"], Value::Null);
}

#[test]
fn update_that_keeps_revision_and_network_starts_no_deployment() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let before = web.described()["deployments"][0]["id"].clone();
    let definition = web.described()["taskDefinition"].clone();
    for update in [
        json!({ "taskDefinition": definition }),
        json!({ "desiredCount": 4 }),
        json!({ "healthCheckGracePeriodSeconds": 30 }),
        json!({ "enableExecuteCommand": true }),
        json!({ "forceNewDeployment": false }),
        json!({ "deploymentConfiguration": { "maximumPercent": 150 } }),
    ] {
        let mut request = update.clone();
        (request["cluster"], request["service"]) = (json!("prod"), json!("web"));
        let service = ask(&ecs, "UpdateService", &request)["service"].clone();
        assert_eq!(service["deployments"].as_array().unwrap().len(), 1, "{update}");
        assert_eq!(service["deployments"][0]["id"], before, "{update}");
    }
    assert_eq!(web.service_deployments().len(), 1);
}

#[test]
fn update_of_revision_or_network_starts_a_deployment() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let balancer = json!([{ "targetGroupArn": "tg", "containerName": "web", "containerPort": 8080 }]);
    for (count, update) in [
        json!({ "taskDefinition": revision(&ecs, 2) }),
        json!({ "forceNewDeployment": true }),
        json!({ "loadBalancers": balancer }),
        json!({ "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-2"] } } }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = update.clone();
        (request["cluster"], request["service"]) = (json!("prod"), json!("web"));
        let service = ask(&ecs, "UpdateService", &request)["service"].clone();
        assert_eq!(web.service_deployments().len(), count + 2, "{update}");
        assert_eq!(service["deployments"][0]["rolloutState"], "IN_PROGRESS");
        assert_eq!(service["currentServiceDeployment"], web.service_deployments()[0]["serviceDeploymentArn"]);
    }
}

#[test]
fn update_keeps_fields_that_the_request_omits() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).circuit_breaker(true).create();
    let before = web.described();
    let after = update(&ecs, 2);
    for member in ["desiredCount", "deploymentConfiguration", "networkConfiguration", "launchType"] {
        assert_eq!(after[member], before[member], "{member}");
    }
}

#[test]
fn only_the_ecs_controller_allows_a_new_task_definition() {
    let ecs = EcsFake::start();
    for (controller, name) in
        [(ControllerKind::CodeDeploy, "CODE_DEPLOY"), (ControllerKind::External, "EXTERNAL")]
    {
        let place = format!("prod/{name}");
        let service = ecs.service(&place).runs(&image(1)).controller(controller).create();
        let described = service.described();
        assert_eq!(described["deploymentController"]["type"], name);
        assert_eq!(described["deployments"], json!([]));
        assert_eq!(described["taskDefinition"].is_null(), controller == ControllerKind::External);
        let update = json!({ "cluster": "prod", "service": name, "taskDefinition": revision(&ecs, 2) });
        let (status, kind, message) = refused(&ecs, "UpdateService", &update);
        assert_eq!((status, &*kind), (400, "InvalidParameterException"));
        let words =
            format!("Unable to update task definition on services with a {name} deployment controller.");
        assert!(message.starts_with(&words), "{message}");
        let force = json!({ "cluster": "prod", "service": name, "forceNewDeployment": true });
        assert_eq!(refused(&ecs, "UpdateService", &force).1, "InvalidParameterException");
        ask(&ecs, "UpdateService", &json!({ "cluster": "prod", "service": name, "desiredCount": 2 }));
    }
}

#[test]
fn ecs_refuses_updates_of_draining_or_deleted_services() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let update = json!({ "cluster": "prod", "service": "web", "desiredCount": 2 });
    web.is_draining();
    assert_eq!(refused(&ecs, "UpdateService", &update).1, "ServiceNotActiveException");
    web.is_deleted();
    assert_eq!(refused(&ecs, "UpdateService", &update).1, "ServiceNotActiveException");
    assert_eq!(poll(&ecs, "prod/web")["status"], "INACTIVE");
    let other = json!({ "cluster": "prod", "service": "other", "desiredCount": 2 });
    let (status, kind, message) = refused(&ecs, "UpdateService", &other);
    assert_eq!((status, &*kind, &*message), (400, "ServiceNotFoundException", "Service not found."));
}

#[test]
fn refused_update_changes_nothing() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let before = web.described();
    let update = json!({
        "cluster": "prod", "service": "web", "desiredCount": 5, "taskDefinition": revision(&ecs, 2),
        "deploymentConfiguration": { "strategy": "GREEN_BLUE" },
    });
    assert_eq!(refused(&ecs, "UpdateService", &update).1, "InvalidParameterException");
    assert_eq!(web.described(), before);
}

#[test]
fn description_contains_deployment_configuration_with_defaults() {
    let ecs = EcsFake::start();
    let web = ecs
        .service("prod/web")
        .runs(&image(1))
        .percent(50, 150)
        .strategy(Strategy::Canary)
        .target_group("arn:tg")
        .create()
        .described();
    let configuration = &web["deploymentConfiguration"];
    assert_eq!(configuration["minimumHealthyPercent"], 50);
    assert_eq!(configuration["maximumPercent"], 150);
    assert_eq!(configuration["strategy"], "CANARY");
    assert_eq!(configuration["deploymentCircuitBreaker"], json!({ "enable": false, "rollback": false }));
    assert_eq!(web["loadBalancers"][0]["targetGroupArn"], "arn:tg");
}

#[test]
fn test_can_delay_the_field_current_service_deployment() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    ecs.names_service_deployments_late();
    let before = web.described()["currentServiceDeployment"].clone();
    assert_eq!(update(&ecs, 2)["currentServiceDeployment"], before);
    poll(&ecs, "prod/web");
    let arn = web.service_deployments()[0]["serviceDeploymentArn"].clone();
    assert_eq!(poll(&ecs, "prod/web")["currentServiceDeployment"], arn);
}

#[test]
fn fake_lists_clusters_but_no_daemons() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    ecs.cluster("staging");
    let arn = |name: &str| format!("arn:aws:ecs:us-east-1:000000000000:cluster/{name}");
    let first = ask(&ecs, "ListClusters", &json!({ "maxResults": 1 }));
    assert_eq!(first["clusterArns"], json!([arn("prod")]));
    let rest = ask(&ecs, "ListClusters", &json!({ "nextToken": first["nextToken"] }));
    assert_eq!(rest["clusterArns"], json!([arn("staging")]));
    let daemons = ask(&ecs, "ListDaemons", &json!({ "clusterArn": arn("prod") }));
    assert_eq!(daemons, json!({ "daemonSummariesList": [] }));
    let missing = refused(&ecs, "ListDaemons", &json!({ "clusterArn": arn("none") }));
    assert_eq!(missing.1, "ClusterNotFoundException");
}
