//! Tests of tag drift: a person moves or deletes a tag of Stablepin.

use stablepin_rules::audit::Kind;
use stablepin_rules::effect::{Effect, Outcome};
use stablepin_rules::image::ImageTag;
use stablepin_rules::records::Work;
use stablepin_rules::transition::Input;

use crate::world::{self, World, application, deployed, digest};
use crate::{ONE, asked, check, pinned};

fn drift_records(world: &World) -> Vec<(String, String)> {
    let of = |record: &&stablepin_rules::audit::AuditRecord| {
        (record.from.clone().unwrap_or_default(), record.to.clone())
    };
    world.audited(Kind::Drift).iter().map(of).collect()
}

fn stable() -> ImageTag {
    ImageTag::parse(world::STABLE).unwrap()
}

#[test]
fn rule_2_moved_stable_tag_is_reported_and_repaired() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    world.move_by_hand(&stable(), Some(digest(9)));
    assert!(world.look_at_tag(&stable()).is_some());
    world.settle();
    check(&world);
    let moved = digest(9).to_string();
    assert_eq!(
        drift_records(&world),
        [(moved.clone(), "Detected".to_owned()), (moved, "Repaired".to_owned())]
    );
    assert_eq!(world.look_at_tag(&stable()), None, "the tag is on the pin");
}

#[test]
fn deleted_stable_tag_is_restored() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    world.move_by_hand(&stable(), None);
    world.look_at_tag(&stable());
    world.settle();
    check(&world);
    assert_eq!(drift_records(&world)[0], ("deleted".to_owned(), "Detected".to_owned()));
}

#[test]
fn tag_not_moved_to_a_new_pin_yet_is_not_drift() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", stablepin_rules::records::Verdict::Approve).unwrap();
    assert_eq!(world.look_at_tag(&stable()), None, "pin 2 is set, and its tag is pending");
    world.settle();
    assert!(drift_records(&world).is_empty());
}

#[test]
fn moved_current_tag_is_repaired() {
    let mut world = World::new(deployed(ONE, "\"prod/web\""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", stablepin_rules::records::Verdict::Approve).unwrap();
    world.settle();
    let tag = world.current_tag();
    world.move_by_hand(&tag, Some(digest(9)));
    let repair = world.look_at_tag(&tag).unwrap();
    world.settle();
    assert_eq!(world.tags[&tag], digest(1));
    assert!(matches!(&world.operations[&repair].work, Work::Repair(repair) if repair.repaired_at.is_some()));
    check(&world);
}

/// A rollback of only some services brings a digest that is not the pin.
#[test]
fn records_of_a_moved_current_tag_name_the_live_digest() {
    let mut world = World::new(deployed(ONE, "\"prod/web\""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", stablepin_rules::records::Verdict::Approve).unwrap();
    world.settle();
    let tag = world.current_tag();
    world.environment.current.as_mut().unwrap().digest = digest(5);
    world.intents.insert((tag.clone(), digest(5)));
    world.move_by_hand(&tag, Some(digest(9)));
    world.look_at_tag(&tag).unwrap();
    world.settle();
    let named = world.audited(Kind::Drift).iter().map(|record| record.digest.clone()).collect::<Vec<_>>();
    assert_eq!(named, [Some(digest(5)), Some(digest(5))]);
}

/// ECR refuses the PutImage call, for example because the repository's tags have become immutable.
#[test]
fn tag_repair_gives_up_after_a_day_of_refusals() {
    let mut world = World::new(deployed(ONE, "\"prod/web\""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", stablepin_rules::records::Verdict::Approve).unwrap();
    world.settle();
    let tag = world.current_tag();
    world.move_by_hand(&tag, Some(digest(9)));
    let repair = world.look_at_tag(&tag).unwrap();
    let mut tries = 0;
    for _ in 0..24 * 60 {
        world.begin(repair);
        for flight in std::mem::take(&mut world.flights) {
            assert_eq!(flight.effect, Effect::TagCurrent(digest(1)));
            tries += 1;
            let refused = Outcome::Problem("AccessDeniedException: ecr:PutImage".to_owned());
            world.observe(Some(repair), None, &[Input::Outcome(refused)]).unwrap();
        }
        world.wait(60);
        world.tick(repair);
    }
    assert_eq!((tries, world.operations[&repair].wake_at), (12, None), "retries end after a day");
    let last = world.audited(Kind::Drift).last().copied().unwrap().clone();
    assert_eq!(last.to, "Not Put");
    let why = last.reason.unwrap();
    assert!(why.ends_with("was moved by hand: AccessDeniedException: ecr:PutImage"), "{why}");
    assert_eq!(world.look_at_tag(&tag), None, "no new repair starts every hour");

    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", stablepin_rules::records::Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.tags[&tag], digest(2), "the next release puts it");
    check(&world);
}

#[test]
fn repeated_observation_of_drift_starts_no_second_repair() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    world.move_by_hand(&stable(), None);
    assert!(world.look_at_tag(&stable()).is_some());
    assert_eq!(world.look_at_tag(&stable()), None);
    world.settle();
    assert_eq!(drift_records(&world).len(), 2);
}
