//! Reads the state of Stablepin's deployment from its service deployment. If ECS has no service
//! deployments, reads the state from the service's list of deployments.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use jiff::Timestamp;
use stablepin_aws::ecs::{
    Deployment, DeploymentStatus, RolloutState, ServiceDeploymentStatus as Status, ServiceState,
};
use stablepin_rules::records::{Live, Started};

use super::own_deployment::OwnDeployment;
use crate::effect::SHOWN_WITHIN;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeploymentState {
    /// Stablepin's deployment has finished. The next step proves its tasks.
    Finished,
    Going {
        seen: String,
        paused: bool,
    },
    /// ECS is rolling back, because of the circuit breaker, an alarm, a hook or a person.
    Returning(String),
    /// ECS has rolled back.
    Returned(String),
    /// A deployment of another caller has replaced Stablepin's deployment.
    Superseded(String),
    Failed(String),
}

pub(super) fn read_state(
    now: Timestamp,
    state: &ServiceState,
    started: &Started,
    before: &Live,
    ours: Option<&OwnDeployment>,
) -> DeploymentState {
    let own = state.deployments.iter().find(|one| one.id == started.deployment);
    let is_primary = own.is_some_and(|one| one.status == DeploymentStatus::Primary);
    let counts = own.map_or_else(String::new, |own| {
        let failed = if own.failed > 0 { format!(", {} failed", own.failed) } else { String::new() };
        format!("{} of {} tasks running{failed}", own.running, own.desired)
    });
    let is_shown = own.is_some() || now >= started.at + SHOWN_WITHIN;
    let not_shown = || DeploymentState::Going { seen: "ECS does not show it yet".to_owned(), paused: false };
    let Some(OwnDeployment { deployment: ours, back_to }) = ours else {
        return if is_shown { read_deployments(state, started, before, counts) } else { not_shown() };
    };
    // If ECS is rolling back to the target task definition, the ECS rollback counts as Stablepin's
    // own deployment.
    let comes_here = back_to.as_ref() == Some(&started.task_definition);
    let said = |fallback: &str| {
        let reason = ours.rollback.as_ref().and_then(|rollback| rollback.reason.clone());
        reason.or_else(|| ours.status_reason.clone()).unwrap_or_else(|| fallback.to_owned())
    };
    match &ours.status {
        Status::Pending | Status::InProgress | Status::Unknown(_) => match &ours.paused {
            Some(pause) => {
                let stage = pause.stage.as_deref().unwrap_or("a lifecycle hook");
                let until = pause.expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
                DeploymentState::Going { seen: format!("paused at {stage}{until}: {counts}"), paused: true }
            }
            None => {
                let stage =
                    ours.lifecycle_stage.as_ref().map(|stage| format!("{stage}: ")).unwrap_or_default();
                DeploymentState::Going { seen: format!("{stage}{counts}"), paused: false }
            }
        },
        Status::Successful | Status::StopRequested | Status::Stopped if !is_shown => not_shown(),
        Status::Successful if is_primary => DeploymentState::Finished,
        Status::Successful => DeploymentState::Superseded(replaced(state, started)),
        Status::RollbackRequested | Status::RollbackInProgress if comes_here => {
            DeploymentState::Going { seen: format!("ECS is rolling back to it: {counts}"), paused: false }
        }
        Status::RollbackSuccessful if comes_here && brings(state, started) => DeploymentState::Finished,
        Status::RollbackSuccessful if comes_here && !is_shown => not_shown(),
        Status::RollbackSuccessful if comes_here => DeploymentState::Superseded(replaced(state, started)),
        Status::RollbackRequested | Status::RollbackInProgress => {
            DeploymentState::Returning(said("ECS is rolling it back"))
        }
        Status::RollbackSuccessful => DeploymentState::Returned(said("ECS has rolled it back")),
        Status::RollbackFailed => {
            DeploymentState::Failed(format!("ECS could not roll it back: {}", said("no reason")))
        }
        // The circuit breaker can stop a deployment without a rollback. The stopped deployment is
        // still the primary deployment.
        Status::StopRequested | Status::Stopped if is_primary => {
            let reason = own.and_then(|own| own.rollout_reason.clone());
            DeploymentState::Failed(format!(
                "ECS stopped it: {}",
                reason.unwrap_or_else(|| said("no reason given"))
            ))
        }
        Status::StopRequested | Status::Stopped => DeploymentState::Superseded(replaced(state, started)),
    }
}

/// Reads the state from the service's list of deployments, for an ECS without service deployments,
/// such as an emulator.
fn read_deployments(
    state: &ServiceState,
    started: &Started,
    before: &Live,
    counts: String,
) -> DeploymentState {
    let own = state.deployments.iter().find(|one| one.id == started.deployment);
    let primary = state.primary();
    // ECS rolls back with a new deployment of the previous revision. The rollback is over when that
    // deployment is completed.
    let is_over = |primary: &Deployment| primary.rollout_state == Some(RolloutState::Completed);
    let back = |reason: String| match primary {
        // ECS has rolled back to the target task definition of this rollout, so the rollout has
        // reached its target.
        Some(primary) if brings(state, started) && is_over(primary) => DeploymentState::Finished,
        Some(_) if brings(state, started) => {
            DeploymentState::Going { seen: format!("ECS is rolling back to it: {reason}"), paused: false }
        }
        Some(primary) if is_over(primary) => DeploymentState::Returned(reason),
        Some(_) | None => DeploymentState::Returning(reason),
    };
    match own {
        Some(own) => {
            let reason = || own.rollout_reason.clone().unwrap_or_else(|| "ECS gave no reason".to_owned());
            match (own.status, own.rollout_state) {
                (DeploymentStatus::Primary, Some(RolloutState::Completed)) => DeploymentState::Finished,
                (DeploymentStatus::Primary, Some(RolloutState::Failed)) => {
                    DeploymentState::Failed(format!("ECS ended the deployment: {}", reason()))
                }
                // An unknown rollout state does not end the deployment.
                (
                    DeploymentStatus::Primary,
                    Some(RolloutState::InProgress | RolloutState::Unknown) | None,
                ) => DeploymentState::Going { seen: counts, paused: false },
                (_, Some(RolloutState::Failed)) => back(reason()),
                (_, _) => DeploymentState::Superseded(replaced(state, started)),
            }
        }
        None => match primary {
            Some(primary) if primary.task_definition == before.task_definition => {
                back(format!("ECS rolled back to {}", before.task_definition))
            }
            Some(_) | None => DeploymentState::Superseded(replaced(state, started)),
        },
    }
}

/// Returns whether the service's primary deployment has the target task definition.
fn brings(state: &ServiceState, started: &Started) -> bool {
    state.primary().is_some_and(|primary| primary.task_definition == started.task_definition)
}

fn replaced(state: &ServiceState, started: &Started) -> String {
    let ours = &started.deployment;
    match state.primary() {
        Some(other) => {
            format!("another deployment, {} of {}, replaced ours, {ours}", other.id, other.task_definition)
        }
        None => format!("our deployment {ours} no longer exists"),
    }
}

#[cfg(test)]
mod tests;
