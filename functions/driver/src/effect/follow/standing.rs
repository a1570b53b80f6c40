//! What ECS says of our deployment: its service deployment where ECS tells of one, else the service's deployments.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use stablepin_aws::ecs::{
    DeploymentStatus, RolloutState, ServiceDeployment, ServiceDeploymentStatus as Status, ServiceState,
};
use stablepin_core::records::{Live, Started};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours is the one that finished. What runs is still to be proven.
    Finished,
    Going {
        seen: String,
        paused: bool,
    },
    /// ECS goes back by itself: the circuit breaker, an alarm, a hook, or somebody who stopped it.
    Returning(String),
    /// ECS has gone back by itself.
    Returned(String),
    /// Somebody else's took its place.
    Superseded(String),
    Failed(String),
}

pub(super) fn of(
    state: &ServiceState,
    started: &Started,
    before: &Live,
    ours: Option<&ServiceDeployment>,
) -> Standing {
    let own = state.deployments.iter().find(|one| one.id == started.deployment);
    let is_primary = own.is_some_and(|one| one.status == DeploymentStatus::Primary);
    let counts = own.map_or_else(String::new, |own| {
        let failed = if own.failed > 0 { format!(", {} failed", own.failed) } else { String::new() };
        format!("{} of {} tasks running{failed}", own.running, own.desired)
    });
    let Some(ours) = ours else {
        return of_deployments(state, started, before, counts);
    };
    let said = |fallback: &str| {
        let reason = ours.rollback.as_ref().and_then(|rollback| rollback.reason.clone());
        reason.or_else(|| ours.status_reason.clone()).unwrap_or_else(|| fallback.to_owned())
    };
    match &ours.status {
        Status::Pending | Status::InProgress | Status::Unknown(_) => match &ours.paused {
            Some(pause) => {
                let stage = pause.stage.as_deref().unwrap_or("a lifecycle hook");
                let until = pause.expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
                Standing::Going { seen: format!("paused at {stage}{until}: {counts}"), paused: true }
            }
            None => {
                let stage =
                    ours.lifecycle_stage.as_ref().map(|stage| format!("{stage}: ")).unwrap_or_default();
                Standing::Going { seen: format!("{stage}{counts}"), paused: false }
            }
        },
        Status::Successful if is_primary => Standing::Finished,
        Status::Successful => Standing::Superseded(replaced(state, started)),
        Status::RollbackRequested | Status::RollbackInProgress => {
            Standing::Returning(said("ECS is rolling it back"))
        }
        Status::RollbackSuccessful => Standing::Returned(said("ECS has rolled it back")),
        Status::RollbackFailed => {
            Standing::Failed(format!("ECS could not roll it back: {}", said("no reason")))
        }
        // The circuit breaker stops what it does not roll back, and leaves it in its place.
        Status::StopRequested | Status::Stopped if is_primary => {
            let reason = own.and_then(|own| own.rollout_reason.clone());
            Standing::Failed(format!("ECS stopped it: {}", reason.unwrap_or_else(|| said("no reason given"))))
        }
        Status::StopRequested | Status::Stopped => Standing::Superseded(replaced(state, started)),
    }
}

/// Where there are no service deployments to ask.
fn of_deployments(state: &ServiceState, started: &Started, before: &Live, counts: String) -> Standing {
    let own = state.deployments.iter().find(|one| one.id == started.deployment);
    let primary = state.primary();
    let ecs_is_back = || {
        // ECS completes its own way back as a deployment of the old revision.
        primary.is_some_and(|primary| primary.rollout_state == Some(RolloutState::Completed))
    };
    match own {
        Some(own) => {
            let reason = || own.rollout_reason.clone().unwrap_or_else(|| "ECS gave no reason".to_owned());
            match (own.status, own.rollout_state) {
                (DeploymentStatus::Primary, Some(RolloutState::Completed)) => Standing::Finished,
                (DeploymentStatus::Primary, Some(RolloutState::Failed)) => {
                    Standing::Failed(format!("ECS ended the deployment: {}", reason()))
                }
                // A state that is newer than we are is no end.
                (
                    DeploymentStatus::Primary,
                    Some(RolloutState::InProgress | RolloutState::Unknown) | None,
                ) => Standing::Going { seen: counts, paused: false },
                (_, Some(RolloutState::Failed)) if ecs_is_back() => Standing::Returned(reason()),
                (_, Some(RolloutState::Failed)) => Standing::Returning(reason()),
                (_, _) => Standing::Superseded(replaced(state, started)),
            }
        }
        None => match primary {
            Some(primary) if primary.task_definition == before.task_definition => {
                let reason = format!("ECS went back to {}", before.task_definition);
                if ecs_is_back() { Standing::Returned(reason) } else { Standing::Returning(reason) }
            }
            Some(_) | None => Standing::Superseded(replaced(state, started)),
        },
    }
}

fn replaced(state: &ServiceState, started: &Started) -> String {
    let ours = &started.deployment;
    match state.primary() {
        Some(other) => format!(
            "another deployment, {} of {}, took the place of ours, {ours}",
            other.id, other.task_definition
        ),
        None => format!("our deployment {ours} is not there any more"),
    }
}

#[cfg(test)]
mod tests;
