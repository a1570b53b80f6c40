//! Rollbacks: asked for by a person, applied to services, ended by proof.

use jiff::{SignedDuration, Timestamp};

use super::{Draft, Entry, LONGEST_PAUSE, NewPin};
use crate::audit::{Actor, Kind};
use crate::build_tag::BackupTag;
use crate::effect::Outcome;
use crate::image::ImageDigest;
use crate::one_line::reason;
use crate::records::{
    Backup, Hold, Operation, OperationId, Progress, Rollback, RollbackState, ServiceRollout, Target, Work,
};
use crate::refusal::Refusal;
use crate::target::{intended, live, ready};

/// A rollback as it was asked for, resolved and checked: nothing was touched yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    pub id: OperationId,
    pub to: String,
    pub target: Target,
    pub reason: Option<String>,
    pub actor: Actor,
    /// The services that go back, each with what it runs now.
    pub services: Vec<ServiceRollout>,
}

impl RollbackRequest {
    /// Every service is described and runs at the target. Without services, what is pinned is what is live.
    fn already_live(&self, pinned: &ImageDigest) -> bool {
        let target = &self.target.digest;
        if self.services.is_empty() {
            return pinned == target;
        }
        self.services.iter().all(|rollout| {
            let running = rollout.before.digests.iter().all(|digest| digest == target);
            rollout.before.described.as_ref() == Some(target) && running
        })
    }
}

pub(super) fn open(draft: &mut Draft, request: &RollbackRequest) -> Result<(), Refusal> {
    let now = draft.now;
    let policy = draft.change.after.policy().ok_or(Refusal::NoSuchEnvironment)?.clone();
    let name = draft.change.after.name.clone();
    let environment = &mut draft.change.after.environment;
    let pin = ready(environment)?.clone();
    if request.already_live(&pin.digest) {
        return Err(Refusal::AlreadyLive { pin: request.target.pin, digest: request.target.digest.clone() });
    }
    let live = live(&request.services, Some(&pin.digest));
    let backup = match live.first() {
        Some(digest) if live.len() == 1 && !request.services.is_empty() => {
            Some(Backup { tag: BackupTag::new(name, now).tag(), digest: digest.clone(), tried: false })
        }
        _ => None,
    };
    environment.slot = Some(request.id);
    environment.hold = Some(Hold {
        since: now,
        reason: format!("rollback to pin {}", request.target.pin),
        rollback: request.id,
    });
    environment.rolled_back_from.extend(intended(&request.services, Some(&pin.digest)));
    environment.rolled_back_from.remove(&request.target.digest);
    let rollback = Rollback {
        id: request.id,
        target: request.target.clone(),
        to: request.to.clone(),
        asked_by: request.actor.clone(),
        ask_reason: request.reason.as_deref().and_then(reason),
        requested_at: now,
        deadline: now + policy.verify.timeout,
        state: RollbackState::Requested,
        reason: None,
        services: request.services.clone(),
        backup,
        pin: None,
    };
    let entry = Entry {
        kind: Kind::Rollback,
        id: Some(rollback.id),
        digest: Some(rollback.target.digest.clone()),
        from: None,
        to: RollbackState::Requested.as_str().to_owned(),
        reason: rollback.ask_reason.clone(),
        actor: request.actor.clone(),
    };
    draft.change.after.operation = Some(Operation::new(Work::Rollback(rollback), now));
    draft.audit(entry);
    Ok(())
}

pub(super) fn outcome(draft: &mut Draft, now: Timestamp, outcome: &Outcome) {
    let Some(rollback) = rollback(draft) else { return };
    match outcome {
        Outcome::BackupTried => {
            if let Some(backup) = &mut rollback.backup {
                backup.tried = true;
            }
        }
        Outcome::Deployed { service, deployment, task_definition } => {
            for rollout in of(rollback, service) {
                if rollout.progress == Progress::Waiting {
                    rollout.progress = Progress::Deployed {
                        deployment: deployment.clone(),
                        task_definition: task_definition.clone(),
                    };
                }
            }
            // Containers take their time.
            draft.pause.get_or_insert(FIRST_LOOK);
        }
        Outcome::Going { service, seen } => {
            for rollout in of(rollback, service) {
                rollout.seen = Some(seen.clone());
            }
            draft.pause.get_or_insert(NEXT_LOOK);
        }
        Outcome::Proven { service, tasks } => {
            for rollout in of(rollback, service) {
                if let Progress::Deployed { deployment, task_definition } = &rollout.progress {
                    rollout.progress = Progress::Proven {
                        deployment: deployment.clone(),
                        task_definition: task_definition.clone(),
                        tasks: *tasks,
                    };
                    rollout.seen = Some(format!("{tasks} running at the digest, seen {now}"));
                }
            }
        }
        Outcome::ServiceFailed { service, reason } => {
            for rollout in of(rollback, service) {
                match rollout.progress {
                    Progress::Waiting | Progress::Deployed { .. } => {
                        rollout.progress = Progress::Failed { reason: reason.clone() };
                    }
                    Progress::Proven { .. } | Progress::Failed { .. } => {}
                }
            }
        }
        Outcome::BuildTagged
        | Outcome::BuildTagTaken(_)
        | Outcome::Asked { .. }
        | Outcome::StableTagged(_)
        | Outcome::Problem(_) => {}
    }
}

/// A deployment was only just accepted.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(3);
/// It was looked at and is on its way.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn tick(draft: &mut Draft) {
    let now = draft.now;
    let configured = draft.change.after.policy().is_some();
    let Some(rollback) = rollback(draft) else { return };
    if rollback.state.is_terminal() {
        return;
    }
    let applied = applied_anywhere(rollback);
    let (state, reason) = if !configured && (applied || rollback.pin.is_some()) {
        (RollbackState::Incomplete, "applied, but the environment left the configuration before it was done")
    } else if !configured {
        (RollbackState::Failed, "the environment left the configuration")
    } else if rollback.deadline > now || rollback.pin.is_some() {
        return;
    } else if applied {
        (RollbackState::Incomplete, "applied, but not proven in time")
    } else {
        (RollbackState::Failed, "nothing could be applied in time")
    };
    move_to(draft, state, Some(reason.to_owned()));
}

pub(super) fn settle(draft: &mut Draft) {
    let Some(rollback) = rollback(draft) else { return };
    if rollback.state == RollbackState::Requested
        && (rollback.services.is_empty() || applied_anywhere(rollback))
    {
        move_to(draft, RollbackState::InProgress, None);
    }
    let Some(rollback) = self::rollback(draft) else { return };
    if rollback.state.is_terminal() || rollback.pin.is_some() {
        return;
    }
    let going = rollback
        .services
        .iter()
        .any(|rollout| matches!(rollout.progress, Progress::Waiting | Progress::Deployed { .. }));
    if going {
        return;
    }
    let failed: Vec<String> = rollback
        .services
        .iter()
        .filter_map(|rollout| match &rollout.progress {
            Progress::Failed { reason } => Some(format!("{}: {reason}", rollout.service)),
            Progress::Waiting | Progress::Deployed { .. } | Progress::Proven { .. } => None,
        })
        .collect();
    if !failed.is_empty() {
        let state =
            if applied_anywhere(rollback) { RollbackState::Incomplete } else { RollbackState::Failed };
        return move_to(draft, state, Some(failed.join("; ")));
    }
    let proven = format!("{} at {}", services(rollback), rollback.target.digest);
    let new_pin = NewPin {
        digest: rollback.target.digest.clone(),
        build_tag: rollback.target.build_tag.clone(),
        commit: rollback.target.commit.clone(),
        by: rollback.id,
        reason: Some(format!("rollback to pin {}", rollback.target.pin)),
        actor: rollback.asked_by.clone(),
    };
    let current = draft.change.after.environment.pin.as_ref().map(|pin| pin.digest.clone());
    if current.as_ref() == Some(&new_pin.digest) {
        return move_to(draft, RollbackState::Completed, Some(proven));
    }
    draft.pin(new_pin);
    let environment = &mut draft.change.after.environment;
    // The services are where they belong. The stable tag follows by itself, in nobody's way.
    environment.slot = None;
    let number = environment.pin.as_ref().map(|pin| pin.number);
    if let Some(rollback) = self::rollback(draft) {
        rollback.pin = number;
    }
}

pub(super) fn stable_tagged(draft: &mut Draft) {
    let Some(rollback) = rollback(draft) else { return };
    if let Some(pin) = rollback.pin
        && !rollback.state.is_terminal()
    {
        let reason = format!("{} at {}, pin {pin}", services(rollback), rollback.target.digest);
        move_to(draft, RollbackState::Completed, Some(reason));
    }
}

pub(super) fn next_look(now: Timestamp, rollback: &Rollback) -> Option<Timestamp> {
    if rollback.state.is_terminal() {
        return None;
    }
    if rollback.pin.is_some() {
        return Some(now + LONGEST_PAUSE);
    }
    // However often it failed: production waits.
    let soon = now + SignedDuration::from_mins(1);
    Some(if rollback.deadline > now { soon.min(rollback.deadline) } else { soon })
}

fn services(rollback: &Rollback) -> String {
    match rollback.services.len() {
        0 => "no services here; pinned".to_owned(),
        1 => "1 service proven".to_owned(),
        n => format!("{n} services proven"),
    }
}

fn applied_anywhere(rollback: &Rollback) -> bool {
    rollback
        .services
        .iter()
        .any(|rollout| matches!(rollout.progress, Progress::Deployed { .. } | Progress::Proven { .. }))
}

fn move_to(draft: &mut Draft, state: RollbackState, reason: Option<String>) {
    let Some(rollback) = rollback(draft) else { return };
    let from = rollback.state;
    if from == state {
        return;
    }
    rollback.state = state;
    rollback.reason.clone_from(&reason);
    let entry = Entry {
        kind: Kind::Rollback,
        id: Some(rollback.id),
        digest: Some(rollback.target.digest.clone()),
        from: Some(from.as_str().to_owned()),
        to: state.as_str().to_owned(),
        reason,
        actor: Actor::Stablepin,
    };
    let id = rollback.id;
    if state.is_terminal() && draft.change.after.environment.slot == Some(id) {
        draft.change.after.environment.slot = None;
    }
    draft.audit(entry);
}

fn of<'a>(
    rollback: &'a mut Rollback,
    service: &'a crate::application::ServiceName,
) -> impl Iterator<Item = &'a mut ServiceRollout> {
    rollback.services.iter_mut().filter(move |rollout| rollout.service == *service)
}

fn rollback(draft: &mut Draft) -> Option<&mut Rollback> {
    match &mut draft.change.after.operation.as_mut()?.work {
        Work::Promotion(_) => None,
        Work::Rollback(rollback) => Some(rollback),
    }
}
