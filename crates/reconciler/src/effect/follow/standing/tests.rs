use jiff::{SignedDuration, Timestamp};
use stablepin_aws::ecs::{Deployment, Pause, Rollback, ServiceDeployment};

use super::*;
use crate::effect::sample::{BEFORE, OURS, THEIRS, service};

/// `ecs-svc/2` is ours.
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

fn told(status: Status) -> ServiceDeployment {
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

fn standing(deployments: Vec<Deployment>, ours: Option<&ServiceDeployment>) -> DeploymentState {
    let ours = ours.map(|ours| Own { deployment: ours.clone(), back_to: None });
    after(SHOWN_WITHIN, deployments, ours.as_ref())
}

/// So long after it was accepted.
fn after(time: SignedDuration, deployments: Vec<Deployment>, ours: Option<&Own>) -> DeploymentState {
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
    of(started.at + time, &service(deployments), &started, &before, ours)
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
fn a_service_deployment_that_succeeded_has_finished_only_while_it_is_the_services_own() {
    let done = told(Status::Successful);
    assert_eq!(standing(ours_first(), Some(&done)), DeploymentState::Finished);
    assert!(matches!(standing(theirs_first(), Some(&done)), DeploymentState::Superseded(_)));
    assert!(
        matches!(standing(Vec::new(), Some(&done)), DeploymentState::Superseded(_)),
        "it is not there any more"
    );
}

#[test]
fn what_is_not_over_is_going_whatever_it_is_called() {
    let seen = "SCALE_UP: 1 of 2 tasks running";
    for status in [Status::Pending, Status::InProgress, Status::Unknown("OF_TOMORROW".to_owned())] {
        assert_eq!(standing(ours_first(), Some(&told(status))), going(seen, false));
    }
}

#[test]
fn a_pause_says_where_and_until_when() {
    let expires_at = Some(Timestamp::UNIX_EPOCH);
    let pause = Pause { hook_id: None, stage: Some("POST_SCALE_UP".to_owned()), expires_at };
    let paused = ServiceDeployment { paused: Some(pause), ..told(Status::InProgress) };
    let seen = "paused at POST_SCALE_UP, until 1970-01-01T00:00:00Z: 1 of 2 tasks running";
    assert_eq!(standing(ours_first(), Some(&paused)), going(seen, true));
}

#[test]
fn ecss_own_way_back_is_told_in_its_words() {
    let back = |status, reason: Option<&str>| ServiceDeployment {
        rollback: Some(Rollback { reason: reason.map(str::to_owned), service_revision: None }),
        ..told(status)
    };
    for status in [Status::RollbackRequested, Status::RollbackInProgress] {
        let returning = back(status, Some("the breaker"));
        assert_eq!(
            standing(ours_first(), Some(&returning)),
            DeploymentState::Returning("the breaker".to_owned())
        );
    }
    let returned = back(Status::RollbackSuccessful, None);
    let reason = DeploymentState::Returned("the status's reason".to_owned());
    assert_eq!(standing(ours_first(), Some(&returned)), reason);
    let failed = back(Status::RollbackFailed, Some("no candidate"));
    let reason = DeploymentState::Failed("ECS could not roll it back: no candidate".to_owned());
    assert_eq!(standing(ours_first(), Some(&failed)), reason);
}

#[test]
fn one_that_was_stopped_has_failed_in_its_place_or_was_superseded() {
    for status in [Status::StopRequested, Status::Stopped] {
        let stopped = told(status);
        let failed = DeploymentState::Failed("ECS stopped it: as ECS says".to_owned());
        assert_eq!(standing(ours_first(), Some(&stopped)), failed);
        let DeploymentState::Superseded(why) = standing(theirs_first(), Some(&stopped)) else {
            panic!("superseded");
        };
        let theirs = format!("another deployment, ecs-svc/3 of {THEIRS}, took the place of ours, ecs-svc/2");
        assert_eq!(why, theirs);
    }
}

/// It is ECS's own way back of an earlier deployment, which we found on its way to where we want to go.
#[test]
fn ecss_own_way_back_to_where_we_go_is_the_way_there() {
    let back = |status, to: &str| Own { deployment: told(status), back_to: Some(to.to_owned()) };
    let standing = |deployments, own| after(SHOWN_WITHIN, deployments, Some(&own));
    for status in [Status::RollbackRequested, Status::RollbackInProgress] {
        let seen = "ECS goes back there by itself: 1 of 2 tasks running";
        assert_eq!(standing(ours_first(), back(status.clone(), OURS)), going(seen, false));
        assert!(matches!(standing(ours_first(), back(status, BEFORE)), DeploymentState::Returning(_)));
    }
    let done = || back(Status::RollbackSuccessful, OURS);
    assert_eq!(standing(ours_first(), done()), DeploymentState::Finished);
    assert!(
        matches!(standing(theirs_first(), done()), DeploymentState::Superseded(_)),
        "and then somebody deployed"
    );
    let elsewhere = back(Status::RollbackSuccessful, BEFORE);
    assert!(matches!(standing(ours_first(), elsewhere), DeploymentState::Returned(_)));
    let failed = back(Status::RollbackFailed, OURS);
    assert!(matches!(standing(ours_first(), failed), DeploymentState::Failed(_)));
}

/// What ECS has accepted it may show late, and what was there before for as long.
#[test]
fn what_is_not_shown_in_the_first_minute_is_going() {
    let soon = SHOWN_WITHIN - SignedDuration::from_secs(1);
    let as_before =
        || vec![deployment("1", DeploymentStatus::Primary, Some(RolloutState::Completed), BEFORE)];
    let not_shown = || going("ECS does not show it yet", false);
    for stale in [as_before(), Vec::new()] {
        assert_eq!(after(soon, stale.clone(), None), not_shown());
        for status in [Status::Successful, Status::StopRequested, Status::Stopped] {
            let own = Own { deployment: told(status), back_to: None };
            assert_eq!(after(soon, stale.clone(), Some(&own)), not_shown());
        }
        let own = Own { deployment: told(Status::RollbackSuccessful), back_to: Some(OURS.to_owned()) };
        assert_eq!(after(soon, stale, Some(&own)), not_shown());
    }
    let back = DeploymentState::Returned(format!("ECS went back to {BEFORE}"));
    assert_eq!(after(SHOWN_WITHIN, as_before(), None), back);
    assert!(matches!(after(soon, theirs_first(), None), DeploymentState::Superseded(_)), "it is shown");
}

/// An ECS that knows no service deployments, as emulators.
mod without_service_deployments {
    use super::*;

    fn primary(state: Option<RolloutState>) -> DeploymentState {
        standing(vec![deployment("2", DeploymentStatus::Primary, state, OURS)], None)
    }

    #[test]
    fn only_the_primary_that_completed_has_finished() {
        assert_eq!(primary(Some(RolloutState::Completed)), DeploymentState::Finished);
        for state in [Some(RolloutState::InProgress), Some(RolloutState::Unknown), None] {
            assert_eq!(primary(state), going("1 of 2 tasks running", false));
        }
        let failed = DeploymentState::Failed("ECS ended the deployment: as ECS says".to_owned());
        assert_eq!(primary(Some(RolloutState::Failed)), failed);
    }

    /// Ours is not the primary any more, and this one is.
    fn replaced(ours: Option<RolloutState>, by: RolloutState, definition: &str) -> DeploymentState {
        let mut all = vec![deployment("3", DeploymentStatus::Primary, Some(by), definition)];
        all.extend(ours.map(|state| deployment("2", DeploymentStatus::Active, Some(state), OURS)));
        standing(all, None)
    }

    #[test]
    fn one_that_failed_and_gave_way_is_ecss_way_back() {
        let said = || "as ECS says".to_owned();
        let failed = Some(RolloutState::Failed);
        assert_eq!(replaced(failed, RolloutState::InProgress, BEFORE), DeploymentState::Returning(said()));
        assert_eq!(replaced(failed, RolloutState::Completed, BEFORE), DeploymentState::Returned(said()));
    }

    #[test]
    fn one_that_is_gone_gave_way_to_what_ran_before_or_to_somebody_else() {
        let back = || format!("ECS went back to {BEFORE}");
        assert_eq!(replaced(None, RolloutState::InProgress, BEFORE), DeploymentState::Returning(back()));
        assert_eq!(replaced(None, RolloutState::Completed, BEFORE), DeploymentState::Returned(back()));
        assert!(matches!(replaced(None, RolloutState::Completed, THEIRS), DeploymentState::Superseded(_)));
    }

    #[test]
    fn ecss_own_way_back_to_where_we_go_is_the_way_there() {
        let failed = Some(RolloutState::Failed);
        assert_eq!(replaced(failed, RolloutState::Completed, OURS), DeploymentState::Finished);
        let seen = "ECS goes back there by itself: as ECS says";
        assert_eq!(replaced(failed, RolloutState::InProgress, OURS), going(seen, false));
    }

    #[test]
    fn one_that_had_not_failed_was_superseded() {
        for ours in [RolloutState::InProgress, RolloutState::Completed, RolloutState::Unknown] {
            let standing = replaced(Some(ours), RolloutState::Completed, THEIRS);
            assert!(matches!(standing, DeploymentState::Superseded(_)), "{standing:?}");
        }
        assert!(matches!(standing(Vec::new(), None), DeploymentState::Superseded(_)));
    }
}
