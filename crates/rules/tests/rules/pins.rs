//! Tests of rules 1 to 3 and 7: the pins and their tags.

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
    // The pipeline moves `main` to build 2 before the lead approves build 1.
    asked(&mut world, 1, 2);
    world.vote(first, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.tag("main"), Some(&digest(2)));
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1));
    assert_eq!(world.tag(world::STABLE), Some(&digest(1)));
}

#[test]
fn rule_2_tick_completes_a_promotion_after_a_crash() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!((world.pins.len(), world.tag(world::STABLE)), (1, None));
    world.begin(id);
    world.land(0, false); // ECR has the tag, but the outcome is lost.
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
    assert_eq!(world.pins.len(), 1);
    assert_eq!(world.audited(Kind::Pin).len(), 1);
}

#[test]
fn rule_2_slow_tag_call_of_an_older_pin_is_corrected() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    world.vote(first, "lead", Verdict::Approve).unwrap();
    world.begin(first); // The call for the older pin's tag is slow.
    world.vote(second, "lead", Verdict::Approve).unwrap();
    world.begin(second);
    world.land(1, true); // ECR puts the newer pin's tag first.
    assert_eq!(world.tag(world::STABLE), Some(&digest(2)));
    world.land(0, true); // The older pin's tag then overwrites the newer pin's tag.
    assert_eq!(world.tag(world::STABLE), Some(&digest(1)));
    world.settle();
    assert_eq!(world.tag(world::STABLE), Some(&digest(2)));
}

#[test]
fn rule_3_each_pin_gets_the_next_number_and_one_audit_record() {
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
fn rule_7_build_gets_another_tag_if_its_tag_is_taken() {
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
fn rule_7_stable_tag_is_recorded_before_ecr_gets_it() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!(world.tag(world::STABLE), None);
    for name in [world::STABLE, "prod-stable-000001"] {
        assert!(world.intents.contains(&(ImageTag::parse(name).unwrap(), digest(1))), "{name}");
    }
}
