//! Tests of rule 5: an approver votes once, with a link or a signed request.

use jiff::SignedDuration;
use stablepin_rules::effect::Outcome;
use stablepin_rules::records::{PromotionState, TokenHash, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, may_decide};

use crate::fixtures::{ONE, TWO, asked, state};
use crate::world::{World, application, approver};

#[test]
fn rule_5_link_works_once_for_its_promotion_and_approver() {
    let mut world = World::new(application(TWO, ""));
    let one = asked(&mut world, 0, 1);
    let other = asked(&mut world, 1, 2);
    let token = world.token(one, "lead").unwrap();
    let subject = world.subject(Some(one), None);
    assert_eq!(may_decide(world.now, &subject, &approver("lead"), Some(&token)), Ok(()));
    assert!(matches!(
        may_decide(world.now, &subject, &approver("second"), Some(&token)),
        Err(Refusal::UnknownLink)
    ));
    let elsewhere = world.subject(Some(other), None);
    assert!(matches!(
        may_decide(world.now, &elsewhere, &approver("lead"), Some(&token)),
        Err(Refusal::UnknownLink)
    ));

    world.vote(one, "lead", Verdict::Approve).unwrap();
    let used = world.token(one, "lead").unwrap();
    let subject = world.subject(Some(one), None);
    assert!(matches!(
        may_decide(world.now, &subject, &approver("lead"), Some(&used)),
        Err(Refusal::LinkUsed { .. })
    ));
    // After the vote by link, a vote by signed request is refused, too.
    assert!(matches!(
        may_decide(world.now, &subject, &approver("lead"), None),
        Err(Refusal::AlreadyDecided { .. })
    ));
}

#[test]
fn rule_5_newer_link_invalidates_the_older_link() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    let old = world.token(id, "lead").unwrap();
    let newer = TokenHash("f".repeat(64));
    let mail = "lead@example.com".to_owned();
    let outcome = Outcome::ApprovalRequested { approver: approver("lead"), token: newer, mail };
    world.observe(Some(id), None, &[Input::Outcome(outcome)]).unwrap();
    let subject = world.subject(Some(id), None);
    let refused = may_decide(world.now, &subject, &approver("lead"), Some(&old));
    assert!(matches!(refused, Err(Refusal::LinkReplaced { .. })));
}

#[test]
fn rule_5_approver_cannot_vote_twice() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert!(world.vote(id, "lead", Verdict::Approve).is_err());
    world.settle();
    assert_eq!((state(&world, id), world.pins.len()), (PromotionState::Pending, 0));
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!((state(&world, id), world.pins.len()), (PromotionState::Completed, 1));
}

#[test]
fn rule_5_votes_of_former_approvers_do_not_count() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.configuration.application = application(ONE, "");
    assert!(world.vote(id, "second", Verdict::Approve).is_err());
    world.settle();
    assert_eq!(world.pins.len(), 0, "the vote is of a former approver");
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!(world.pins.len(), 1);
}

#[test]
fn one_rejection_cancels_the_promotion() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "second", Verdict::Reject).unwrap();
    let promotion = world.subject(Some(id), None).promotion().unwrap().clone();
    assert_eq!(promotion.state, PromotionState::Cancelled);
    assert_eq!(promotion.reason.unwrap().to_string(), "rejected by second: because");
    assert!(world.vote(id, "lead", Verdict::Approve).is_err());
}

#[test]
fn undecided_promotion_expires() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.now += SignedDuration::from_hours(2);
    assert!(matches!(world.vote(id, "lead", Verdict::Approve), Err(Refusal::Expired { .. })));
    world.tick(id);
    assert_eq!(state(&world, id), PromotionState::Cancelled);
}
