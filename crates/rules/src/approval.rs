//! Votes on a promotion, and which of them count. Pages, signed requests and transitions all use
//! these functions.

use crate::application::{EnvironmentPolicy, FourEyes, is_identified, may_be_one};
use crate::audit::Actor;
use crate::caller::MORE_PUSHERS;
use crate::name::ApproverName;
use crate::records::{ApprovalRequest, Promotion, Subject, Verdict, Vote};

/// Returns whether enough approvers have approved. The current configuration decides which
/// approvers count, and how many are enough.
pub fn approved(subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> bool {
    approvals(subject, policy, promotion).count() >= usize::from(policy.approval.required)
}

/// Returns the votes that count: approvals by approvers that the configuration still names and that
/// the four-eyes rule allows. If one signer may have given two votes, only one of the two counts.
pub fn approvals<'a>(
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    promotion: &'a Promotion,
) -> impl Iterator<Item = (&'a ApproverName, &'a Vote)> {
    let mut heard: Vec<&ApproverName> = Vec::new();
    promotion.votes.iter().filter(move |(name, vote)| {
        let voters = voters(subject, name, Some(&vote.actor));
        let counts = vote.verdict == Verdict::Approve
            && policy.approval.approvers.contains(name)
            && !is_requester(policy, promotion, &vote.actor)
            && !voters.iter().any(|name| heard.contains(name) || is_own(subject, policy, promotion, name));
        if counts {
            heard.extend(voters);
        }
        counts
    })
}

/// Returns the actor and the reason of the latest approval that counts. If no approval counts any
/// more, uses the latest of all approvals. Without any approval, the actor is the push.
pub(crate) fn decided_by(
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
) -> (Actor, Option<String>) {
    let ever = || promotion.votes.values().filter(|vote| vote.verdict == Verdict::Approve);
    let counted = approvals(subject, policy, promotion).map(|(_, vote)| vote);
    let last = counted.max_by_key(|vote| vote.at).or_else(|| ever().max_by_key(|vote| vote.at));
    last.map_or((Actor::Push, None), |vote| (vote.actor.clone(), vote.reason.clone()))
}

/// Returns all approvers that may have given this vote. In an older file, one signer may match
/// several approvers. One person may also sign with several roles, so the result includes every
/// approver whose stored vote the same person may have signed.
pub(crate) fn voters<'a>(
    subject: &'a Subject,
    name: &'a ApproverName,
    actor: Option<&Actor>,
) -> Vec<&'a ApproverName> {
    let Some(arn) = actor.and_then(signer) else { return vec![name] };
    let application = &subject.configuration.application;
    let others = application.approvers.iter().map(|approver| &approver.name);
    let votes = subject.promotion().map(|promotion| &promotion.votes);
    let has_signed = |other: &ApproverName| {
        let vote = votes.and_then(|votes| votes.get(other));
        vote.and_then(|vote| signer(&vote.actor)).is_some_and(|signer| may_be_one(signer, arn))
    };
    let may_be = |other: &&ApproverName| application.may_be(arn, other) || has_signed(other);
    std::iter::once(name).chain(others.filter(may_be)).collect()
}

/// Returns the ARN of an actor that signed a request. None for other actors.
fn signer(actor: &Actor) -> Option<&str> {
    match actor {
        Actor::Principal { arn } => Some(arn),
        Actor::Link { .. } | Actor::Push | Actor::Stablepin => None,
    }
}

/// Returns the ARNs of the principals that requested the promotion or pushed the build.
fn signers(promotion: &Promotion) -> impl Iterator<Item = &str> {
    let asked_by = promotion.asked_by.as_ref().and_then(signer);
    asked_by.into_iter().chain(promotion.pushers.iter().map(String::as_str))
}

/// Returns the ARNs of the requester and the pushers that identify a person or role. If one
/// pusher's ARN identifies nobody, the result contains no pusher, because that pusher may be any
/// person.
pub(crate) fn requesters(promotion: &Promotion) -> impl Iterator<Item = &str> {
    let asked_by = promotion.asked_by.as_ref().and_then(signer).filter(|arn| is_identified(arn));
    let pushers = promotion.pushers.iter().map(String::as_str);
    let are_known = pushers.clone().all(is_identified);
    asked_by.into_iter().chain(pushers.filter(move |_| are_known))
}

/// Returns whether the four-eyes rule forbids this actor to approve, because the actor requested
/// the promotion or pushed the build.
pub(crate) fn is_requester(policy: &EnvironmentPolicy, promotion: &Promotion, actor: &Actor) -> bool {
    let is_signer = |arn| signer(actor).is_some_and(|signer| may_be_one(arn, signer));
    policy.approval.four_eyes != FourEyes::Off && signers(promotion).any(is_signer)
}

/// Returns whether the four-eyes rule forbids this approver to approve, because the approver may
/// have requested the promotion or pushed the build. If more pushers exist than Stablepin stores,
/// every approver may be a pusher.
pub fn is_own(
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
    approver: &ApproverName,
) -> bool {
    let own = |arn: &str| arn == MORE_PUSHERS || subject.configuration.application.may_be(arn, approver);
    policy.approval.four_eyes != FourEyes::Off && signers(promotion).any(own)
}

/// Returns whether the approver's mail address has changed since Stablepin mailed this link.
pub(crate) fn address_changed(subject: &Subject, approver: &ApproverName, asked: &ApprovalRequest) -> bool {
    let today = subject.configuration.application.approver(approver).map(|approver| approver.mail.lower());
    asked.mail.is_some() && today.is_some() && asked.mail != today
}

/// Returns whether too few approvers remain to reach the required number of approvals. An approver
/// counts if the approver receives mails or has already voted, and if the four-eyes rule allows the
/// approver to approve. Returns false before Stablepin has checked the subscriptions.
pub fn is_unreachable(subject: &Subject, policy: &EnvironmentPolicy, promotion: &Promotion) -> bool {
    let Some(unreachable) = &promotion.unreachable else { return false };
    let hears = |name: &&ApproverName| {
        (!unreachable.contains_key(*name) || promotion.votes.contains_key(*name))
            && !is_own(subject, policy, promotion, name)
    };
    policy.approval.approvers.iter().filter(hears).count() < usize::from(policy.approval.required)
}
