//! Tests of rules 1 to 3 and 7: the pins, and the tags that show them.

use stablepin_rules::audit::Kind;
use stablepin_rules::image::ImageTag;
use stablepin_rules::records::{PromotionState, Verdict};

use crate::any_events::check;
use crate::fixtures::{ONE, asked, pinned, state};
use crate::world::{self, World, application, digest};

#[test]
fn rule_1_approved_digest_is_pinned_and_tagged() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    // The tag moves on before the first promotion is approved.
    asked(&mut world, 1, 2);
    world.vote(first, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.tag("main"), Some(&digest(2)));
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1));
    assert_eq!(world.tag(world::STABLE), Some(&digest(1)));
}

#[test]
fn rule_2_tick_repairs_a_crash_between_pin_and_tag() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!((world.pins.len(), world.tag(world::STABLE)), (1, None));
    world.begin(id);
    world.land(0, false); // The tag was put, but its outcome was lost.
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
    assert_eq!(world.pins.len(), 1);
    assert_eq!(world.audited(Kind::Pin).len(), 1);
}

#[test]
fn rule_2_late_tag_of_an_older_pin_is_repaired() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    world.vote(first, "lead", Verdict::Approve).unwrap();
    world.begin(first); // The older pin's tag is about to be put,
    world.vote(second, "lead", Verdict::Approve).unwrap();
    world.begin(second);
    world.land(1, true); // the newer pin's tag is put first,
    assert_eq!(world.tag(world::STABLE), Some(&digest(2)));
    world.land(0, true); // and the older pin's tag overwrites it.
    assert_eq!(world.tag(world::STABLE), Some(&digest(1)));
    world.settle();
    assert_eq!(world.tag(world::STABLE), Some(&digest(2)));
}

#[test]
fn rule_3_each_pin_has_the_next_number_and_one_record() {
    let mut world = World::new(application(ONE, ""));
    for n in 1..5 {
        pinned(&mut world, i64::from(n), n);
    }
    world.roll_back("2").unwrap();
    world.settle();
    check(&world);
    assert_eq!(world.environment.pin.as_ref().unwrap().number.get(), 5);
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(2));
}

#[test]
fn rule_7_taken_build_tag_is_left_for_the_next_name() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    let taken = world.builds[&digest(1)].build_tag.tag();
    world.tags.insert(taken.clone(), digest(9));
    world.settle();
    let build = &world.builds[&digest(1)];
    assert!(build.tagged && build.build_tag.tag() != taken);
    assert_eq!(world.tags[&taken], digest(9), "another digest's name is never moved");
    assert!(world.intents.contains(&(build.build_tag.tag(), digest(1))));
    assert_eq!(state(&world, id), PromotionState::Pending);
}

#[test]
fn rule_7_stable_tag_is_recorded_before_it_is_put() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!(world.tag(world::STABLE), None);
    for name in [world::STABLE, "prod-stable-000001"] {
        assert!(world.intents.contains(&(ImageTag::parse(name).unwrap(), digest(1))), "{name}");
    }
}
