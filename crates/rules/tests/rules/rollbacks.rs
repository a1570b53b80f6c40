//! Tests of rules 9 and 10: targets and final states of rollbacks.

use jiff::SignedDuration;
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::records::{Direction, PromotionState, RollbackState, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::Input;

use crate::fixtures::{ONE, asked, pinned, rollback_state, state};
use crate::world::{self, World, application, digest};

#[test]
fn rule_9_rollback_is_refused_during_another_or_to_a_live_pin() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    for to in ["stable", "previous", "9"] {
        assert!(matches!(world.roll_back(to), Err(Refusal::RollbackRunning { .. })), "{to}");
    }
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    assert!(matches!(world.roll_back("stable"), Err(Refusal::AlreadyLive { .. })));
}

#[test]
fn rule_10_rollback_completes_when_every_service_is_proven() {
    let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
    }
    assert_eq!(rollback_state(&world, id), RollbackState::InProgress);
    world.now += SignedDuration::from_secs(30);
    world.begin(id);
    let follow = |flight: &world::Flight| matches!(flight.effect, Effect::Follow(..));
    assert_eq!(world.flights.iter().filter(|flight| follow(flight)).count(), 2);
    world.land(0, true);
    assert_eq!(rollback_state(&world, id), RollbackState::InProgress, "one of two services is proven");
    world.land(0, true);
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
}

#[test]
fn rule_10_rollback_is_incomplete_if_unproven_at_the_timeout() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
    }
    world.now += SignedDuration::from_hours(1);
    world.tick(id);
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert_eq!(world.environment.slot, None);
}

#[test]
fn rollback_that_changed_no_service_ends_as_failed() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let service = world.services.keys().next().unwrap().clone();
    let gone = Observation::Failed { reason: "the service no longer exists".to_owned() };
    world
        .observe(Some(id), None, &[Input::Outcome(Outcome::Service(Direction::Forward, service, gone))])
        .unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
}

#[test]
fn rule_10_rollback_is_incomplete_if_a_service_may_have_changed() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.begin(id);
    let deploy = world.flights.iter().position(|flight| matches!(flight.effect, Effect::Deploy(..)));
    world.land(deploy.unwrap(), false); // ECS deploys to the service, but the outcome is lost.
    world.wait(31 * 60);
    world.tick(id);
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert!(
        world.environment.rolled_back_from.contains(&digest(0)),
        "the digest that was left is no rollback target"
    );
    assert_eq!(world.environment.slot, None);
}

#[test]
fn partly_failed_rollback_is_incomplete_and_pins_nothing() {
    let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    let service = world.services.keys().next().unwrap().clone();
    let reason = "the service no longer exists".to_owned();
    let failed = Outcome::Service(Direction::Forward, service, Observation::Failed { reason });
    world.observe(Some(id), None, &[Input::Outcome(failed)]).unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert_eq!(world.pins.len(), 2);
}

#[test]
fn approval_given_during_a_rollback_releases_its_hold() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    let rollback = world.roll_back("stable").unwrap();
    world.now += SignedDuration::from_secs(1);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    assert_eq!((state(&world, next), world.pins.len()), (PromotionState::Pending, 1));
    for _ in 0..3 {
        world.settle();
        world.now += SignedDuration::from_mins(1);
    }
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    assert_eq!((state(&world, next), world.pins.len()), (PromotionState::Completed, 2));
    assert_eq!(world.environment.hold, None);
}

#[test]
fn hold_stops_builds_that_need_no_approval() {
    let mut world = World::new(application("required = 0", "\"prod/web\""));
    world.push(0, 1).unwrap();
    world.settle();
    assert_eq!(world.pins.len(), 1, "no approval is required");
    world.roll_back("stable").unwrap();
    world.settle();
    world.push(1, 2).unwrap();
    world.settle();
    assert_eq!(world.pins.len(), 1, "the rollback holds the environment");
}

#[test]
fn rollback_to_previous_skips_live_and_rolled_back_pins() {
    let mut world = World::new(application(ONE, ""));
    for n in 1..4 {
        pinned(&mut world, i64::from(n), n);
    }
    world.roll_back("previous").unwrap();
    world.settle();
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(2));
    world.roll_back("previous").unwrap();
    world.settle();
    assert_eq!(world.environment.pin.as_ref().unwrap().digest, digest(1));
    assert_eq!(world.roll_back("previous"), Err(Refusal::NoPrevious));
}

#[test]
fn rollback_to_a_never_pinned_digest_is_refused() {
    let mut world = World::new(application(ONE, ""));
    assert_eq!(world.roll_back("stable"), Err(Refusal::NothingPinned));
    pinned(&mut world, 0, 1);
    asked(&mut world, 1, 2);
    let never = digest(2).to_string();
    assert_eq!(world.roll_back(&never), Err(Refusal::NeverPinned { to: never.clone() }));
    assert!(matches!(world.roll_back("7"), Err(Refusal::UnknownPin { .. })));
    assert!(matches!(world.roll_back("prod-stable-000009"), Err(Refusal::NeverPinned { .. })));
}
