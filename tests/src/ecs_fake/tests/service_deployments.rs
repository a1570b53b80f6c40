use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::{DeploymentOutcome, EcsFake, Service, Stage, Strategy};
use super::{ask, deployments, digest, image, poll, refused, settle, status, update};

fn newest(service: &Service<'_>) -> String {
    service.service_deployments()[0]["serviceDeploymentArn"].as_str().unwrap().to_owned()
}

fn awaiting(service: &Service<'_>) -> Vec<String> {
    let all =
        service.service_deployments()[0]["lifecycleHookDetails"].as_array().cloned().unwrap_or_default();
    let awaiting = all.iter().filter(|hook| hook["status"] == "AWAITING_ACTION");
    awaiting.map(|hook| hook["hookId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn list_returns_newest_deployments_first_in_pages_of_20() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    for digit in 0..24 {
        web.deploys_meanwhile(&image(digit % 10));
    }
    let first = ask(&ecs, "ListServiceDeployments", &json!({ "cluster": "prod", "service": "web" }));
    let listed = first["serviceDeployments"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["serviceDeploymentArn"]), (20, &json!(newest(&web))));
    assert_eq!(listed[0]["status"], "PENDING");
    let rest = json!({ "cluster": "prod", "service": "web", "nextToken": first["nextToken"] });
    let rest = ask(&ecs, "ListServiceDeployments", &rest);
    assert_eq!(rest["serviceDeployments"].as_array().unwrap().len(), 5);
    let all = json!({ "cluster": "prod", "service": "web", "maxResults": 100 });
    let all = ask(&ecs, "ListServiceDeployments", &all);
    assert_eq!(all["serviceDeployments"].as_array().unwrap().len(), 25);
    let more = json!({ "cluster": "prod", "service": "web", "maxResults": 101 });
    assert_eq!(refused(&ecs, "ListServiceDeployments", &more).1, "InvalidParameterException");
}

#[test]
fn filters_select_service_deployments_by_status_and_time() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    ecs.time_passes(SignedDuration::from_hours(1));
    update(&ecs, 2);
    let list = |filter: Value| {
        let mut request = filter;
        (request["cluster"], request["service"]) = (json!("prod"), json!("web"));
        let answer = ask(&ecs, "ListServiceDeployments", &request);
        let all = answer["serviceDeployments"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(json!({ "status": ["PENDING", "IN_PROGRESS"] })), ["PENDING"]);
    assert_eq!(list(json!({ "status": ["SUCCESSFUL"] })), ["SUCCESSFUL"]);
    let created = &web.service_deployments()[0]["createdAt"];
    assert_eq!(list(json!({ "createdAt": { "before": created } })), ["SUCCESSFUL"]);
    let earlier = created.as_f64().unwrap() - 1.0;
    assert_eq!(list(json!({ "createdAt": { "after": earlier } })), ["PENDING"]);
    let wrong = json!({ "cluster": "prod", "service": "web", "status": ["DONE"] });
    assert_eq!(refused(&ecs, "ListServiceDeployments", &wrong).1, "InvalidParameterException");
    let other = json!({ "cluster": "prod", "service": "other" });
    assert_eq!(refused(&ecs, "ListServiceDeployments", &other).1, "ServiceNotFoundException");
}

#[test]
fn describe_accepts_1_to_20_arns_and_reports_missing_arns() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    for (operation, member, one) in [
        ("DescribeServiceDeployments", "serviceDeploymentArns", newest(&web)),
        (
            "DescribeServiceRevisions",
            "serviceRevisionArns",
            web.described()["currentServiceRevisions"][0]["arn"].as_str().unwrap().to_owned(),
        ),
    ] {
        let answer = ask(&ecs, operation, &json!({ member: [one, "arn:none"] }));
        assert_eq!(answer["failures"], json!([{ "arn": "arn:none", "reason": "MISSING" }]));
        for count in [0, 21] {
            let many = json!({ member: vec![one.clone(); count] });
            assert_eq!(refused(&ecs, operation, &many).1, "InvalidParameterException");
        }
    }
}

#[test]
fn description_contains_source_and_target_revisions() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).desired(2).create();
    let before = web.service_deployments()[0]["targetServiceRevision"]["arn"].clone();
    update(&ecs, 2);
    poll(&ecs, "prod/web");
    let asked = json!({ "serviceDeploymentArns": [newest(&web)] });
    let answer = ask(&ecs, "DescribeServiceDeployments", &asked);
    let one = &answer["serviceDeployments"][0];
    assert_eq!((&one["status"], &one["lifecycleStage"]), (&json!("IN_PROGRESS"), &json!("SCALE_UP")));
    assert_eq!(one["sourceServiceRevisions"][0]["arn"], before);
    assert_eq!(one["sourceServiceRevisions"][0]["runningTaskCount"], 2);
    let target = &one["targetServiceRevision"];
    assert_eq!((&target["requestedTaskCount"], &target["pendingTaskCount"]), (&json!(2), &json!(2)));
    assert!(newest(&web).starts_with("arn:aws:ecs:us-east-1:000000000000:service-deployment/prod/web/"));
}

#[test]
fn service_revision_contains_digests_after_a_task_has_run() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).container("sidecar", "sidecar:1").create();
    update(&ecs, 2);
    let images = || {
        let arn = web.service_deployments()[0]["targetServiceRevision"]["arn"].clone();
        let answer = ask(&ecs, "DescribeServiceRevisions", &json!({ "serviceRevisionArns": [arn] }));
        answer["serviceRevisions"][0].clone()
    };
    assert_eq!(images()["containerImages"][0]["imageDigest"], Value::Null);
    settle(&web);
    let revision = images();
    assert_eq!(revision["containerImages"][0]["imageDigest"], digest(2));
    assert_eq!(revision["taskDefinition"], web.described()["taskDefinition"]);
}

#[test]
fn stop_call_rolls_back_a_deployment_in_progress() {
    for steps in [0, 1] {
        let ecs = EcsFake::start();
        let web = ecs.service("prod/web").runs(&image(1)).create();
        web.will(DeploymentOutcome::Stalls);
        update(&ecs, 2);
        for _ in 0..steps {
            web.advance();
        }
        let stop = json!({ "serviceDeploymentArn": newest(&web), "stopType": "ROLLBACK" });
        assert_eq!(ask(&ecs, "StopServiceDeployment", &stop)["serviceDeploymentArn"], newest(&web));
        let mut seen = vec![status(&web)];
        for _ in 0..2 {
            ask(&ecs, "StopServiceDeployment", &stop); // a second stop does not end the rollback
            web.advance();
            seen.push(status(&web));
        }
        assert_eq!(seen, ["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]);
        assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 1"]);
        let (status, kind, _) = refused(&ecs, "StopServiceDeployment", &stop);
        assert_eq!((status, &*kind), (400, "ConflictException"));
    }
}

#[test]
fn ecs_refuses_aborts_and_calls_for_missing_deployments() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    update(&ecs, 2);
    let abort = json!({ "serviceDeploymentArn": newest(&web), "stopType": "ABORT" });
    assert_eq!(refused(&ecs, "StopServiceDeployment", &abort).1, "InvalidParameterException");
    let none = json!({ "serviceDeploymentArn": "arn:none" });
    assert_eq!(refused(&ecs, "StopServiceDeployment", &none).1, "ServiceDeploymentNotFoundException");
    let hook = json!({ "serviceDeploymentArn": "arn:none", "hookId": "h" });
    assert_eq!(refused(&ecs, "ContinueServiceDeployment", &hook).1, "ServiceDeploymentNotFoundException");
}

#[test]
fn paused_deployment_waits_for_continue_call() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    web.will(DeploymentOutcome::PausesAt(Stage::PostScaleUp));
    update(&ecs, 2);
    assert_eq!(settle(&web), "IN_PROGRESS");
    let one = web.service_deployments()[0].clone();
    assert_eq!(one["lifecycleStage"], "POST_SCALE_UP");
    let hook = &one["lifecycleHookDetails"][0];
    assert_eq!((&hook["targetType"], &hook["timeoutAction"]), (&json!("PAUSE"), &json!("ROLLBACK")));
    let id = awaiting(&web).remove(0);
    assert!(id.starts_with("ecs-pause-"));
    let go_on = json!({ "serviceDeploymentArn": newest(&web), "hookId": id });
    ask(&ecs, "ContinueServiceDeployment", &go_on);
    assert_eq!(refused(&ecs, "ContinueServiceDeployment", &go_on).1, "InvalidParameterException");
    assert_eq!(settle(&web), "SUCCESSFUL");
    assert_eq!(web.service_deployments()[0]["lifecycleHookDetails"][0]["status"], "SUCCEEDED");
}

#[test]
fn continue_call_can_roll_back_a_paused_deployment() {
    let ecs = EcsFake::start();
    let web = ecs
        .service("prod/web")
        .runs(&image(1))
        .strategy(Strategy::BlueGreen)
        .pauses_at(Stage::PostTestTrafficShift, 60, true)
        .create();
    update(&ecs, 2);
    settle(&web);
    let back = json!({
        "serviceDeploymentArn": newest(&web), "hookId": awaiting(&web)[0], "action": "ROLLBACK",
    });
    ask(&ecs, "ContinueServiceDeployment", &back);
    assert_eq!(settle(&web), "ROLLBACK_SUCCESSFUL");
    let one = &web.service_deployments()[0];
    let why = "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.";
    assert_eq!(one["statusReason"], why);
    assert_eq!(one["lifecycleHookDetails"][0]["status"], "FAILED");
    assert_eq!(web.images(), [image(1)]);
}

#[test]
fn pause_ends_after_its_timeout() {
    for (continues, end) in [(true, "SUCCESSFUL"), (false, "ROLLBACK_SUCCESSFUL")] {
        let ecs = EcsFake::start();
        let hooked = ecs.service("prod/web").runs(&image(1)).pauses_at(Stage::PreScaleUp, 10, continues);
        let web = hooked.create();
        update(&ecs, 2);
        assert_eq!(settle(&web), "IN_PROGRESS");
        ecs.time_passes(SignedDuration::from_mins(11));
        assert_eq!(settle(&web), end);
        assert_eq!(web.service_deployments()[0]["lifecycleHookDetails"][0]["status"], "TIMED_OUT");
    }
}

#[test]
fn ecs_refuses_pause_hooks_at_traffic_shift_stages() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    for stage in ["TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"] {
        let hook = json!({ "targetType": "PAUSE", "lifecycleStages": [stage] });
        let update = json!({
            "cluster": "prod", "service": "web", "deploymentConfiguration": { "lifecycleHooks": [hook] },
        });
        assert_eq!(refused(&ecs, "UpdateService", &update).1, "InvalidParameterException");
    }
}

#[test]
fn linear_deployment_has_a_new_hook_id_at_each_pause() {
    let ecs = EcsFake::start();
    let web = ecs
        .service("prod/web")
        .runs(&image(1))
        .strategy(Strategy::Linear)
        .pauses_at(Stage::PreProductionTrafficShift, 60, false)
        .create();
    update(&ecs, 2);
    let mut ids = Vec::new();
    while settle(&web) == "IN_PROGRESS" {
        let id = awaiting(&web).remove(0);
        let go_on = json!({ "serviceDeploymentArn": newest(&web), "hookId": id, "action": "CONTINUE" });
        ask(&ecs, "ContinueServiceDeployment", &go_on);
        ids.push(id);
    }
    ids.dedup();
    assert_eq!((ids.len(), status(&web)), (2, "SUCCESSFUL".to_owned()));
}

#[test]
fn blue_green_deployment_passes_all_stages() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).strategy(Strategy::BlueGreen).create();
    update(&ecs, 2);
    let mut stages = Vec::new();
    while status(&web) != "SUCCESSFUL" {
        let one = web.service_deployments().remove(0);
        if let Some(stage) = one["lifecycleStage"].as_str() {
            stages.push(stage.to_owned());
        }
        web.advance();
    }
    let expected = [
        "PRE_SCALE_UP",
        "SCALE_UP",
        "POST_SCALE_UP",
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
        "BAKE_TIME",
        "CLEAN_UP",
    ];
    assert_eq!(stages, expected);
    assert_eq!(deployments(&ecs, &web), ["PRIMARY COMPLETED 2"]);
}

#[test]
fn blue_green_deployment_reconciles_two_running_revisions() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).strategy(Strategy::BlueGreen).create();
    update(&ecs, 2);
    web.advance();
    web.deploys_meanwhile(&image(3));
    web.advance();
    assert_eq!(web.service_deployments()[0]["lifecycleStage"], "RECONCILE_SERVICE");
}
