//! Pins whose tag Stablepin cannot put: another image has the immutable tag, or ECR refuses the
//! tag.

use stablepin_rules::build_tag::numbered;
use stablepin_rules::image::ImageTag;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Notice, PromotionState, RollbackState, Verdict, Work};

use crate::world::{World, application, digest};
use crate::{ONE, asked, pinned, rollback_state, state};

fn tag(pin: u64) -> ImageTag {
    numbered(&ImageTag::parse(crate::world::STABLE).unwrap(), PinNumber::new(pin).unwrap())
}

fn immutable() -> World {
    let mut world = World::new(application(ONE, ""));
    world.immutable = true;
    world
}

fn tag_taken_notices(world: &World) -> usize {
    world.operations.values().filter(|operation| operation.notified.contains(&Notice::TagTaken)).count()
}

/// Waits an hour. Returns true if the operation then has no pending effect and no next check.
fn is_quiet(world: &mut World, id: OperationId) -> bool {
    let holder = world.uuid();
    world.wait(3600);
    pending_effects(world.now, &world.subject(Some(id), None), holder).is_empty()
        && world.operations[&id].wake_at.is_none()
}

#[test]
fn promotion_completes_with_a_notice_if_its_tag_is_taken() {
    let mut world = immutable();
    world.tags.insert(tag(1), digest(9));
    let id = pinned(&mut world, 0, 1);
    assert_eq!(state(&world, id), PromotionState::Completed);
    let promotion = world.subject(Some(id), None).promotion().unwrap().clone();
    let said = promotion.reason.unwrap().to_string();
    let taken = format!("ECR did not accept the tag prod-stable-000001 of pin 1: it is on {}", digest(9));
    assert!(said.starts_with("pinned as pin 1; ") && said.contains(&taken), "{said}");
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1), "the pin is valid");
    assert_eq!((world.environment.applied, tag_taken_notices(&world)), (None, 1));
    assert!(world.environment.tag_taken.is_some());
    assert!(is_quiet(&mut world, id));
    assert_eq!(world.tags[&tag(1)], digest(9), "the tag stays on the other image");
}

#[test]
fn pin_gets_its_tag_although_the_previous_pins_tag_was_taken() {
    let mut world = immutable();
    world.tags.insert(tag(1), digest(9));
    pinned(&mut world, 0, 1);
    let next = pinned(&mut world, 1, 2);
    assert_eq!(state(&world, next), PromotionState::Completed);
    assert_eq!(world.tags[&tag(2)], digest(2));
    assert_eq!(
        (world.environment.applied, world.environment.tag_taken.clone()),
        (PinNumber::new(2).ok(), None)
    );
    assert_eq!(tag_taken_notices(&world), 1);
}

#[test]
fn rollback_completes_with_a_notice_if_its_tag_is_taken() {
    let mut world = immutable();
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    world.tags.insert(tag(3), digest(9));
    let id = world.roll_back("1").unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    let said = world.subject(Some(id), None).rollback().unwrap().reason.as_ref().unwrap().to_string();
    assert!(said.contains("did not accept the tag prod-stable-000003 of pin 3"), "{said}");
    assert_eq!(
        (world.environment.pin.as_ref().unwrap().digest.clone(), tag_taken_notices(&world)),
        (digest(1), 1)
    );
    assert!(is_quiet(&mut world, id));
}

/// Both promotions try to put the newest pin's tag, but only one promotion sends a notice.
#[test]
fn two_promotions_send_one_notice_about_a_taken_tag() {
    let mut world = immutable();
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    world.tags.insert(tag(2), digest(9));
    world.vote(first, "lead", Verdict::Approve).unwrap();
    world.vote(second, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(
        (state(&world, first), state(&world, second)),
        (PromotionState::Completed, PromotionState::Completed)
    );
    assert_eq!(tag_taken_notices(&world), 1);
}

#[test]
fn pin_gets_its_tag_when_the_tag_becomes_free() {
    for put_right in [false, true] {
        let mut world = immutable();
        world.tags.insert(tag(1), digest(9));
        pinned(&mut world, 0, 1);
        assert_eq!(world.look_at_tag(&tag(1)), None, "a notice was sent before");
        world.move_by_hand(&tag(1), put_right.then(|| digest(1)));
        let repair = world.look_at_tag(&tag(1));
        assert_eq!(repair.is_none(), put_right);
        world.settle();
        assert_eq!(world.tags[&tag(1)], digest(1));
        assert_eq!(
            (world.environment.applied, &world.environment.tag_taken),
            (PinNumber::new(1).ok(), &None)
        );
    }
}

#[test]
fn tag_that_is_taken_again_causes_a_new_notice() {
    let mut world = immutable();
    pinned(&mut world, 0, 1);
    for again in 1..=3 {
        world.move_by_hand(&tag(1), Some(digest(8 + again)));
        let repair = world.look_at_tag(&tag(1)).unwrap();
        world.settle();
        let Work::Repair(ended) = &world.operations[&repair].work else {
            panic!("the operation must be a repair")
        };
        assert!(ended.repaired_at.is_some(), "the repair has ended");
        assert_eq!(tag_taken_notices(&world), usize::from(again));
        assert!(is_quiet(&mut world, repair));
    }
    let ends: Vec<&str> =
        world.audit.iter().map(|record| record.to.as_str()).filter(|to| *to == "Not Put").collect();
    assert_eq!(ends.len(), 3);
}

/// The pin is valid although Stablepin lacks the permission to put the tag. Stablepin retries the
/// tag once a day.
#[test]
fn promotion_completes_with_a_notice_if_ecr_refuses_the_tag() {
    let mut world = World::new(application(ONE, ""));
    world.tags_are_refused = true;
    let id = pinned(&mut world, 0, 1);
    assert_eq!(state(&world, id), PromotionState::Completed);
    let said = world.subject(Some(id), None).promotion().unwrap().reason.as_ref().unwrap().to_string();
    assert!(said.contains("ECR did not accept the tag"), "{said}");
    assert!(said.contains(" of pin 1: AccessDeniedException"), "{said}");
    assert_eq!((world.environment.applied, tag_taken_notices(&world)), (None, 1));
    assert!(is_quiet(&mut world, id));
    let stable = ImageTag::parse(crate::world::STABLE).unwrap();
    assert_eq!(world.look_at_tag(&stable), None, "a notice was sent before");

    world.wait(24 * 3600);
    let again = world.look_at_tag(&stable).unwrap();
    world.settle();
    world.wait(60);
    let Work::Repair(repair) = &world.operations[&again].work else {
        panic!("the operation must be a repair")
    };
    assert!(repair.repaired_at.is_some() && is_quiet(&mut world, again));
    assert_eq!(tag_taken_notices(&world), 2, "the refusal is reported again");
    assert!(
        world.audit.iter().all(|record| !record.reason.as_deref().unwrap_or_default().contains("by hand"))
    );

    world.tags_are_refused = false;
    world.wait(24 * 3600);
    world.look_at_tag(&stable).unwrap();
    world.settle();
    assert_eq!(world.tags[&stable], digest(1));
    assert_eq!((world.environment.applied, &world.environment.tag_taken), (PinNumber::new(1).ok(), &None));
}
