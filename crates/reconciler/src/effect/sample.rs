//! A sample ECS service for the tests of effects.

use stablepin_aws::ecs::{Controller, Deployment, ServiceState};

pub(crate) const BEFORE: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1";
pub(crate) const OURS: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:2";
pub(crate) const THEIRS: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:3";

/// Returns a service with the target task definition and a desired count of 2.
pub(crate) fn service(deployments: Vec<Deployment>) -> ServiceState {
    ServiceState {
        arn: "arn:aws:ecs:eu-west-1:111122223333:service/prod/web".to_owned(),
        name: "web".to_owned(),
        cluster: "arn:aws:ecs:eu-west-1:111122223333:cluster/prod".to_owned(),
        status: "ACTIVE".to_owned(),
        controller: Controller::Ecs,
        desired: 2,
        running: 2,
        pending: 0,
        task_definition: Some(OURS.to_owned()),
        deployments,
        service_deployment: None,
        registrations: Vec::new(),
        classic_load_balancer: false,
        on_fargate: None,
        daemon: false,
        minimum_healthy_percent: None,
        maximum_percent: None,
        strategy: None,
        circuit_breaker: None,
    }
}
