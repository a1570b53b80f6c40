//! Promotions, and the responses to requests about promotions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_messages::progress::{ProgressStep, StepState, steps};
use stablepin_rules::application::CheckName;
use stablepin_rules::audit::Actor;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, ApproverName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    CopyProgress, ImageCopy, Operation, Promotion, PromotionState, RefusedBuildTag, RefusedMail, Subject,
    Verdict, Vote, Work,
};
use stablepin_rules::subscription_status::SubscriptionStatus;

use crate::{BuildAnswer, CheckAnswer, RolloutAnswer};

/// The promotion of one build to one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionAnswer {
    pub id: OperationId,
    pub environment: EnvironmentName,
    pub digest: ImageDigest,
    pub build: BuildAnswer,
    /// The time of the push or of the request. Promotions are sorted by this time, then by the
    /// digest.
    pub pushed_at: Timestamp,
    /// The pushed tag. `None` if a signed request opened the promotion.
    pub pushed_tag: Option<ImageTag>,
    /// The ARNs of all principals that ever pushed the digest, from CloudTrail.
    pub pushers: BTreeSet<String>,
    /// The signer of the request for the promotion. `None` if a push opened the promotion.
    pub asked_by: Option<Actor>,
    pub opened_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: PromotionState,
    /// The reason of the last state change, for people.
    pub reason: Option<String>,
    /// The time of the image's successful validation. `None` if the image has not yet been
    /// validated.
    pub validated_at: Option<Timestamp>,
    /// The checks that pipelines have reported for the digest.
    pub checks: BTreeMap<CheckName, CheckAnswer>,
    /// The conditions that were not met at the last check, in words for people. Stablepin asks the
    /// approvers only when all conditions are met.
    pub waits_for: Vec<String>,
    /// The first time at which all conditions were met. The approvers' time to decide begins then.
    pub ready_at: Option<Timestamp>,
    /// The time when Stablepin mails the approvers, if no newer build arrives by then. With `None`,
    /// Stablepin mails the approvers immediately.
    pub ask_at: Option<Timestamp>,
    /// The time of the last mail to each approver.
    pub asked: BTreeMap<ApproverName, Timestamp>,
    /// The approvers whom mails do not reach. `None` if Stablepin has not checked yet.
    pub unreachable: Option<BTreeMap<ApproverName, SubscriptionStatus>>,
    pub mail_refused: Option<RefusedMailAnswer>,
    pub build_tag_refused: Option<RefusedBuildTagAnswer>,
    pub votes: BTreeMap<ApproverName, VoteAnswer>,
    /// The approvers who received a vote confirmation.
    pub vote_confirmations: BTreeSet<ApproverName>,
    /// The copy of the image to the environment's own repository. `None` if the environment uses
    /// the application's repository, and before the promotion begins.
    pub copy: Option<CopyAnswer>,
    pub rollout: Option<RolloutAnswer>,
    /// The reason why the rollout failed, for people.
    pub failure: Option<String>,
    /// The rollout that reverts the services after the failure.
    pub revert: Option<RolloutAnswer>,
    /// The pin that the promotion set.
    pub pin: Option<PinNumber>,
    /// The error of the last failed attempt.
    pub problem: Option<String>,
    /// The time of the promoter's next check. `None` if no work remains.
    pub next_look: Option<Timestamp>,
}

impl PromotionAnswer {
    /// Converts the operation. Returns `None` if the operation is not a promotion.
    pub fn new(environment: &EnvironmentName, operation: &Operation) -> Option<Self> {
        let Work::Promotion(promotion) = &operation.work else { return None };
        let Promotion { asked, votes, mail_refused, build_tag_refused, .. } = promotion;
        Some(Self {
            id: promotion.id,
            environment: environment.clone(),
            digest: promotion.digest.clone(),
            build: (&promotion.build).into(),
            pushed_at: promotion.occurrence.at,
            pushed_tag: promotion.pushed_tag.clone(),
            pushers: promotion.pushers.clone(),
            asked_by: promotion.asked_by.clone(),
            opened_at: promotion.opened_at,
            expires_at: promotion.expires_at,
            state: promotion.state,
            reason: reason(promotion),
            validated_at: promotion.validated.as_ref().map(|validated| validated.at),
            checks: CheckAnswer::of_all(&promotion.checks),
            waits_for: promotion.waits_for.clone(),
            ready_at: promotion.ready_at,
            ask_at: promotion.ask_at,
            asked: asked.iter().map(|(name, request)| (name.clone(), request.at)).collect(),
            unreachable: promotion.unreachable.clone(),
            mail_refused: mail_refused.as_ref().map(Into::into),
            build_tag_refused: build_tag_refused.as_ref().map(Into::into),
            votes: votes.iter().map(|(name, vote)| (name.clone(), vote.into())).collect(),
            vote_confirmations: promotion.vote_confirmations.clone(),
            copy: promotion.copy.as_ref().map(Into::into),
            rollout: promotion.rollout.as_ref().map(Into::into),
            failure: promotion.failure.as_ref().map(ToString::to_string),
            revert: promotion.revert.as_ref().map(Into::into),
            pin: promotion.pin,
            problem: operation.problem.clone(),
            next_look: operation.wake_at,
        })
    }
}

fn reason(promotion: &Promotion) -> Option<String> {
    promotion.reason.as_ref().map(ToString::to_string)
}

/// A page of an application's promotions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPage {
    pub promotions: Vec<PromotionAnswer>,
    pub next: Option<String>,
}

/// The copy of an image to the environment's own repository. Layers that the repository already had
/// count as copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyAnswer {
    pub to: RepositoryName,
    pub layers: u32,
    pub layers_done: u32,
    pub bytes: u64,
    pub bytes_done: u64,
    /// The number of failed tries since the last layer arrived. After the third, the promotion
    /// fails.
    pub tries: u8,
    /// The time at which the whole image was in the repository.
    pub done_at: Option<Timestamp>,
}

impl From<&ImageCopy> for CopyAnswer {
    fn from(copy: &ImageCopy) -> Self {
        let CopyProgress { layers, layers_done, bytes, bytes_done } = copy.progress;
        let (to, tries, done_at) = (copy.to.clone(), copy.tries, copy.done_at);
        Self { to, layers, layers_done, bytes, bytes_done, tries, done_at }
    }
}

answer! {
    /// An approver's vote.
    VoteAnswer of vote: Vote {
        verdict: Verdict,
        reason: Option<String>,
        at: Timestamp,
        actor: Actor,
        /// The SHA-256 of the facts that the approver saw.
        facts: Option<String>,
    }
}

answer! {
    /// The refusal of SNS to send approval mails.
    RefusedMailAnswer of refused: RefusedMail {
        approvers: BTreeSet<ApproverName>,
        /// The newest refusal, in the words of AWS.
        reason: String,
        at: Timestamp,
    }
}

answer! {
    /// The refusal of ECR to put the build tag.
    RefusedBuildTagAnswer of refused: RefusedBuildTag {
        times: u32,
        /// The newest refusal, in the words of AWS.
        reason: String,
        at: Timestamp,
    }
}

/// The response to a request for a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedPromotion {
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    /// The id of the promotion. `None` if a push of another build opened a promotion at the same
    /// moment.
    pub promotion: Option<OperationId>,
}

/// A promotion after a signed decision or a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedPromotion {
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    pub promotion: OperationId,
    pub state: PromotionState,
    pub reason: Option<String>,
    pub steps: Vec<StepAnswer>,
}

impl DecidedPromotion {
    /// Converts the [`Subject`]. Returns `None` if there is no promotion.
    pub fn new(subject: &Subject) -> Option<Self> {
        let promotion = subject.promotion()?;
        Some(Self {
            application: subject.application().clone(),
            environment: subject.name.clone(),
            promotion: promotion.id,
            state: promotion.state,
            reason: reason(promotion),
            steps: StepAnswer::of(subject),
        })
    }
}

answer! {
    /// A step of a promotion. All promotions of an environment have the same steps.
    StepAnswer of step: ProgressStep {
        name: String = step.name.to_owned(),
        state: StepState,
        /// A description for people. Empty before the step begins.
        detail: String,
    }
}

impl StepAnswer {
    /// Returns the steps of the promotion, in order.
    pub fn of(subject: &Subject) -> Vec<Self> {
        steps(subject).iter().map(Into::into).collect()
    }
}

/// The state of the decision page, for the page's script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionStatus {
    pub title: String,
    pub text: String,
    /// True if the promotion has ended.
    pub over: bool,
    pub steps: Vec<StepAnswer>,
}
