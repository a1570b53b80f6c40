use serde_json::{Value, json};
use stablepin_aws::ecs::{
    BreakerCount, Ecs, EcsError, ListedServiceDeployment, Pause, RevisionImage, Rollback, ServiceDeployment,
    ServiceDeploymentStatus, ServiceRevision,
};
use stablepin_rules::image::ImageDigest;

use crate::wire::{Answer, Wire, chain, error, ok};

const SERVICE: &str = "arn:aws:ecs:eu-west-1:111122223333:service/prod/web";

fn deployment_arn(id: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/web/{id}")
}

fn revision_arn(id: u64) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:service-revision/prod/web/{id}")
}

fn deployment(status: &str) -> Value {
    json!({
        "serviceDeploymentArn": deployment_arn("a"),
        "serviceArn": SERVICE,
        "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
        "createdAt": 1_752_762_652.5,
        "sourceServiceRevisions": [{"arn": revision_arn(1), "runningTaskCount": 2}],
        "targetServiceRevision": {"arn": revision_arn(2), "requestedTaskCount": 2},
        "status": status,
        "deploymentCircuitBreaker": {"status": "MONITORING", "failureCount": 1, "threshold": 3},
    })
}

async fn described(deployment: Value) -> ServiceDeployment {
    let wire = Wire::answering([ok(json!({"serviceDeployments": [deployment], "failures": []}))]);
    let found = Ecs::new(&wire.session()).service_deployment(&deployment_arn("a")).await.unwrap();
    let sent = wire.request();
    assert_eq!(sent.operation(), "DescribeServiceDeployments");
    assert_eq!(sent.json(), json!({"serviceDeploymentArns": [deployment_arn("a")]}));
    found.unwrap()
}

#[tokio::test]
async fn client_describes_a_service_deployment() {
    let found = described(deployment("IN_PROGRESS")).await;
    assert_eq!(
        found,
        ServiceDeployment {
            arn: deployment_arn("a"),
            status: ServiceDeploymentStatus::InProgress,
            status_reason: None,
            lifecycle_stage: None,
            target_revision: Some(revision_arn(2)),
            rollback: None,
            paused: None,
            circuit_breaker: Some(BreakerCount { failures: 1, threshold: 3 }),
        }
    );
}

#[tokio::test]
async fn unknown_status_keeps_its_name() {
    use ServiceDeploymentStatus as Status;
    for (named, status) in [
        ("PENDING", Status::Pending),
        ("IN_PROGRESS", Status::InProgress),
        ("SUCCESSFUL", Status::Successful),
        ("STOP_REQUESTED", Status::StopRequested),
        ("STOPPED", Status::Stopped),
        ("ROLLBACK_REQUESTED", Status::RollbackRequested),
        ("ROLLBACK_IN_PROGRESS", Status::RollbackInProgress),
        ("ROLLBACK_SUCCESSFUL", Status::RollbackSuccessful),
        ("ROLLBACK_FAILED", Status::RollbackFailed),
        ("HALFWAY", Status::Unknown("HALFWAY".to_owned())),
    ] {
        assert_eq!(described(deployment(named)).await.status, status);
    }
}

#[tokio::test]
async fn ecs_rollback_has_a_reason_and_a_revision() {
    let mut answered = deployment("ROLLBACK_IN_PROGRESS");
    answered["statusReason"] = "Circuit breaker triggered.".into();
    answered["rollback"] = json!({
        "reason": "Service deployment rolled back because of the circuit breaker.",
        "startedAt": 1_752_762_700,
        "serviceRevisionArn": revision_arn(1),
    });
    answered["deploymentCircuitBreaker"]["status"] = "TRIGGERED".into();
    let found = described(answered).await;
    assert_eq!(found.status_reason.as_deref(), Some("Circuit breaker triggered."));
    assert_eq!(
        found.rollback,
        Some(Rollback {
            reason: Some("Service deployment rolled back because of the circuit breaker.".to_owned()),
            service_revision: Some(revision_arn(1)),
        })
    );
    assert!(found.circuit_breaker.is_some());

    let mut off = deployment("IN_PROGRESS");
    off["deploymentCircuitBreaker"] = json!({"status": "DISABLED", "failureCount": 0, "threshold": 0});
    assert_eq!(described(off).await.circuit_breaker, None);
}

#[tokio::test]
async fn only_a_hook_that_awaits_action_is_a_pause() {
    let mut answered = deployment("IN_PROGRESS");
    // The SDK does not know this stage.
    answered["lifecycleStage"] = "PRE_PRODUCTION_TRAFFIC_SHIFT".into();
    answered["lifecycleHookDetails"] = json!([
        {"hookId": "h1", "targetType": "PAUSE", "status": "SUCCEEDED"},
        {"hookId": "h2", "targetType": "AWS_LAMBDA", "status": "IN_PROGRESS"},
        {"hookId": "h3", "targetType": "PAUSE", "status": "STATUS_OF_TOMORROW"},
    ]);
    let found = described(answered.clone()).await;
    assert_eq!(
        (found.paused, found.lifecycle_stage.as_deref()),
        (None, Some("PRE_PRODUCTION_TRAFFIC_SHIFT"))
    );

    answered["lifecycleHookDetails"][2] = json!({
        "hookId": "h3", "targetType": "PAUSE", "status": "AWAITING_ACTION",
        "expiresAt": 1_752_762_652, "timeoutAction": "ROLLBACK",
    });
    assert_eq!(
        described(answered).await.paused,
        Some(Pause {
            hook_id: Some("h3".to_owned()),
            stage: Some("PRE_PRODUCTION_TRAFFIC_SHIFT".to_owned()),
            expires_at: Some("2025-07-17T14:30:52Z".parse().unwrap()),
        })
    );
}

#[tokio::test]
async fn client_lists_newest_service_deployment_first() {
    let brief = |id: &str, at: f64, status: &str| {
        json!({
            "serviceDeploymentArn": deployment_arn(id), "serviceArn": SERVICE, "createdAt": at,
            "targetServiceRevisionArn": revision_arn(2), "status": status, "statusReason": "",
        })
    };
    let answered = [
        brief("old", 1_752_762_000.0, "SUCCESSFUL"),
        brief("new", 1_752_762_652.0, "HALFWAY"),
        brief("middle", 1_752_762_651.9, "STOPPED"),
    ];
    // The client looks for new deployments, so it reads only the first page.
    let wire = Wire::answering([ok(json!({"serviceDeployments": answered, "nextToken": "more"}))]);
    let listed = Ecs::new(&wire.session()).newest_service_deployments("prod", "web").await.unwrap();
    let sent = wire.request();
    assert_eq!(sent.operation(), "ListServiceDeployments");
    assert_eq!(sent.json(), json!({"cluster": "prod", "service": "web", "maxResults": 100}));
    assert_eq!(
        listed[0],
        ListedServiceDeployment {
            arn: deployment_arn("new"),
            status: ServiceDeploymentStatus::Unknown("HALFWAY".to_owned()),
            status_reason: None,
            target_revision: Some(revision_arn(2)),
            created_at: Some("2025-07-17T14:30:52Z".parse().unwrap()),
        }
    );
    let arns: Vec<_> = listed.iter().map(|one| one.arn.rsplit('/').next().unwrap()).collect();
    assert_eq!(arns, ["new", "middle", "old"]);
}

#[tokio::test]
async fn service_revision_has_image_digests() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let wire = Wire::answering([ok(json!({
        "serviceRevisions": [{
            "serviceRevisionArn": revision_arn(1),
            "taskDefinition": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8",
            "containerImages": [
                {"containerName": "web", "image": "web:main", "imageDigest": digest},
                {"containerName": "side"},
            ],
        }],
        "failures": [],
    }))]);
    let found = Ecs::new(&wire.session()).service_revision(&revision_arn(1)).await.unwrap();
    assert_eq!(wire.request().operation(), "DescribeServiceRevisions");
    assert_eq!(wire.request().json(), json!({"serviceRevisionArns": [revision_arn(1)]}));
    assert_eq!(
        found.unwrap(),
        ServiceRevision {
            arn: revision_arn(1),
            task_definition: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:8".to_owned(),
            images: vec![
                RevisionImage {
                    container: "web".to_owned(),
                    image: Some("web:main".to_owned()),
                    digest: Some(ImageDigest::parse(&digest).unwrap()),
                },
                RevisionImage { container: "side".to_owned(), image: None, digest: None },
            ],
        }
    );
}

/// Makes three calls, which all get this response. Returns the number of items that each call
/// found, or the error of the call.
async fn each(answer: Answer) -> [Result<usize, EcsError>; 3] {
    let wire = Wire::answering([answer.clone(), answer.clone(), answer]);
    let ecs = Ecs::new(&wire.session());
    [
        ecs.service_deployment(&deployment_arn("a")).await.map(|found| found.iter().count()),
        ecs.newest_service_deployments("prod", "web").await.map(|listed| listed.len()),
        ecs.service_revision(&revision_arn(1)).await.map(|found| found.iter().count()),
    ]
}

#[tokio::test]
async fn missing_deployment_or_unsupported_call_is_no_error() {
    for answer in [
        ok(json!({"serviceDeployments": [], "serviceRevisions": []})),
        ok(json!({"failures": [{"arn": deployment_arn("a"), "reason": "MISSING"}]})),
        ok(json!({})),
        error(400, "UnsupportedFeatureException"),
        error(400, "UnknownOperationException"),
        error(400, "InvalidAction"),
    ] {
        for found in each(answer.clone()).await {
            assert_eq!(found.unwrap(), 0, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn failed_read_returns_the_ecs_error() {
    for (code, status, retryable) in [
        ("AccessDeniedException", 400, false),
        ("InvalidParameterException", 400, false),
        ("ServiceNotFoundException", 400, false),
        ("ThrottlingException", 400, true),
        ("ServerException", 500, true),
    ] {
        for (found, about) in each(error(status, code)).await.into_iter().zip(["web/a", "prod/web", "web/1"])
        {
            let failed = found.unwrap_err();
            assert_eq!(failed.is_retryable(), retryable, "{code}");
            let text = chain(&failed);
            assert!(text.contains(about) && text.contains(code), "{text}");
        }
    }
}

#[tokio::test]
async fn ecs_failure_other_than_missing_is_an_error() {
    let answer =
        ok(json!({"failures": [{"arn": deployment_arn("a"), "reason": "ACCESS", "detail": "denied"}]}));
    let [deployment, _, revision] = each(answer).await;
    for failed in [deployment.unwrap_err(), revision.unwrap_err()] {
        assert!(chain(&failed).contains("ECS left "), "{failed}");
        assert!(chain(&failed).ends_with("ACCESS, denied"), "{failed}");
    }
    let nameless = ok(json!({"serviceDeployments": [{"status": "PENDING"}], "serviceRevisions": [{}]}));
    for failed in each(nameless).await {
        assert!(chain(&failed.unwrap_err()).contains("the answer has no valid "));
    }
}
