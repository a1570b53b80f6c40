//! What an operation owes the world, and what came of it. Effects are derived from the record, never stored.

use jiff::Timestamp;
use uuid::Uuid;

use crate::application::ServiceName;
use crate::image::{ImageDigest, ImageTag};
use crate::name::ApproverName;
use crate::pin_number::PinNumber;
use crate::records::{
    Build, Lease, Operation, Pin, Progress, Promotion, PromotionState, Rollback, Subject, TokenHash, Work,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts the build tag on the build.
    TagBuild(Build),
    /// Mints a link and mails it.
    Ask(ApproverName),
    /// Makes the stable tag show the environment's pin.
    TagStable(Pin),
    /// Puts the backup tag on what was live. Best effort.
    TagBackup { tag: ImageTag, digest: ImageDigest },
    /// Starts one service's deployment at the rollback's digest.
    Deploy(ServiceName),
    /// Looks how that deployment is doing.
    Follow(ServiceName),
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    BuildTagged,
    /// Another digest has the name.
    BuildTagTaken(ImageTag),
    Asked {
        approver: ApproverName,
        token: TokenHash,
    },
    StableTagged(PinNumber),
    BackupTried,
    Deployed {
        service: ServiceName,
        deployment: String,
        task_definition: String,
    },
    /// Still on its way; what was seen, for people.
    Going {
        service: ServiceName,
        seen: String,
    },
    Proven {
        service: ServiceName,
        tasks: u32,
    },
    /// It will not come right by itself.
    ServiceFailed {
        service: ServiceName,
        reason: String,
    },
    /// It may work later: throttled, refused, out of reach.
    Problem(String),
}

/// What is to be carried out now by this holder. Empty while `wake_at` is ahead or another holds the lease.
pub fn owed(now: Timestamp, subject: &Subject, holder: Uuid) -> Vec<Effect> {
    let Some(operation) = &subject.operation else { return Vec::new() };
    let awake = operation.wake_at.is_some_and(|at| at <= now);
    if !awake || leased_to_another(now, operation, holder) {
        return Vec::new();
    }
    pending(subject)
}

/// Whether somebody else is carrying this out now.
pub fn leased_to_another(now: Timestamp, operation: &Operation, holder: Uuid) -> bool {
    operation.lease.as_ref().is_some_and(|Lease { holder: other, until }| *other != holder && *until > now)
}

/// What is left to do, whenever.
pub(crate) fn pending(subject: &Subject) -> Vec<Effect> {
    match subject.operation.as_ref().map(|operation| &operation.work) {
        None => Vec::new(),
        Some(Work::Promotion(promotion)) => promotion_pending(subject, promotion),
        Some(Work::Rollback(rollback)) => rollback_pending(subject, rollback),
    }
}

fn promotion_pending(subject: &Subject, promotion: &Promotion) -> Vec<Effect> {
    let untagged = subject.build.iter().filter(|build| !build.tagged).cloned().map(Effect::TagBuild);
    match promotion.state {
        PromotionState::Pending => {
            let naming: Vec<_> = untagged.collect();
            // A mail names the build tag: it goes out when the name is certain.
            if naming.is_empty() { ask(subject, promotion) } else { naming }
        }
        PromotionState::InProgress => untagged.chain(stable_tag(subject)).collect(),
        PromotionState::Completed
        | PromotionState::Failed
        | PromotionState::RolledBack
        | PromotionState::Cancelled => Vec::new(),
    }
}

fn ask(subject: &Subject, promotion: &Promotion) -> Vec<Effect> {
    let Some(policy) = subject.policy() else { return Vec::new() };
    if crate::step::approved(policy, promotion) {
        return Vec::new();
    }
    let unasked =
        |name: &&ApproverName| !promotion.asked.contains_key(*name) && !promotion.votes.contains_key(*name);
    policy.approval.approvers.iter().filter(unasked).cloned().map(Effect::Ask).collect()
}

/// Always the environment's own pin, whoever set it: when two promotions race, the later tag wins.
fn stable_tag(subject: &Subject) -> Option<Effect> {
    subject.environment.pin.clone().map(Effect::TagStable)
}

fn rollback_pending(subject: &Subject, rollback: &Rollback) -> Vec<Effect> {
    if rollback.state.is_terminal() {
        return Vec::new();
    }
    let backup = rollback
        .backup
        .iter()
        .filter(|backup| !backup.tried)
        .map(|backup| Effect::TagBackup { tag: backup.tag.clone(), digest: backup.digest.clone() });
    let services = rollback.services.iter().filter_map(|rollout| match &rollout.progress {
        Progress::Waiting => Some(Effect::Deploy(rollout.service.clone())),
        Progress::Deployed { .. } => Some(Effect::Follow(rollout.service.clone())),
        Progress::Proven { .. } | Progress::Failed { .. } => None,
    });
    let tag = rollback.pin.and_then(|_| stable_tag(subject));
    services.chain(tag).chain(backup).collect()
}
