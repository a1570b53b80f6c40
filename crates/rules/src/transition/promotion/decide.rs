//! Votes and withdrawals. Every vote passes the same checks, whether it comes from a page or a
//! signed request.

use jiff::Timestamp;

use super::{end, promotion};
use crate::application::{EnvironmentPolicy, FourEyes, Step};
use crate::approval::address_changed;
use crate::approval::{is_own, is_requester, requesters, voters};
use crate::audit::{Actor, Kind};
use crate::caller::MORE_PUSHERS;
use crate::facts::facts;
use crate::name::ApproverName;
use crate::one_line::reason;
use crate::records::{
    ApprovalRequest, CodeHash, Promotion, PromotionReason, PromotionState, Subject, Token, Verdict, Vote,
};
use crate::refusal::Refusal;
use crate::transition::{AuditEntry, Transition};

/// The vote of one approver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub approver: ApproverName,
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub actor: Actor,
    /// The form of the approval page. None for a signed request, because its signer is the
    /// approver.
    pub form: Option<Form>,
}

/// The fields of the form on an approval page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The link with which the approver opened the page.
    pub token: Token,
    /// The hash of the code that the approver typed. None if the typed text cannot be a code.
    pub code: Option<CodeHash>,
    /// The environment name that the approver typed.
    pub typed: String,
    /// The hash of the facts that the page showed. None if the sender has not seen the page.
    pub facts: Option<String>,
}

/// Checks whether this approver may vote now with this link. The page makes this check before it
/// shows the buttons.
pub fn may_decide(
    now: Timestamp,
    subject: &Subject,
    approver: &ApproverName,
    token: Option<&Token>,
) -> Result<(), Refusal> {
    may_vote(now, subject, approver, None, token)
}

/// Checks whether an approver may vote now. `signer` is the actor of the vote, or None if there is
/// no vote yet and only the page asks.
fn may_vote(
    now: Timestamp,
    subject: &Subject,
    approver: &ApproverName,
    signer: Option<&Actor>,
    token: Option<&Token>,
) -> Result<(), Refusal> {
    let promotion = subject.promotion().ok_or(Refusal::UnknownLink)?;
    if let Some(token) = token {
        let here = token.promotion == promotion.id
            && token.digest == promotion.digest
            && token.environment == subject.name
            && token.application == *subject.application()
            && token.approver == *approver;
        if !here {
            return Err(Refusal::UnknownLink);
        }
        if let Some(at) = token.used_at {
            return Err(Refusal::LinkUsed { at });
        }
    }
    let policy = subject.policy().ok_or(Refusal::NoSuchEnvironment)?;
    if promotion.state != PromotionState::Pending {
        return Err(not_pending(promotion));
    }
    if promotion.expires_at <= now {
        return Err(Refusal::Expired { at: promotion.expires_at });
    }
    if let Some(pin) = super::superseded(&subject.environment, promotion) {
        return Err(Refusal::Superseded { pin });
    }
    if !policy.approval.approvers.contains(approver) {
        return Err(Refusal::NotAnApprover { approver: approver.clone() });
    }
    if promotion.votes.contains_key(approver) {
        return Err(Refusal::AlreadyDecided { approver: approver.clone() });
    }
    let voters = voters(subject, approver, signer);
    let shares = |(name, vote): &(&ApproverName, &Vote)| {
        crate::approval::voters(subject, name, Some(&vote.actor)).iter().any(|name| voters.contains(name))
    };
    if let Some((other, _)) = promotion.votes.iter().find(shares) {
        return Err(Refusal::SharedSigner { approver: approver.clone(), other: other.clone() });
    }
    four_eyes(subject, policy, promotion, &voters)?;
    if signer.is_some_and(|signer| is_requester(policy, promotion, signer)) {
        return Err(Refusal::OwnRequest { approver: approver.clone() });
    }
    if let Some(token) = token {
        if token.expires_at <= now {
            return Err(Refusal::LinkExpired { at: token.expires_at });
        }
        let replaced =
            |asked: &ApprovalRequest| asked.token != token.hash || address_changed(subject, approver, asked);
        if promotion.asked.get(approver).is_some_and(replaced) {
            return Err(Refusal::LinkReplaced { approver: approver.clone() });
        }
        if token.is_burnt() {
            return Err(Refusal::LinkBurnt);
        }
    }
    Ok(())
}

fn not_pending(promotion: &Promotion) -> Refusal {
    let reason = promotion.reason.as_ref().map_or("it was decided".to_owned(), ToString::to_string);
    Refusal::NotPending { state: promotion.state, reason }
}

/// Refuses a vote that the four-eyes rule forbids.
fn four_eyes(
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
    voters: &[&ApproverName],
) -> Result<(), Refusal> {
    if policy.approval.four_eyes != FourEyes::Off && promotion.pushers.contains(MORE_PUSHERS) {
        return Err(Refusal::TooManyPushers);
    }
    if let Some(own) = voters.iter().find(|name| is_own(subject, policy, promotion, name)) {
        return Err(Refusal::OwnRequest { approver: (*own).clone() });
    }
    match policy.approval.four_eyes {
        FourEyes::Strict if requesters(promotion).next().is_none() => Err(Refusal::RequesterUnknown),
        FourEyes::Off | FourEyes::On | FourEyes::Strict => Ok(()),
    }
}

/// Checks that the voter has taken the configured step, such as typing the code. A robot that only
/// follows links and presses buttons fails this check.
fn check_human_step(policy: &EnvironmentPolicy, subject: &Subject, form: &Form) -> Result<(), Refusal> {
    match policy.approval.step {
        Step::None => Ok(()),
        Step::Type if form.typed.trim() == subject.name.as_str() => Ok(()),
        Step::Type => Err(Refusal::NotTyped { environment: subject.name.clone() }),
        Step::Code if form.code.as_ref() == Some(&form.token.code) => Ok(()),
        Step::Code => Err(Refusal::WrongCode),
    }
}

pub(in crate::transition) fn decide(transition: &mut Transition, decision: &Decision) -> Result<(), Refusal> {
    let now = transition.now;
    let after = &transition.change.after;
    let token = decision.form.as_ref().map(|form| &form.token);
    may_vote(now, after, &decision.approver, Some(&decision.actor), token)?;
    let today = facts(after).map(|facts| facts.hash());
    if let Some(form) = &decision.form {
        let policy = after.policy().ok_or(Refusal::NoSuchEnvironment)?;
        check_human_step(policy, after, form)?;
        if form.facts.is_some() && form.facts != today {
            return Err(Refusal::FactsChanged);
        }
        transition.change.token = Some(Token { used_at: Some(now), ..form.token.clone() });
    }
    // A voter who has not seen the page has approved no facts.
    let facts = decision.form.as_ref().and_then(|form| form.facts.clone());
    let Some(promotion) = promotion(transition) else { return Ok(()) };
    let why = decision.reason.as_deref().and_then(reason);
    let vote = Vote {
        verdict: decision.verdict,
        reason: why.clone(),
        at: now,
        actor: decision.actor.clone(),
        facts: facts.clone(),
    };
    promotion.votes.insert(decision.approver.clone(), vote);
    let actor = decision.actor.clone();
    match decision.verdict {
        Verdict::Approve => {
            let said = why.map_or(String::new(), |reason| format!(": {reason}"));
            audit(transition, format!("approved by {}{said}", decision.approver), actor);
        }
        Verdict::Reject => {
            let reason = PromotionReason::Rejected { by: decision.approver.clone(), reason: why };
            end(transition, PromotionState::Cancelled, reason, actor);
        }
    }
    if let Some(audit) = transition.change.audit.last_mut() {
        audit.facts = facts;
    }
    Ok(())
}

/// Counts a wrong code. After too many wrong codes, the link accepts no vote any more, and
/// Stablepin mails a new link to the approver.
pub(in crate::transition) fn wrong_code(transition: &mut Transition, token: &Token) -> Result<(), Refusal> {
    may_decide(transition.now, &transition.change.after, &token.approver, Some(token))?;
    let token = Token { wrong_codes: token.wrong_codes.saturating_add(1), ..token.clone() };
    if token.is_burnt() {
        if let Some(asked) =
            promotion(transition).and_then(|promotion| promotion.asked.get_mut(&token.approver))
        {
            asked.burnt = true;
        }
        let reason = format!(
            "{} wrong codes with the link of {}: it no longer works",
            token.wrong_codes, token.approver
        );
        audit(transition, reason, Actor::Link { approver: token.approver.clone() });
    }
    transition.change.token = Some(token);
    Ok(())
}

/// Withdraws an open promotion. Its mailed links stop working. The caller must already have checked
/// the actor's permission.
pub(in crate::transition) fn withdraw(
    transition: &mut Transition,
    actor: &Actor,
    why: Option<&str>,
) -> Result<(), Refusal> {
    let promotion = transition.change.after.promotion().ok_or(Refusal::UnknownLink)?;
    if promotion.state != PromotionState::Pending {
        return Err(not_pending(promotion));
    }
    let reason = PromotionReason::Withdrawn { by: actor.clone(), reason: why.and_then(reason) };
    end(transition, PromotionState::Cancelled, reason, actor.clone());
    Ok(())
}

/// Writes an audit record about a promotion whose state is still `Pending`.
fn audit(transition: &mut Transition, reason: String, actor: Actor) {
    let Some(promotion) = promotion(transition) else { return };
    let entry = AuditEntry {
        kind: Kind::Promotion,
        id: Some(promotion.id),
        digest: Some(promotion.digest.clone()),
        from: Some(PromotionState::Pending.as_str().to_owned()),
        to: PromotionState::Pending.as_str().to_owned(),
        reason: Some(reason),
        actor,
    };
    transition.audit(entry);
}
