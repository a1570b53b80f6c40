use stablepin_aws::ecs::{Deployment, DeploymentStatus};

use super::*;
use crate::effect::sample::{BEFORE, OURS, THEIRS, service};

/// Returns a service with this primary deployment.
fn now_has(service_deployment: Option<&str>, deployment: &str, definition: &str) -> ServiceState {
    let deployment = Deployment {
        id: deployment.to_owned(),
        status: DeploymentStatus::Primary,
        rollout_state: None,
        rollout_reason: None,
        task_definition: definition.to_owned(),
        desired: 2,
        running: 2,
        failed: 0,
    };
    ServiceState {
        task_definition: Some(definition.to_owned()),
        service_deployment: service_deployment.map(str::to_owned),
        ..service(vec![deployment])
    }
}

/// Returns whether another caller has deployed the service after Stablepin's deployment
/// `ecs-svc/2`.
fn is_anothers(state: &ServiceState, service_deployment: Option<&str>) -> bool {
    let ours = Started {
        deployment: "ecs-svc/2".to_owned(),
        service_deployment: service_deployment.map(str::to_owned),
        task_definition: OURS.to_owned(),
        health_checked: false,
        at: Timestamp::UNIX_EPOCH,
    };
    let before = Live {
        task_definition: BEFORE.to_owned(),
        deployment: "ecs-svc/1".to_owned(),
        digests: Default::default(),
        described: None,
    };
    super::is_anothers(state, &ours, &before)
}

#[test]
fn service_deployment_arn_identifies_stablepins_deployment() {
    assert!(!is_anothers(&now_has(Some("a"), "ecs-svc/2", OURS), Some("a")));
    assert!(!is_anothers(&now_has(Some("a"), "ecs-svc/3", BEFORE), Some("a")), "ECS's rollback");
    assert!(
        !is_anothers(&now_has(Some("a"), "ecs-svc/3", THEIRS), Some("a")),
        "ECS's rollback to another revision"
    );
    assert!(is_anothers(&now_has(Some("b"), "ecs-svc/3", THEIRS), Some("a")));
}

#[test]
fn id_identifies_stablepins_deployment_if_arn_is_unknown() {
    for (now, ours) in [(Some("a"), None), (None, None), (None, Some("a"))] {
        assert!(!is_anothers(&now_has(now, "ecs-svc/2", OURS), ours));
        assert!(!is_anothers(&now_has(now, "ecs-svc/3", BEFORE), ours), "ECS's rollback");
        assert!(is_anothers(&now_has(now, "ecs-svc/3", THEIRS), ours), "another caller's hotfix");
        assert!(is_anothers(&now_has(now, "ecs-svc/3", OURS), ours), "our task definition, deployed again");
    }
}
