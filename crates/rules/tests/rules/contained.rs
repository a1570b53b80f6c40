//! Images that an image index contains. Such images need no approval of their own.

use jiff::SignedDuration;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::ImageTag;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{PromotionState, Verdict};
use stablepin_rules::transition::Input;

use crate::world::{World, application, digest, start};
use crate::{ONE, TWO, asked, pinned, state};

/// Returns an image index with digest 9, pushed `at` seconds after the start of the test.
pub(crate) fn index(at: i64) -> ContainingIndex {
    let tag = ImageTag::parse("main").unwrap();
    ContainingIndex { digest: digest(9), tag, pushed_at: start() + SignedDuration::from_secs(at) }
}

fn contained(world: &mut World, promotion: OperationId, at: i64) {
    world.observe(Some(promotion), None, &[Input::Contained(index(at))]).unwrap();
}

#[test]
fn image_index_cancels_the_promotion_of_a_child_image() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    contained(&mut world, id, 5);
    assert_eq!(state(&world, id), PromotionState::Cancelled);
    let record = world.audit.last().unwrap();
    assert_eq!((record.from.as_deref(), record.to.as_str()), (Some("Pending"), "Cancelled"));
    let index = digest(9);
    let why = format!(
        "part of an image index: main ({index}), pushed at 2026-11-21 10:00 UTC, contains it and \
         is promoted instead"
    );
    assert_eq!(record.reason, Some(why));
    assert!(world.vote(id, "lead", Verdict::Approve).is_err(), "the link must not work");
    let records = world.audit.len();
    contained(&mut world, id, 5);
    assert_eq!(world.audit.len(), records, "rule 6: repetition changes nothing");
}

#[test]
fn image_index_does_not_cancel_a_promotion_with_a_vote() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    contained(&mut world, id, 5);
    assert_eq!(state(&world, id), PromotionState::Pending, "the build has an approval");
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.pins.len(), 1);
    contained(&mut world, id, 5);
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn image_index_does_not_stop_a_running_deployment() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    contained(&mut world, id, 5);
    assert_eq!(state(&world, id), PromotionState::InProgress);
}

#[test]
fn image_index_cancels_no_promotion_that_a_person_requested() {
    let mut world = World::new(application(ONE, ""));
    let mut opening = world.opening(0, 1);
    opening.asked_by =
        Some(stablepin_rules::audit::Actor::Principal { arn: "arn:aws:iam::1:user/ann".to_owned() });
    let id = opening.id;
    world.observe(None, Some(&digest(1)), &[Input::Opened(Box::new(opening))]).unwrap();
    contained(&mut world, id, 5);
    assert_eq!(state(&world, id), PromotionState::Pending);
}

#[test]
fn child_pushed_an_hour_after_its_index_keeps_its_promotion() {
    let mut world = World::new(application(ONE, ""));
    world.now += SignedDuration::from_secs(3601);
    let id = asked(&mut world, 3601, 1);
    contained(&mut world, id, 0);
    assert_eq!(state(&world, id), PromotionState::Pending, "pushed more than an hour after the index");
    contained(&mut world, id, 1);
    assert_eq!(state(&world, id), PromotionState::Cancelled, "pushed within the hour");
}

/// The image index becomes the pin, even if the index was pushed before the image.
#[test]
fn image_index_is_pinned_in_any_order_of_the_two_pushes() {
    for (image, of_index) in [(0, 5), (5, 0)] {
        let mut world = World::new(application(ONE, ""));
        let id = asked(&mut world, image, 1);
        let index = asked(&mut world, of_index, 9);
        contained(&mut world, id, of_index);
        world.vote(index, "lead", Verdict::Approve).unwrap();
        world.settle();
        assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(9));
        assert_eq!(state(&world, id), PromotionState::Cancelled);
    }
}

/// The test has two more cases: the promotion of the image index itself, and no promotion. The
/// image index changes nothing in these cases either.
#[test]
fn later_image_index_does_not_change_a_completed_promotion() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let pin = world.pins[0].by;
    let before = world.audit.len();
    contained(&mut world, pin, 5);
    let itself = asked(&mut world, 5, 9);
    contained(&mut world, itself, 5);
    assert_eq!(state(&world, itself), PromotionState::Pending);
    world.observe(None, None, &[Input::Contained(index(5))]).unwrap();
    assert_eq!(world.audit.len(), before + 1, "only the opening of the index is recorded");
}
