//! Opens a promotion for a push or a signed request, and names its build.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::audit::{Actor, Kind};
use crate::build_tag::BuildTag;
use crate::caller::keep_pusher;
use crate::commit::Commit;
use crate::commit8::Commit8;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::EnvironmentName;
use crate::one_line::reason;
use crate::operation_id::OperationId;
use crate::pipeline_run::PipelineRun;
use crate::records::{Build, Environment, Latest, Occurrence, Operation, Promotion, PromotionState, Work};
use crate::refusal::Refusal;
use crate::transition::{AuditEntry, Transition, build_intent};

/// A push that the tagger has handled, or a signed request for a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The id for a new promotion, if this opening creates one.
    pub id: OperationId,
    pub occurrence: Occurrence,
    pub repository: RepositoryName,
    pub pushed_tag: ImageTag,
    pub commit: Option<Commit>,
    pub media_type: String,
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The number of build tags that Stablepin tried and that another digest already had.
    pub names_taken: u32,
    /// The signer who requested the promotion. None for a push.
    pub asked_by: Option<Actor>,
    /// The principals that pushed the digest, from CloudTrail.
    pub pushers: BTreeSet<String>,
    /// The run of the pipeline that made the build, if it is known.
    pub run: Option<PipelineRun>,
    /// True if ECR copies the image from another registry. Its parts may arrive after its manifest.
    pub is_copied: bool,
    /// The requester's reason.
    pub reason: Option<String>,
}

/// Returns the build tag. The first choice contains the commit's digits. If another digest has that
/// tag, the second choice contains the digest's digits. Each further choice adds a second to the
/// time.
pub(in super::super) fn build_tag(
    environment: &EnvironmentName,
    pushed_at: Timestamp,
    commit: Option<&str>,
    digest: &ImageDigest,
    names_taken: u32,
) -> BuildTag {
    let of_digest = || Commit8::of_digest(digest);
    let commit8 = match commit.and_then(|text| Commit::parse(text).ok()) {
        Some(commit) if names_taken == 0 => commit.commit8(),
        _ => of_digest(),
    };
    let later = SignedDuration::from_secs(i64::from(names_taken.saturating_sub(1)));
    BuildTag::new(environment.clone(), pushed_at + later, commit8)
}

/// The time in which a second push of the same image does not request approval again. After this
/// time a push requests approval again, because the first mail may be lost.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Returns the open promotion that a new push of this digest joins. The caller must read that
/// promotion before the transition.
pub fn joined(now: Timestamp, environment: &Environment, digest: &ImageDigest) -> Option<OperationId> {
    let latest = environment.latest.as_ref()?;
    let same = latest.open && latest.occurrence.digest == *digest;
    (same && now < latest.fresh_until).then_some(latest.promotion)
}

/// The time in which the layers and child images of a copied image arrive. ECR replicates most
/// images in less than 30 minutes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/replication.html>
const PARTS_ARRIVE_WITHIN: SignedDuration = SignedDuration::from_mins(30);

/// Opens a promotion for a push or a signed request. The subject must contain either no operation
/// or the promotion that the push [joins](joined).
pub(in super::super) fn open(transition: &mut Transition, opening: &Opening) -> Result<(), Refusal> {
    let now = transition.now;
    let policy = transition.change.after.policy().ok_or(Refusal::NoSuchEnvironment)?.clone();
    let after = &mut transition.change.after;
    // The event's reported time identifies the push, so that Stablepin recognizes a repeated event.
    // The order of pushes uses the corrected time.
    transition.change.opened = Some(opening.occurrence.clone());
    let occurrence = opening.occurrence.placed(now);

    let build = if let Some(mut build) = after.build.clone() {
        if let Some(run) = opening.run.as_ref().filter(|run| run.replaces(build.run.as_ref())) {
            build.run = Some(run.clone());
            after.build = Some(build.clone());
        }
        build
    } else {
        let build_tag = build_tag(
            &after.configuration.application.build_environment,
            occurrence.at,
            opening.commit.as_ref().map(Commit::as_str),
            &occurrence.digest,
            opening.names_taken,
        );
        let build = Build {
            digest: occurrence.digest.clone(),
            repository: opening.repository.clone(),
            build_tag,
            tagged: false,
            names_taken: opening.names_taken,
            commit: opening.commit.as_ref().map(|commit| commit.as_str().to_owned()),
            pushed_tag: opening.pushed_tag.clone(),
            pushed_at: occurrence.at,
            media_type: opening.media_type.clone(),
            size_bytes: opening.size_bytes,
            platforms: opening.platforms.clone(),
            run: opening.run.clone(),
            version: 0,
        };
        transition.change.intents.push(build_intent(&build));
        after.build = Some(build.clone());
        build
    };

    // A second tag of the same image joins the open promotion, because one approval request is
    // enough. The promotion gets the position of the later push.
    if let Some(Work::Promotion(asked)) = after.operation.as_mut().map(|operation| &mut operation.work) {
        asked.occurrence = asked.occurrence.clone().max(occurrence);
        if opening.is_copied {
            asked.complete_by = Some(now + PARTS_ARRIVE_WITHIN);
        }
        asked.asked_by = asked.asked_by.take().or_else(|| opening.asked_by.clone());
        for arn in &opening.pushers {
            keep_pusher(&mut asked.pushers, arn);
        }
        if let Some(latest) = &mut after.environment.latest {
            latest.occurrence = asked.occurrence.clone();
        }
        return Ok(());
    }

    let promotion = Promotion {
        id: opening.id,
        digest: occurrence.digest.clone(),
        build,
        occurrence: occurrence.clone(),
        state: PromotionState::Pending,
        reason: None,
        opened_at: now,
        asked_by: opening.asked_by.clone(),
        pushers: opening.pushers.clone(),
        pushed_tag: opening.asked_by.is_none().then(|| opening.pushed_tag.clone()),
        expires_at: now + policy.approval.expires,
        complete_by: opening.is_copied.then(|| now + PARTS_ARRIVE_WITHIN),
        validated: None,
        checks: Default::default(),
        checks_read_at: None,
        earlier: None,
        pin_changed_at: None,
        waits_for: Vec::new(),
        ready_at: None,
        ask_at: None,
        asked: Default::default(),
        votes: Default::default(),
        vote_confirmations: Default::default(),
        unreachable: None,
        mail_refused: None,
        build_tag_refused: None,
        copy: None,
        rollout: None,
        failure: None,
        revert: None,
        pin: None,
    };
    if after.environment.latest.as_ref().is_none_or(|latest| latest.occurrence < occurrence) {
        let fresh_until = now + FRESH.min(policy.approval.expires / 2);
        after.environment.latest =
            Some(Latest { occurrence, promotion: promotion.id, open: true, fresh_until });
    }
    let entry = AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: None,
        to: PromotionState::Pending.as_str().to_owned(),
        reason: match &opening.asked_by {
            None => Some(format!("push of {}:{}", opening.repository, opening.pushed_tag)),
            Some(_) => opening.reason.as_deref().and_then(reason),
        },
        actor: opening.asked_by.clone().unwrap_or(Actor::Push),
    };
    after.operation = Some(Operation::new(Work::Promotion(promotion), now));
    transition.audit(entry);
    Ok(())
}
