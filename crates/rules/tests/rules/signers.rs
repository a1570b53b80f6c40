//! Rule 5: one signer has one vote, even if the principals of two approvers overlap. Stablepin
//! refuses new application files in which approvers share a principal. An older version may have
//! stored such a file.

use stablepin_rules::application::{FourEyes, Principal};
use stablepin_rules::approval::approvals;
use stablepin_rules::audit::Actor;
use stablepin_rules::caller::Caller;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{PromotionState, Verdict, Vote, Work};
use stablepin_rules::transition::{Decision, Input};

use crate::world::{World, application, approver};
use crate::{ONE, TWO};

const ROLE: &str = "arn:aws:iam::111122223333:role/leads";
const SAME_ROLE: &str = "arn:aws:iam::111122223333:role/team/leads";
const SSO: &str =
    "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Lead_0123456789abcdef";
const ANNA: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0123456789abcdef/anna";
const BOB: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0123456789abcdef/bob";
const ADMIN: &str =
    "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_fedcba9876543210";
/// Anna under another permission set. Her session name is capitalized here.
const ANNA_ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_fedcba9876543210/Anna";
const BOB_ADMIN: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_fedcba9876543210/bob";
const BOB_OPS: &str = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_1111111111111111/bob";
/// Anna under a permission set of another account.
const ANNA_DEV: &str = "arn:aws:sts::444455556666:assumed-role/AWSReservedSSO_Dev_0000000000000000/anna";
const FEDERATED: &str = "arn:aws:sts::111122223333:federated-user/anna";
const ROOT: &str = "arn:aws:iam::111122223333:root";
const USER: &str = "arn:aws:iam::111122223333:user/anna";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/leads/anything";

/// Opens a promotion, and requests its approval. Each approver has one principal.
fn asked(approval: &str, lead: &str, second: &str, asked_by: Option<&str>) -> (World, OperationId) {
    let mut world = World::new(application(approval, ""));
    let configured = &mut world.configuration.application;
    for (approver, arn) in configured.approvers.iter_mut().zip([lead, second]) {
        approver.principals = vec![Principal::parse(arn).unwrap()];
    }
    configured.environments[0].approval.approvers = vec![approver("lead"), approver("second")];
    if asked_by.is_some() {
        configured.environments[0].approval.four_eyes = FourEyes::On;
    }
    let mut opening = world.opening(0, 1);
    opening.asked_by = asked_by.map(|arn| Actor::Principal { arn: arn.to_owned() });
    let (id, digest) = (opening.id, opening.occurrence.digest.clone());
    world.observe(None, Some(&digest), &[Input::Opened(Box::new(opening))]).unwrap();
    world.settle();
    (world, id)
}

/// Approves by a signed request in an approver's name. Returns the text of a refusal.
fn sign(world: &mut World, id: OperationId, name: &str, arn: &str) -> Result<(), String> {
    let decision = Decision {
        approver: approver(name),
        verdict: Verdict::Approve,
        reason: None,
        actor: Actor::Principal { arn: arn.to_owned() },
        form: None,
    };
    let decided = world.observe(Some(id), None, &[Input::Decision(decision)]);
    decided.map(drop).map_err(|refusal| refusal.to_string())
}

fn state(world: &World, id: OperationId) -> PromotionState {
    world.subject(Some(id), None).promotion().unwrap().state
}

#[test]
fn rule_5_one_signer_cannot_give_two_votes() {
    for (lead, second, signer) in [(SSO, ANNA, ANNA), (ANNA, SSO, ANNA), (ROLE, SAME_ROLE, SESSION)] {
        for (first, then) in [("lead", "second"), ("second", "lead")] {
            let (mut world, id) = asked(TWO, lead, second, None);
            sign(&mut world, id, first, signer).unwrap();
            let refused = sign(&mut world, id, then, signer).unwrap_err();
            assert!(refused.contains("one signer has one vote"), "{refused}");
            assert!(world.vote(id, then, Verdict::Approve).is_err(), "the mailed link must not vote either");
            world.settle();
            assert_eq!((state(&world, id), world.pins.len()), (PromotionState::Pending, 0));
        }
    }
}

/// The application's file gets other principals after the votes.
#[test]
fn rule_5_votes_that_may_share_a_signer_count_once() {
    let (mut world, id) = asked(TWO, ANNA, BOB, None);
    world.configuration.application.environments[0].approval.required = 3;
    sign(&mut world, id, "lead", ANNA).unwrap();
    sign(&mut world, id, "second", BOB).unwrap();
    let required = |world: &mut World, principal: &str| {
        let configured = &mut world.configuration.application;
        configured.approvers[1].principals = vec![Principal::parse(principal).unwrap()];
        configured.environments[0].approval.required = 2;
        world.observe(Some(id), None, &[Input::Nudge]).unwrap();
        world.settle();
    };
    required(&mut world, SSO);
    assert_eq!(state(&world, id), PromotionState::Pending, "anna's vote may be second's");
    required(&mut world, BOB);
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn rule_5_two_sessions_of_a_reserved_role_are_two_signers() {
    let (mut world, id) = asked(TWO, ANNA, BOB, None);
    sign(&mut world, id, "lead", ANNA).unwrap();
    sign(&mut world, id, "second", BOB).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn rule_5_requester_cannot_vote_as_another_approver() {
    for (lead, second, signer) in [(SSO, ANNA, ANNA), (ROLE, SAME_ROLE, SESSION)] {
        for name in ["lead", "second"] {
            let (mut world, id) = asked(ONE, lead, second, Some(signer));
            assert!(sign(&mut world, id, name, signer).is_err(), "{name}");
            assert!(world.vote(id, name, Verdict::Approve).is_err(), "{name}, by the mailed link");
        }
    }
    // An IAM user with another path is still the same user.
    let (user, moved) = ("arn:aws:iam::111122223333:user/anna", "arn:aws:iam::111122223333:user/team/anna");
    let (mut world, id) = asked(ONE, user, BOB, Some(moved));
    assert!(sign(&mut world, id, "lead", user).is_err());
    sign(&mut world, id, "second", BOB).unwrap();
}

/// Bob votes before CloudTrail names the pusher.
#[test]
fn rule_5_vote_stops_counting_if_its_voter_may_have_pushed() {
    let (mut world, id) = asked(TWO, SSO, BOB, None);
    world.configuration.application.environments[0].approval.four_eyes = FourEyes::On;
    sign(&mut world, id, "second", BOB).unwrap();
    let pusher = Caller { arn: ANNA.to_owned(), at: world.now };
    world.observe(Some(id), None, &[Input::Attributed(pusher)]).unwrap();
    world.configuration.application.environments[0].approval.required = 1;
    world.observe(Some(id), None, &[Input::Tick]).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Pending, "bob may be the lead, and the lead pushed it");
}

/// IAM Identity Center names the session after the person, under every permission set.
#[test]
fn rule_5_person_has_one_vote_across_permission_sets() {
    for (lead, second) in [(ANNA, ANNA_ADMIN), (SSO, ADMIN), (SSO, ANNA_ADMIN), (ANNA, ADMIN)] {
        let (mut world, id) = asked(TWO, lead, second, None);
        sign(&mut world, id, "lead", ANNA).unwrap();
        let refused = sign(&mut world, id, "second", ANNA_ADMIN).unwrap_err();
        assert!(refused.contains("one signer has one vote"), "{lead} {second}: {refused}");
        world.settle();
        assert_eq!((state(&world, id), world.pins.len()), (PromotionState::Pending, 0));
    }
    // Two people are still two signers.
    let (mut world, id) = asked(TWO, SSO, ADMIN, None);
    sign(&mut world, id, "lead", BOB).unwrap();
    sign(&mut world, id, "second", ANNA_ADMIN).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

/// An older version may have accepted and stored the second vote.
#[test]
fn rule_5_stored_votes_of_one_person_count_once() {
    for (then, counted) in [(ANNA_ADMIN, 1), (BOB_ADMIN, 2)] {
        let (mut world, id) = asked(TWO, SSO, ADMIN, None);
        sign(&mut world, id, "lead", ANNA).unwrap();
        let mut subject = world.subject(Some(id), None);
        let Some(Work::Promotion(promotion)) = subject.operation.as_mut().map(|one| &mut one.work) else {
            panic!("no promotion")
        };
        let actor = Actor::Principal { arn: then.to_owned() };
        let vote = Vote { actor, ..promotion.votes[&approver("lead")].clone() };
        promotion.votes.insert(approver("second"), vote);
        let (policy, promotion) = (subject.policy().unwrap(), subject.promotion().unwrap());
        assert_eq!(approvals(&subject, policy, promotion).count(), counted, "{then}");
    }
}

#[test]
fn rule_5_requester_cannot_vote_with_another_permission_set() {
    for (lead, signer) in [(ANNA, ANNA), (SSO, ANNA), (ADMIN, ANNA_ADMIN)] {
        let (mut world, id) = asked(ONE, lead, BOB_OPS, Some(ANNA_DEV));
        let refused = sign(&mut world, id, "lead", signer).unwrap_err();
        assert!(refused.contains("requested this promotion or pushed the image"), "{lead}: {refused}");
        world.settle();
        assert_eq!(state(&world, id), PromotionState::Pending, "{lead}");
        sign(&mut world, id, "second", BOB_OPS).unwrap();
        world.settle();
        assert_eq!(state(&world, id), PromotionState::Completed);
    }
    // The lead is Anna, who requested the promotion, so the lead's mailed link must not vote.
    let (mut world, id) = asked(ONE, ANNA, BOB, Some(ANNA_DEV));
    assert!(world.vote(id, "lead", Verdict::Approve).is_err());
}

/// AWS does not name the person behind a federated user or the root user.
#[test]
fn strict_four_eyes_needs_an_identified_requester() {
    for unknown in [FEDERATED, ROOT] {
        for pushers in [&[unknown][..], &[unknown, ANNA_DEV]] {
            let (mut world, id) = asked(ONE, ROLE, BOB, None);
            world.configuration.application.environments[0].approval.four_eyes = FourEyes::Strict;
            for arn in pushers {
                let pusher = Caller { arn: (*arn).to_owned(), at: world.now };
                world.observe(Some(id), None, &[Input::Attributed(pusher)]).unwrap();
            }
            let refused = sign(&mut world, id, "second", BOB).unwrap_err();
            assert!(refused.contains("it is not known who pushed this"), "{unknown}: {refused}");
        }
        let (mut world, id) = asked(ONE, ROLE, BOB, Some(unknown));
        world.configuration.application.environments[0].approval.four_eyes = FourEyes::Strict;
        assert!(sign(&mut world, id, "second", BOB).is_err(), "{unknown}");
    }
    // An identified person requests the promotion, and another person approves.
    let (mut world, id) = asked(ONE, ROLE, BOB, Some(ANNA_DEV));
    world.configuration.application.environments[0].approval.four_eyes = FourEyes::Strict;
    let pusher = Caller { arn: FEDERATED.to_owned(), at: world.now };
    world.observe(Some(id), None, &[Input::Attributed(pusher)]).unwrap();
    sign(&mut world, id, "second", BOB).unwrap();
}

/// A federated user may be any IAM user, because only an IAM user or the root user can request the
/// token of a federated user.
#[test]
fn rule_5_federated_requester_blocks_votes_of_iam_users() {
    let (mut world, id) = asked(ONE, USER, BOB, Some(FEDERATED));
    assert!(sign(&mut world, id, "lead", USER).is_err());
    sign(&mut world, id, "second", BOB).unwrap();
}
