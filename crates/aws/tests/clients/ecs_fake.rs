//! Tests of the ECS client against the ECS fake. The client must understand every response of the
//! fake, and the fake must understand every request of the client.

use serde_json::json;
use stablepin_aws::ecs::{Ecs, Health, RolloutState, ServiceDeploymentStatus};
use stablepin_aws::session::{Session, Settings};
use stablepin_tests::ecs_fake::{DeploymentOutcome, EcsFake, Service, Stage};

use crate::wire::chain;

fn digest(digit: u8) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn image(digit: u8) -> String {
    format!("000000000000.dkr.ecr.us-east-1.amazonaws.com/web@{}", digest(digit))
}

/// Registers a revision of `web` with this image.
fn revision(ecs: &EcsFake, digit: u8) -> String {
    let containers = json!([{ "name": "web", "image": image(digit) }]);
    ecs.registers(&json!({ "family": "web", "networkMode": "awsvpc", "containerDefinitions": containers }))
}

/// Advances the service until its state no longer changes.
fn settle(service: &Service<'_>) {
    for _ in 0..20 {
        service.advance();
    }
}

fn client(ecs: &EcsFake) -> Ecs {
    let settings = Settings::read(|name| {
        let value = match name {
            "AWS_REGION" => "us-east-1".to_owned(),
            "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE".to_owned(),
            "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
            "AWS_ENDPOINT_URL_ECS" => ecs.url(),
            _ => return None,
        };
        Some(value)
    });
    let mut settings = settings.expect("the settings are complete");
    settings.attempts = 1;
    settings.patient_attempts = 1;
    Ecs::new(&Session::new(settings))
}

#[tokio::test]
async fn client_starts_and_follows_a_deployment() {
    let ecs = EcsFake::start();
    let new = ecs.service("prod/web").runs(&image(1)).desired(2).circuit_breaker(true).health_check();
    let web = new.target_group("arn:tg").create();
    let client = client(&ecs);

    let services = client.services("prod", &["web".to_owned(), "none".to_owned()]).await.unwrap();
    assert_eq!(services.missing, ["none"]);
    let state = &services.found[0];
    assert!(state.is_active());
    assert_eq!(state.circuit_breaker.map(|breaker| breaker.rollback), Some(true));
    assert_eq!((state.desired, state.running), (2, 2));
    assert_eq!(state.registrations[0].groups, ["arn:tg"]);

    let raw = client.task_definition(state.task_definition.as_ref().unwrap()).await.unwrap();
    assert_eq!(raw.status, "ACTIVE");
    let request = json!({
        "family": "web", "tomorrow": 1, "networkMode": "awsvpc",
        "containerDefinitions": [{ "name": "web", "image": image(2) }],
    });
    let arn = client.register(&request).await.unwrap().arn;
    assert_eq!(client.task_definition(&arn).await.unwrap().described["tomorrow"], 1);

    let started = client.start("prod", "web", &arn).await.unwrap();
    let ours = started.service_deployment.expect("ECS names the service deployment");
    assert_eq!(started.deployment.rollout_state, Some(RolloutState::InProgress));
    web.advance();
    web.advance();
    let one = client.service_deployment(&ours).await.unwrap().expect("the service deployment exists");
    assert_eq!(one.status, ServiceDeploymentStatus::Successful);
    assert_eq!(one.circuit_breaker.map(|count| (count.failures, count.threshold)), Some((0, 3)));
    let listed = client.newest_service_deployments("prod", "web").await.unwrap();
    assert_eq!(listed.iter().map(|one| &one.arn).collect::<Vec<_>>()[0], &ours);
    let revision = client.service_revision(&one.target_revision.unwrap()).await.unwrap().unwrap();
    assert_eq!(revision.task_definition, arn);
    assert_eq!(revision.images[0].digest.as_ref().unwrap().to_string(), digest(2));

    let tasks = client.running("prod", "web").await.unwrap();
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        assert_eq!(task.started_by.as_ref(), Some(&started.deployment.id));
        assert_eq!(task.health, Health::Unknown, "the new revision has no health check");
        assert_eq!(task.containers[0].digest.as_ref().unwrap().to_string(), digest(2));
        assert_eq!(task.addresses.len(), 1);
    }
    let stopped = client.stopped("prod", "web").await.unwrap();
    assert_eq!(stopped[0].stop_code.as_deref(), Some("ServiceSchedulerInitiated"));
    assert_eq!(client.service_deployment("arn:none").await.unwrap(), None);
}

#[tokio::test]
async fn client_reports_ecs_rollback_and_pause() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).circuit_breaker(true).create();
    let client = client(&ecs);
    web.will(DeploymentOutcome::CrashesUntilTheBreaker).will(DeploymentOutcome::PausesAt(Stage::PostScaleUp));
    let first = client.start("prod", "web", &revision(&ecs, 2)).await.unwrap().service_deployment.unwrap();
    settle(&web);
    let one = client.service_deployment(&first).await.unwrap().unwrap();
    assert_eq!(one.status, ServiceDeploymentStatus::RollbackSuccessful);
    assert!(one.rollback.unwrap().reason.unwrap().contains("circuit breaker"));

    let second = client.start("prod", "web", &revision(&ecs, 3)).await.unwrap().service_deployment.unwrap();
    settle(&web);
    let pause = client
        .service_deployment(&second)
        .await
        .unwrap()
        .unwrap()
        .paused
        .expect("the service deployment is paused");
    assert_eq!(pause.stage.as_deref(), Some("POST_SCALE_UP"));
    assert!(pause.hook_id.is_some() && pause.expires_at.unwrap() > ecs.now());
}

#[tokio::test]
async fn only_forced_deployment_redeploys_the_same_task_definition() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    let client = client(&ecs);
    let at = revision(&ecs, 2);
    let first = client.start("prod", "web", &at).await.unwrap();
    let same = client.start("prod", "web", &at).await.unwrap();
    assert_eq!(same, first);
    let anew = client.start_anew("prod", "web", &at).await.unwrap();
    assert_ne!(anew.deployment.id, first.deployment.id);
    assert_ne!(anew.service_deployment, first.service_deployment);
}

#[tokio::test]
async fn client_returns_errors_of_refused_calls() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let client = client(&ecs);
    let old = revision(&ecs, 2);
    ecs.deregisters(&old);
    let inactive = client.start("prod", "web", &old).await.unwrap_err();
    assert!(inactive.refusal().is_some() && !inactive.is_retryable(), "{inactive}");
    web.is_deleted();
    let gone = client.start("prod", "web", &revision(&ecs, 3)).await.unwrap_err();
    let code = gone.refusal().and_then(|reason| reason.code());
    assert_eq!(code, Some("ServiceNotActiveException"), "{gone}");
    web.is_unreachable();
    let hidden = client.services("prod", &["web".to_owned()]).await.unwrap_err();
    assert!(chain(&hidden).contains("ECS left "), "{hidden}");

    ecs.refuses_next("DescribeTaskDefinition", 500, "ServerException");
    assert!(client.task_definition("web:1").await.unwrap_err().is_retryable());
    ecs.throttles();
    let mut refused = None;
    for _ in 0..60 {
        refused = refused.or(client.task_definition("web:1").await.err());
    }
    assert!(refused.expect("ECS throttles after fifty calls").is_retryable());
}
