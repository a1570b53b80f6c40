use jiff::{SignedDuration, Timestamp};
use stablepin_aws::ecs::{Deployment, Pause, Rollback, ServiceDeployment};

use super::*;
use crate::effect::sample::{BEFORE, OURS, THEIRS, service};

/// Returns a deployment with this id. Stablepin's deployment is `ecs-svc/2`.
fn deployment(
    id: &str,
    status: DeploymentStatus,
    state: Option<RolloutState>,
    definition: &str,
) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{id}"),
        status,
        rollout_state: state,
        rollout_reason: Some("as ECS says".to_owned()),
        task_definition: definition.to_owned(),
        desired: 2,
        running: 1,
        failed: 0,
    }
}

fn service_deployment(status: Status) -> ServiceDeployment {
    ServiceDeployment {
        arn: "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/web/a".to_owned(),
        status,
        status_reason: Some("the status's reason".to_owned()),
        lifecycle_stage: Some("SCALE_UP".to_owned()),
        target_revision: None,
        rollback: None,
        paused: None,
        circuit_breaker: None,
    }
}

fn deployment_state(deployments: Vec<Deployment>, ours: Option<&ServiceDeployment>) -> DeploymentState {
    let ours = ours.map(|ours| OwnDeployment { deployment: ours.clone(), back_to: None });
    after(SHOWN_WITHIN, deployments, ours.as_ref())
}

/// Returns the state when `time` has passed since ECS accepted Stablepin's deployment.
fn after(
    time: SignedDuration,
    deployments: Vec<Deployment>,
    ours: Option<&OwnDeployment>,
) -> DeploymentState {
    let started = Started {
        deployment: "ecs-svc/2".to_owned(),
        service_deployment: None,
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
    read_state(started.at + time, &service(deployments), &started, &before, ours)
}

fn ours_first() -> Vec<Deployment> {
    let primary = deployment("2", DeploymentStatus::Primary, Some(RolloutState::InProgress), OURS);
    vec![primary, deployment("1", DeploymentStatus::Active, Some(RolloutState::Completed), BEFORE)]
}

fn theirs_first() -> Vec<Deployment> {
    let primary = deployment("3", DeploymentStatus::Primary, Some(RolloutState::Completed), THEIRS);
    vec![primary, deployment("2", DeploymentStatus::Active, Some(RolloutState::InProgress), OURS)]
}

fn going(seen: &str, paused: bool) -> DeploymentState {
    DeploymentState::Going { seen: seen.to_owned(), paused }
}

#[test]
fn successful_deployment_is_finished_only_if_it_is_primary() {
    let done = service_deployment(Status::Successful);
    assert_eq!(deployment_state(ours_first(), Some(&done)), DeploymentState::Finished);
    assert!(matches!(deployment_state(theirs_first(), Some(&done)), DeploymentState::Superseded(_)));
    assert!(
        matches!(deployment_state(Vec::new(), Some(&done)), DeploymentState::Superseded(_)),
        "the deployment is gone"
    );
}

#[test]
fn unfinished_deployment_is_in_progress() {
    let seen = "SCALE_UP: 1 of 2 tasks running";
    for status in [Status::Pending, Status::InProgress, Status::Unknown("OF_TOMORROW".to_owned())] {
        assert_eq!(deployment_state(ours_first(), Some(&service_deployment(status))), going(seen, false));
    }
}

#[test]
fn state_of_a_paused_deployment_names_its_stage_and_expiry() {
    let expires_at = Some(Timestamp::UNIX_EPOCH);
    let pause = Pause { hook_id: None, stage: Some("POST_SCALE_UP".to_owned()), expires_at };
    let paused = ServiceDeployment { paused: Some(pause), ..service_deployment(Status::InProgress) };
    let seen = "paused at POST_SCALE_UP, until 1970-01-01T00:00:00Z: 1 of 2 tasks running";
    assert_eq!(deployment_state(ours_first(), Some(&paused)), going(seen, true));
}

#[test]
fn state_of_an_ecs_rollback_names_its_reason() {
    let back = |status, reason: Option<&str>| ServiceDeployment {
        rollback: Some(Rollback { reason: reason.map(str::to_owned), service_revision: None }),
        ..service_deployment(status)
    };
    for status in [Status::RollbackRequested, Status::RollbackInProgress] {
        let returning = back(status, Some("the breaker"));
        assert_eq!(
            deployment_state(ours_first(), Some(&returning)),
            DeploymentState::Returning("the breaker".to_owned())
        );
    }
    let returned = back(Status::RollbackSuccessful, None);
    let reason = DeploymentState::Returned("the status's reason".to_owned());
    assert_eq!(deployment_state(ours_first(), Some(&returned)), reason);
    let failed = back(Status::RollbackFailed, Some("no candidate"));
    let reason = DeploymentState::Failed("ECS could not roll it back: no candidate".to_owned());
    assert_eq!(deployment_state(ours_first(), Some(&failed)), reason);
}

#[test]
fn stopped_deployment_is_superseded_only_if_it_is_not_primary() {
    for status in [Status::StopRequested, Status::Stopped] {
        let stopped = service_deployment(status);
        let failed = DeploymentState::Failed("ECS stopped it: as ECS says".to_owned());
        assert_eq!(deployment_state(ours_first(), Some(&stopped)), failed);
        let DeploymentState::Superseded(why) = deployment_state(theirs_first(), Some(&stopped)) else {
            panic!("it was not superseded");
        };
        let theirs = format!("another deployment, ecs-svc/3 of {THEIRS}, replaced ours, ecs-svc/2");
        assert_eq!(why, theirs);
    }
}

/// ECS is already rolling back an earlier deployment to the target task definition.
#[test]
fn ecs_rollback_to_target_counts_as_stablepins_deployment() {
    let back = |status, to: &str| OwnDeployment {
        deployment: service_deployment(status),
        back_to: Some(to.to_owned()),
    };
    let deployment_state = |deployments, own| after(SHOWN_WITHIN, deployments, Some(&own));
    for status in [Status::RollbackRequested, Status::RollbackInProgress] {
        let seen = "ECS is rolling back to it: 1 of 2 tasks running";
        assert_eq!(deployment_state(ours_first(), back(status.clone(), OURS)), going(seen, false));
        assert!(matches!(
            deployment_state(ours_first(), back(status, BEFORE)),
            DeploymentState::Returning(_)
        ));
    }
    let done = || back(Status::RollbackSuccessful, OURS);
    assert_eq!(deployment_state(ours_first(), done()), DeploymentState::Finished);
    assert!(
        matches!(deployment_state(theirs_first(), done()), DeploymentState::Superseded(_)),
        "another caller deployed afterwards"
    );
    let elsewhere = back(Status::RollbackSuccessful, BEFORE);
    assert!(matches!(deployment_state(ours_first(), elsewhere), DeploymentState::Returned(_)));
    let failed = back(Status::RollbackFailed, OURS);
    assert!(matches!(deployment_state(ours_first(), failed), DeploymentState::Failed(_)));
}

/// ECS may show the previous deployment for up to a minute after it accepted the next deployment.
#[test]
fn deployment_not_yet_listed_is_in_progress_for_a_minute() {
    let soon = SHOWN_WITHIN - SignedDuration::from_secs(1);
    let as_before =
        || vec![deployment("1", DeploymentStatus::Primary, Some(RolloutState::Completed), BEFORE)];
    let not_shown = || going("ECS does not show it yet", false);
    for stale in [as_before(), Vec::new()] {
        assert_eq!(after(soon, stale.clone(), None), not_shown());
        for status in [Status::Successful, Status::StopRequested, Status::Stopped] {
            let own = OwnDeployment { deployment: service_deployment(status), back_to: None };
            assert_eq!(after(soon, stale.clone(), Some(&own)), not_shown());
        }
        let own = OwnDeployment {
            deployment: service_deployment(Status::RollbackSuccessful),
            back_to: Some(OURS.to_owned()),
        };
        assert_eq!(after(soon, stale, Some(&own)), not_shown());
    }
    let back = DeploymentState::Returned(format!("ECS rolled back to {BEFORE}"));
    assert_eq!(after(SHOWN_WITHIN, as_before(), None), back);
    assert!(
        matches!(after(soon, theirs_first(), None), DeploymentState::Superseded(_)),
        "ECS shows the other deployment"
    );
}

/// Tests for an ECS without service deployments, such as the emulators.
mod without_service_deployments {
    use super::*;

    fn primary(state: Option<RolloutState>) -> DeploymentState {
        deployment_state(vec![deployment("2", DeploymentStatus::Primary, state, OURS)], None)
    }

    #[test]
    fn only_a_completed_primary_deployment_is_finished() {
        assert_eq!(primary(Some(RolloutState::Completed)), DeploymentState::Finished);
        for state in [Some(RolloutState::InProgress), Some(RolloutState::Unknown), None] {
            assert_eq!(primary(state), going("1 of 2 tasks running", false));
        }
        let failed = DeploymentState::Failed("ECS ended the deployment: as ECS says".to_owned());
        assert_eq!(primary(Some(RolloutState::Failed)), failed);
    }

    /// Returns the state after another primary deployment has replaced Stablepin's deployment.
    fn replaced(ours: Option<RolloutState>, by: RolloutState, definition: &str) -> DeploymentState {
        let mut all = vec![deployment("3", DeploymentStatus::Primary, Some(by), definition)];
        all.extend(ours.map(|state| deployment("2", DeploymentStatus::Active, Some(state), OURS)));
        deployment_state(all, None)
    }

    #[test]
    fn failed_deployment_is_rolled_back_if_ecs_replaces_it() {
        let said = || "as ECS says".to_owned();
        let failed = Some(RolloutState::Failed);
        assert_eq!(replaced(failed, RolloutState::InProgress, BEFORE), DeploymentState::Returning(said()));
        assert_eq!(replaced(failed, RolloutState::Completed, BEFORE), DeploymentState::Returned(said()));
    }

    #[test]
    fn primary_definition_decides_the_state_of_a_missing_deployment() {
        let back = || format!("ECS rolled back to {BEFORE}");
        assert_eq!(replaced(None, RolloutState::InProgress, BEFORE), DeploymentState::Returning(back()));
        assert_eq!(replaced(None, RolloutState::Completed, BEFORE), DeploymentState::Returned(back()));
        assert!(matches!(replaced(None, RolloutState::Completed, THEIRS), DeploymentState::Superseded(_)));
    }

    #[test]
    fn ecs_rollback_to_target_counts_as_stablepins_deployment() {
        let failed = Some(RolloutState::Failed);
        assert_eq!(replaced(failed, RolloutState::Completed, OURS), DeploymentState::Finished);
        let seen = "ECS is rolling back to it: as ECS says";
        assert_eq!(replaced(failed, RolloutState::InProgress, OURS), going(seen, false));
    }

    #[test]
    fn replaced_deployment_is_superseded_if_it_did_not_fail() {
        for ours in [RolloutState::InProgress, RolloutState::Completed, RolloutState::Unknown] {
            let deployment_state = replaced(Some(ours), RolloutState::Completed, THEIRS);
            assert!(matches!(deployment_state, DeploymentState::Superseded(_)), "{deployment_state:?}");
        }
        assert!(matches!(deployment_state(Vec::new(), None), DeploymentState::Superseded(_)));
    }
}
