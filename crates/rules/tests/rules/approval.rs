//! Rule 5: who may vote, and how.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use stablepin_rules::application::{FourEyes, MailAddress, Principal};
use stablepin_rules::audit::Actor;
use stablepin_rules::caller::Caller;
use stablepin_rules::code::MOST_WRONG_CODES;
use stablepin_rules::effect::{Effect, Outcome};
use stablepin_rules::facts::facts;
use stablepin_rules::one_line::LONGEST_TEXT;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::records::{
    Blocker, CodeHash, Notice, PromotionReason, PromotionState, RefusedMail, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::subscription_status::SubscriptionStatus;
use stablepin_rules::transition::{Decision, Input, may_decide, transition};

use crate::world::{World, application, approver, start};
use crate::{ONE, TWO};

/// Opens a promotion, and sends the mails that request approval.
fn asked(approval: &str) -> (World, OperationId) {
    let mut world = World::new(application(approval, ""));
    let id = world.push(0, 1).unwrap();
    world.settle();
    (world, id)
}

fn decide(world: &mut World, id: OperationId, code: Option<&str>) -> Result<(), Refusal> {
    let mut decision = world.decision(id, "lead", Verdict::Approve);
    decision.form.as_mut().unwrap().code = code.map(|code| CodeHash(code.to_owned()));
    world.observe(Some(id), None, &[Input::Decision(decision)]).map(drop)
}

fn state(world: &World, id: OperationId) -> PromotionState {
    world.subject(Some(id), None).promotion().unwrap().state
}

#[test]
fn rule_5_vote_by_link_needs_the_mailed_code() {
    let (mut world, id) = asked(ONE);
    for code in [None, Some(""), Some("code of 99")] {
        let before = format!("{:?}", world.facts());
        assert_eq!(decide(&mut world, id, code), Err(Refusal::WrongCode));
        assert_eq!(format!("{:?}", world.facts()), before);
    }
    assert!(world.vote(id, "lead", Verdict::Approve).is_ok(), "the right code must work");
}

#[test]
fn rule_5_link_is_replaced_after_five_wrong_codes() {
    let (mut world, id) = asked(ONE);
    let first = world.token(id, "lead").unwrap();
    for tried in 1..=MOST_WRONG_CODES {
        let token = world.token(id, "lead").unwrap();
        assert_eq!(token.wrong_codes, tried - 1);
        world.observe(Some(id), None, &[Input::WrongCode(token)]).unwrap();
    }
    let burnt = world.token(id, "lead").unwrap();
    let subject = world.subject(Some(id), None);
    let refused = may_decide(world.now, &subject, &approver("lead"), Some(&burnt));
    assert_eq!(refused, Err(Refusal::LinkBurnt), "the right code must not help");
    assert_eq!(world.vote(id, "lead", Verdict::Approve).unwrap_err(), Refusal::LinkBurnt);
    let reason = world.audit.last().unwrap().reason.clone().unwrap();
    assert!(reason.contains("5 wrong codes with the link of lead"), "{reason}");
    assert_eq!(state(&world, id), PromotionState::Pending);

    let holder = world.uuid();
    assert_eq!(
        pending_effects(world.now, &world.subject(Some(id), None), holder),
        [Effect::Ask(approver("lead"))]
    );
    world.settle();
    assert_ne!(world.token(id, "lead").unwrap().hash, first.hash);
    world.vote(id, "lead", Verdict::Approve).unwrap();
}

#[test]
fn rule_5_disabled_link_is_replaced_at_most_three_times() {
    let (mut world, id) = asked(ONE);
    let mut mails = 1;
    for _ in 0..10 {
        let hash = world.token(id, "lead").unwrap().hash;
        while let Some(token) = world.token(id, "lead").filter(|token| !token.is_burnt()) {
            world.observe(Some(id), None, &[Input::WrongCode(token)]).unwrap();
        }
        world.settle();
        mails += usize::from(world.token(id, "lead").unwrap().hash != hash);
    }
    assert_eq!(mails, 4);
}

#[test]
fn rule_5_vote_must_match_the_shown_facts() {
    let (mut world, id) = asked(TWO);
    let shown = facts(&world.subject(Some(id), None)).unwrap().hash();
    let mut decision = world.decision(id, "lead", Verdict::Approve);
    decision.form.as_mut().unwrap().facts = Some("of another page".to_owned());
    let refused = world.observe(Some(id), None, &[Input::Decision(decision.clone())]).unwrap_err();
    assert_eq!(refused, Refusal::FactsChanged);

    decision.form.as_mut().unwrap().facts = Some(shown.clone());
    world.observe(Some(id), None, &[Input::Decision(decision)]).unwrap();
    let subject = world.subject(Some(id), None);
    assert_eq!(subject.promotion().unwrap().votes[&approver("lead")].facts, Some(shown.clone()));
    assert_eq!(world.audit.last().unwrap().facts, Some(shown));
}

#[test]
fn rule_5_requester_must_not_vote() {
    const LEAD: &str = "arn:aws:iam::111122223333:role/team/lead";
    let session = Actor::Principal { arn: "arn:aws:sts::111122223333:assumed-role/lead/anything".to_owned() };
    let decide_as = |four_eyes, asked_by: Option<&Actor>, name: &str| {
        let mut world = World::new(application(ONE, ""));
        let environment = &mut world.configuration.application.environments[0];
        environment.approval.four_eyes = four_eyes;
        environment.approval.approvers.push(approver("second"));
        for (approver, arn) in world
            .configuration
            .application
            .approvers
            .iter_mut()
            .zip([LEAD, "arn:aws:iam::111122223333:user/b"])
        {
            approver.principals = Principal::parse(arn).into_iter().collect();
        }
        let mut opening = world.opening(0, 1);
        opening.asked_by = asked_by.cloned();
        let id = opening.id;
        let before = world.subject(None, Some(&opening.occurrence.digest));
        let change = transition(world.now, &before, &[Input::Opened(Box::new(opening))]).unwrap();
        world.commit(&before, change);
        world.settle();
        may_decide(world.now, &world.subject(Some(id), None), &approver(name), None)
    };
    let own = Err(Refusal::OwnRequest { approver: approver("lead") });
    assert_eq!(decide_as(FourEyes::Strict, Some(&session), "lead"), own);
    assert_eq!(decide_as(FourEyes::On, Some(&session), "lead"), own);
    assert_eq!(decide_as(FourEyes::Off, Some(&session), "lead"), Ok(()));
    assert_eq!(decide_as(FourEyes::Strict, Some(&session), "second"), Ok(()));
    assert_eq!(decide_as(FourEyes::On, None, "lead"), Ok(()), "the pusher is unknown");
    assert_eq!(decide_as(FourEyes::Strict, None, "second"), Err(Refusal::RequesterUnknown));
}

/// Stablepin sends one reminder, when a quarter of the time is left. The link in the reminder
/// replaces the first link.
#[test]
fn approver_without_a_vote_is_reminded_once() {
    let (mut world, id) = asked(TWO);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.begin(id);
    let first = world.token(id, "second").unwrap();
    let due = |world: &mut World| {
        let holder = world.uuid();
        pending_effects(world.now, &world.subject(Some(id), None), holder)
    };
    world.wait(44 * 60);
    assert_eq!(due(&mut world), []);
    let wake_at = world.operations[&id].wake_at.unwrap();
    assert!(wake_at <= world.now + SignedDuration::from_mins(1), "the next check must not miss the reminder");
    world.wait(60);
    assert_eq!(due(&mut world), [Effect::Ask(approver("second"))]);
    world.settle();
    assert_ne!(world.token(id, "second").unwrap().hash, first.hash);
    world.wait(14 * 60);
    world.settle();
    assert_eq!(due(&mut world), [], "there is only one reminder");
    world.vote(id, "second", Verdict::Approve).unwrap();
}

#[test]
fn promotion_sends_no_reminder_if_a_newer_build_was_pushed() {
    let (mut world, id) = asked(ONE);
    world.push(1, 2).unwrap();
    world.settle();
    world.wait(46 * 60);
    let holder = world.uuid();
    assert_eq!(pending_effects(world.now, &world.subject(Some(id), None), holder), []);
}

/// Anybody who gets the mail can vote in the approver's name. So Stablepin confirms each vote by
/// mail.
#[test]
fn vote_by_link_sends_one_confirmation() {
    for verdict in [Verdict::Approve, Verdict::Reject] {
        let (mut world, id) = asked(ONE);
        world.vote(id, "lead", verdict).unwrap();
        let vote_confirmations = |world: &mut World| {
            let holder = world.uuid();
            let effects = pending_effects(world.now, &world.subject(Some(id), None), holder);
            effects.into_iter().filter(|effect| matches!(effect, Effect::ConfirmVote(_))).collect::<Vec<_>>()
        };
        assert_eq!(vote_confirmations(&mut world), [Effect::ConfirmVote(approver("lead"))], "{verdict:?}");
        world.settle();
        assert_eq!(vote_confirmations(&mut world), []);
        assert_eq!(world.operations[&id].wake_at, None, "nothing is left to do");
    }
}

#[test]
fn vote_by_signed_request_sends_no_confirmation() {
    let (mut world, id) = asked(TWO);
    let decision = Decision {
        approver: approver("lead"),
        verdict: Verdict::Approve,
        reason: None,
        actor: Actor::Principal { arn: "arn:aws:iam::111122223333:role/lead".to_owned() },
        form: None,
    };
    world.observe(Some(id), None, &[Input::Decision(decision)]).unwrap();
    let holder = world.uuid();
    assert_eq!(pending_effects(world.now, &world.subject(Some(id), None), holder), []);
}

/// Returns the positions of the promotions for which the lead received a mail.
fn mailed(world: &World, ids: &[OperationId]) -> Vec<usize> {
    let was = |id: &OperationId| world.token(*id, "lead").is_some();
    (0..ids.len()).filter(|n| was(&ids[*n])).collect()
}

#[test]
fn approvers_get_mails_about_five_builds_and_then_the_newest() {
    let mut world = World::new(application(ONE, ""));
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(world.push(n, n as u8 + 1).unwrap());
        world.settle();
        world.wait(5);
    }
    assert_eq!(mailed(&world, &ids), [0, 1, 2, 3, 4], "the first five are asked immediately");
    let wakes = world.operations[&ids[11]].wake_at.unwrap();
    assert!(
        wakes <= start() + SignedDuration::from_mins(6),
        "the newest is due after the first five minutes"
    );
    world.wait(5 * 60);
    world.settle();
    assert_eq!(mailed(&world, &ids), [0, 1, 2, 3, 4, 11], "newer builds replaced the others");
    for id in &ids[5..11] {
        assert_eq!(state(&world, *id), PromotionState::Pending, "a signed request can still approve it");
    }
    ids.push(world.push(12, 100).unwrap());
    world.settle();
    assert_eq!(mailed(&world, &ids).last(), Some(&12), "after the burst a push is asked for immediately");
}

#[test]
fn approver_gets_one_mail_per_push_if_pushes_are_rare() {
    let mut world = World::new(application(ONE, ""));
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(world.push(n * 120, n as u8 + 1).unwrap());
        world.settle();
        world.wait(120);
    }
    assert_eq!(mailed(&world, &ids).len(), 9);
}

/// Stablepin sends one notice immediately, and also sends the approval mails.
#[test]
fn too_few_reachable_approvers_cause_a_notice() {
    let notifies = |unreachable: &[(&str, SubscriptionStatus)]| {
        let mut world = World::new(application(TWO, ""));
        world.unreachable = unreachable.iter().map(|(name, reach)| (approver(name), *reach)).collect();
        let id = world.push(0, 1).unwrap();
        world.settle();
        assert!(world.token(id, "lead").is_some(), "the mail is sent anyway");
        world.operations[&id].notified.contains(&Notice::Unreachable)
    };
    assert!(!notifies(&[]));
    assert!(notifies(&[("second", SubscriptionStatus::Missing)]), "both approvers are needed");
    assert!(notifies(&[("lead", SubscriptionStatus::Pending), ("second", SubscriptionStatus::Missing)]));
}

fn mail_refused(world: &World, id: OperationId) -> Option<RefusedMail> {
    world.subject(Some(id), None).promotion().unwrap().mail_refused.clone()
}

/// Returns a world in which a promotion expires after two days.
fn patient(approval: &str) -> World {
    let mut world = World::new(application(approval, ""));
    world.configuration.application.environments[0].approval.expires = SignedDuration::from_hours(48);
    world
}

/// Advances the clock by `minutes` minutes. After each minute, runs all effects that are pending.
fn minutes(world: &mut World, minutes: i64) {
    for _ in 0..minutes {
        world.wait(60);
        world.settle();
    }
}

#[test]
fn refused_mail_is_reported_once_and_retried_hourly() {
    let mut world = patient(ONE);
    world.mail_is_refused = [approver("lead")].into();
    let id = world.push(0, 1).unwrap();
    world.settle();
    let first = world.operations[&id].clone();
    assert_eq!((mail_refused(&world, id), first.failures), (None, 1), "a permission may not count yet");
    assert!(first.problem.unwrap().contains("AuthorizationError") && first.notified.is_empty());
    minutes(&mut world, 1);
    let refused = mail_refused(&world, id).unwrap();
    assert_eq!(refused.names(), "lead");
    assert!(refused.reason.contains("AuthorizationError"));
    let known = world.operations[&id].clone();
    assert_eq!((known.notified, known.failures), ([Notice::MailRefused].into(), 0));
    assert_eq!(state(&world, id), PromotionState::Pending);

    world.mail_is_refused.clear();
    world.wait(59 * 60);
    world.settle();
    assert!(world.token(id, "lead").is_none(), "once an hour");
    minutes(&mut world, 1);
    assert!(world.token(id, "lead").is_some());
    assert_eq!(mail_refused(&world, id), None);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn promotion_expires_if_sns_never_accepts_its_mail() {
    let mut world = patient(ONE);
    world.mail_is_refused = [approver("lead")].into();
    let id = world.push(0, 1).unwrap();
    world.settle();
    let mut tries = BTreeSet::new();
    while state(&world, id) == PromotionState::Pending {
        minutes(&mut world, 10);
        tries.extend(mail_refused(&world, id).map(|refused| refused.at));
    }
    assert!((40..=48).contains(&tries.len()), "{} tries in two days", tries.len());
    assert_eq!(world.operations[&id].notified, [Notice::MailRefused].into());
    let subject = world.subject(Some(id), None);
    let expired = PromotionReason::Expired(Blocker::Decision);
    assert_eq!(subject.promotion().unwrap().reason, Some(expired));
}

#[test]
fn two_refused_mails_of_one_attempt_count_as_one_refusal() {
    let mut world = patient(TWO);
    let id = world.push(0, 1).unwrap();
    let refused = ["lead", "second"].map(|name| {
        let reason = "KMSAccessDenied".to_owned();
        Input::Outcome(Outcome::AskRefused { approver: approver(name), reason })
    });
    world.observe(Some(id), None, &refused).unwrap();
    assert_eq!((mail_refused(&world, id), world.operations[&id].failures), (None, 1));
    world.observe(Some(id), None, &refused).unwrap();
    assert_eq!(mail_refused(&world, id).unwrap().names(), "lead, second");
}

#[test]
fn refused_mail_does_not_delay_the_other_approvers_mail() {
    let mut world = patient(TWO);
    world.mail_is_refused = [approver("second")].into();
    let id = world.push(0, 1).unwrap();
    world.settle();
    minutes(&mut world, 2);
    assert!(world.token(id, "lead").is_some());
    assert_eq!(mail_refused(&world, id).unwrap().names(), "second");
    world.mail_is_refused.clear();
    minutes(&mut world, 61);
    assert!(world.token(id, "second").is_some());
    assert_eq!(mail_refused(&world, id), None);
}

/// Approves by a signed request. Such a vote needs no mail.
fn sign(world: &mut World, id: OperationId, name: &str) {
    let actor = Actor::Principal { arn: format!("arn:aws:iam::111122223333:role/{name}") };
    let decision = Decision { actor, form: None, ..world.decision(id, name, Verdict::Approve) };
    world.observe(Some(id), None, &[Input::Decision(decision)]).unwrap();
}

#[test]
fn refused_mail_record_names_only_approvers_who_may_vote() {
    let refused = || {
        let mut world = patient(TWO);
        world.mail_is_refused = [approver("lead"), approver("second")].into();
        let id = world.push(0, 1).unwrap();
        world.settle();
        minutes(&mut world, 1);
        assert_eq!(mail_refused(&world, id).unwrap().names(), "lead, second");
        (world, id)
    };
    let (mut world, id) = refused();
    sign(&mut world, id, "lead");
    assert_eq!(mail_refused(&world, id).unwrap().names(), "second", "lead has voted");
    sign(&mut world, id, "second");
    assert_eq!(mail_refused(&world, id), None);

    let (mut world, id) = refused();
    let policy = &mut world.configuration.application.environments[0].approval;
    (policy.required, policy.approvers) = (1, vec![approver("lead")]);
    world.tick(id);
    assert_eq!(mail_refused(&world, id).unwrap().names(), "lead", "second has left the file");

    let (mut world, id) = refused();
    let lead = "arn:aws:iam::111122223333:role/lead";
    let approvers = &mut world.configuration.application.approvers;
    approvers[0].principals = vec![Principal::parse(lead).unwrap()];
    world.configuration.application.environments[0].approval.four_eyes = FourEyes::On;
    world.observe(Some(id), None, &[Input::Attributed(caller(lead))]).unwrap();
    assert_eq!(mail_refused(&world, id).unwrap().names(), "second", "lead has pushed the build");
}

#[test]
fn reason_of_a_refused_mail_is_cut_at_its_limit() {
    let mut world = patient(ONE);
    let id = world.push(0, 1).unwrap();
    let reason = "é".repeat(LONGEST_TEXT * 20);
    let refused = Input::Outcome(Outcome::AskRefused { approver: approver("lead"), reason });
    for _ in 0..2 {
        world.observe(Some(id), None, std::slice::from_ref(&refused)).unwrap();
    }
    let kept = mail_refused(&world, id).unwrap().reason;
    assert!(kept.chars().count() == LONGEST_TEXT && kept.ends_with("… (cut)"));
}

#[test]
fn throttled_mail_does_not_count_as_refused() {
    let mut world = patient(ONE);
    let id = world.push(0, 1).unwrap();
    for _ in 0..20 {
        let throttled = Input::Outcome(Outcome::Problem("Throttled: Rate exceeded".to_owned()));
        world.observe(Some(id), None, &[throttled]).unwrap();
        let wakes = world.operations[&id].wake_at.unwrap();
        assert!(wakes <= world.now + SignedDuration::from_mins(16), "it is tried again soon");
        world.now = wakes;
    }
    assert_eq!((mail_refused(&world, id), &world.operations[&id].notified), (None, &[].into()));
    world.settle();
    assert!(world.token(id, "lead").is_some());
}

/// SNS may refuse the notices for the same reason as the mails.
#[test]
fn refused_notice_does_not_stop_approval_requests() {
    for reached in [false, true] {
        let mut world = patient(TWO);
        match reached {
            true => world.mail_is_refused = [approver("second")].into(),
            false => world.unreachable = [(approver("second"), SubscriptionStatus::Missing)].into(),
        }
        world.notices_refused = Some(0);
        let id = world.push(0, 1).unwrap();
        world.settle();
        minutes(&mut world, 24 * 60);
        let tried = world.notices_refused.unwrap();
        assert!((2..=30).contains(&tried), "{tried} notices in a day");
        assert_eq!(state(&world, id), PromotionState::Pending);
        world.mail_is_refused.clear();
        minutes(&mut world, 61);
        for name in ["lead", "second"] {
            assert!(world.vote(id, name, Verdict::Approve).is_ok(), "{name} was asked");
        }
        world.settle();
        assert_eq!(state(&world, id), PromotionState::Completed);
    }
}

/// ECR's push event does not name the pusher. CloudTrail names the pusher minutes later.
#[test]
fn rule_5_pusher_that_cloudtrail_names_must_not_vote() {
    let decide_as = |four_eyes: FourEyes, name: &str| {
        let (mut world, id) = pushed_by_lead(four_eyes, "required = 2");
        let before = may_decide(world.now, &world.subject(Some(id), None), &approver(name), None);
        let audited = world.audit.len();
        for _ in 0..2 {
            world.observe(Some(id), None, &[Input::Attributed(caller(LEAD))]).unwrap();
        }
        assert_eq!(world.audit.len(), audited + 1, "repeated attributions add one record");
        world
            .observe(Some(id), None, &[Input::Attributed(caller("arn:aws:iam::111122223333:user/late"))])
            .unwrap();
        assert_eq!(
            world.subject(Some(id), None).promotion().unwrap().pushers.len(),
            2,
            "every pusher counts"
        );
        (before, may_decide(world.now, &world.subject(Some(id), None), &approver(name), None))
    };
    let own = Err(Refusal::OwnRequest { approver: approver("lead") });
    let unknown = Err(Refusal::RequesterUnknown);
    assert_eq!(decide_as(FourEyes::Strict, "lead"), (unknown.clone(), own.clone()));
    assert_eq!(decide_as(FourEyes::Strict, "second"), (unknown, Ok(())));
    assert_eq!(decide_as(FourEyes::On, "lead"), (Ok(()), own));
    assert_eq!(decide_as(FourEyes::Off, "lead"), (Ok(()), Ok(())));
}

const LEAD: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0123456789abcdef/lead";

fn caller(arn: &str) -> Caller {
    Caller { arn: arn.to_owned(), at: start() }
}

fn pushed_by_lead(four_eyes: FourEyes, approval: &str) -> (World, OperationId) {
    let mut world = World::new(application(approval, ""));
    let configured = &mut world.configuration.application;
    configured.approvers[0].principals = vec![Principal::parse(LEAD).unwrap()];
    configured.environments[0].approval.four_eyes = four_eyes;
    let id = world.push(0, 1).unwrap();
    world.settle();
    (world, id)
}

/// The lead votes before CloudTrail names the lead as the pusher.
#[test]
fn rule_5_vote_stops_counting_if_the_voter_pushed() {
    let (mut world, id) = pushed_by_lead(FourEyes::On, "required = 2");
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.observe(Some(id), None, &[Input::Attributed(caller(LEAD))]).unwrap();
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Pending, "only one of two votes counts");
    assert_eq!(world.pins, []);
}

/// A failed mail delays no other effect, and does not replace the stored problem of another effect.
#[test]
fn failed_vote_confirmation_delays_nothing_and_is_given_up() {
    let (mut world, id) = asked(ONE);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    let failed_mail = || Input::Outcome(Outcome::NotifyFailed("throttled".to_owned()));
    world.observe(Some(id), None, &[failed_mail()]).unwrap();
    let operation = &world.operations[&id];
    assert_eq!((operation.failures, operation.problem.as_deref(), operation.notify_failures), (0, None, 1));
    let holder = world.uuid();
    let due = pending_effects(world.now, &world.subject(Some(id), None), holder);
    assert!(matches!(due[..], [Effect::TagStable(_)]), "the tag is put now: {due:?}");
    let pin = world.environment.pin.as_ref().unwrap().number;
    world.observe(Some(id), None, &[Input::Outcome(Outcome::StableTagged(pin))]).unwrap();
    assert_eq!(state(&world, id), PromotionState::Completed);
    let pause =
        |world: &World| world.operations[&id].wake_at.map(|at| at.duration_since(world.now).as_mins());
    assert_eq!(pause(&world), Some(1), "the mail is retried");
    for attempt in 2..=11 {
        world.wait(16 * 60);
        world.observe(Some(id), None, &[failed_mail()]).unwrap();
        assert_eq!(pause(&world), Some((1 << (attempt - 1).min(4)).min(16)), "{attempt}");
    }
    world.observe(Some(id), None, &[failed_mail()]).unwrap();
    assert_eq!(pause(&world), None, "the mail is given up");
}

/// The link at the old address becomes invalid. Stablepin mails another link to the new address.
#[test]
fn rule_5_new_mail_address_invalidates_the_old_link() {
    let (mut world, id) = asked(ONE);
    let first = world.token(id, "lead").unwrap();
    world.configuration.application.approvers[0].mail = MailAddress::parse("successor@example.com").unwrap();
    let subject = world.subject(Some(id), None);
    let refused = may_decide(world.now, &subject, &approver("lead"), Some(&first));
    assert_eq!(refused, Err(Refusal::LinkReplaced { approver: approver("lead") }));
    world.observe(Some(id), None, &[Input::Nudge]).unwrap();
    let holder = world.uuid();
    assert_eq!(
        pending_effects(world.now, &world.subject(Some(id), None), holder),
        [Effect::Ask(approver("lead"))]
    );
}

/// An operator withdraws the newest of many builds before Stablepin sends its mail. Stablepin then
/// sends the mail for the second newest build.
#[test]
fn approver_gets_mail_about_the_next_build_after_a_withdrawal() {
    let mut world = World::new(application(ONE, ""));
    let ids: Vec<OperationId> = (0..8)
        .map(|n| {
            let id = world.push(n, n as u8 + 1).unwrap();
            world.settle();
            id
        })
        .collect();
    let actor = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
    world.observe(Some(ids[7]), None, &[Input::Withdrawn { actor, reason: None }]).unwrap();
    world.wait(10 * 60);
    world.settle();
    assert_eq!(mailed(&world, &ids), [0, 1, 2, 3, 4, 6]);
}

#[test]
fn approver_gets_mail_about_the_next_build_after_a_vote() {
    let mut world = World::new(application(ONE, ""));
    for n in 0..20 {
        let id = world.push(n, n as u8 + 1).unwrap();
        world.settle();
        assert!(world.token(id, "lead").is_some(), "build {n}");
        world.vote(id, "lead", Verdict::Approve).unwrap();
        world.settle();
    }
}

#[test]
fn rejected_promotion_causes_a_notice() {
    let (mut world, id) = asked(ONE);
    world.vote(id, "lead", Verdict::Reject).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Cancelled);
    assert!(world.operations[&id].notified.contains(&Notice::Ended));
}
