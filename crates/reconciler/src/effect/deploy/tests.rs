use stablepin_aws::ecs::{Deployment, DeploymentStatus};

use super::*;
use crate::effect::sample::{BEFORE, OURS, THEIRS, service};

/// What the service has now.
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

/// Ours was `ecs-svc/2`.
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
fn by_its_name_a_deployment_is_ours_however_ecs_went_on_with_it() {
    assert!(!is_anothers(&now_has(Some("a"), "ecs-svc/2", OURS), Some("a")));
    assert!(!is_anothers(&now_has(Some("a"), "ecs-svc/3", BEFORE), Some("a")), "ECS's own way back");
    assert!(!is_anothers(&now_has(Some("a"), "ecs-svc/3", THEIRS), Some("a")), "to something else");
    assert!(is_anothers(&now_has(Some("b"), "ecs-svc/3", THEIRS), Some("a")));
}

#[test]
fn where_a_name_is_not_known_a_deployment_is_known_by_its_id() {
    for (now, ours) in [(Some("a"), None), (None, None), (None, Some("a"))] {
        assert!(!is_anothers(&now_has(now, "ecs-svc/2", OURS), ours));
        assert!(!is_anothers(&now_has(now, "ecs-svc/3", BEFORE), ours), "ECS's own way back");
        assert!(is_anothers(&now_has(now, "ecs-svc/3", THEIRS), ours), "a hotfix: it is not replaced");
        assert!(is_anothers(&now_has(now, "ecs-svc/3", OURS), ours), "or ours once more");
    }
}
