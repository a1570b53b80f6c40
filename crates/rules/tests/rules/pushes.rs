//! Tests of rule 4: the order of pushes.

use jiff::SignedDuration;
use stablepin_rules::records::{PromotionState, Verdict};
use stablepin_rules::refusal::Refusal;

use crate::any_events::check;
use crate::fixtures::{ONE, asked, pinned, state};
use crate::world::{World, application, digest, start};

#[test]
fn rule_4_earlier_push_is_not_pinned_after_a_later_push() {
    let mut world = World::new(application(ONE, ""));
    let earlier = asked(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    assert!(matches!(
        world.vote(earlier, "lead", Verdict::Approve),
        Err(Refusal::Superseded { .. } | Refusal::NotPending { .. })
    ));
    world.settle();
    assert_eq!(state(&world, earlier), PromotionState::Cancelled);
    assert_eq!(world.pins.len(), 1);
}

#[test]
fn rule_4_earlier_push_may_be_pinned_before_a_later_push() {
    let mut world = World::new(application(ONE, ""));
    let earlier = asked(&mut world, 0, 1);
    let later = asked(&mut world, 1, 2);
    world.vote(earlier, "lead", Verdict::Approve).unwrap();
    world.vote(later, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(2));
    check(&world);
}

#[test]
fn rule_4_moving_a_tag_back_opens_a_new_promotion() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    asked(&mut world, 1, 2);
    assert_eq!(world.push(0, 1), None, "a redelivered event");
    let again = world.push(2, 1);
    assert!(again.is_some() && again != Some(first), "the tag moved back");
}

#[test]
fn rule_4_rollback_does_not_lower_the_watermark() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let between = asked(&mut world, 1, 3);
    pinned(&mut world, 2, 2);
    world.roll_back("1").unwrap();
    world.settle();
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1));
    assert!(world.vote(between, "lead", Verdict::Approve).is_err());
    // The event of an older push arrives after the rollback. That push cannot be pinned either.
    let late = world.push(1, 4).unwrap();
    assert_eq!(state(&world, late), PromotionState::Cancelled);
}

#[test]
fn two_tags_on_one_image_open_one_promotion() {
    let mut world = World::new(application(ONE, ""));
    asked(&mut world, 0, 1);
    assert_eq!(world.push(1, 1), None);
    assert_eq!(world.operations.len(), 1);
}

#[test]
fn rule_4_promotion_is_ordered_by_its_latest_push() {
    let mut world = World::new(application(ONE, ""));
    let joined = asked(&mut world, 0, 1);
    assert_eq!(world.push(3, 1), None);
    let late = world.push(2, 2).unwrap();
    world.settle();
    world.vote(joined, "lead", Verdict::Approve).unwrap();
    assert!(matches!(world.vote(late, "lead", Verdict::Approve), Err(Refusal::Superseded { .. })));
    world.settle();
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1));
    check(&world);
}

#[test]
fn repeated_push_after_ten_minutes_requests_approval_again() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    world.now += SignedDuration::from_mins(10);
    let again = world.push(600, 1).unwrap();
    world.settle();
    assert_eq!(world.tokens.len(), 2, "the approver got a new mail");
    world.vote(again, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!((state(&world, first), world.pins.len()), (PromotionState::Cancelled, 1));
}

#[test]
fn promotions_are_ordered_by_push_time() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 10, 2);
    let late = world.push(5, 1).unwrap();
    assert_eq!(state(&world, late), PromotionState::Cancelled, "it was pushed before the pinned build");
    assert!(world.subject(Some(late), None).promotion().unwrap().opened_at > start());
}
