//! Promotions that go to services: proven, or back where they were.

use jiff::SignedDuration;
use proptest::prelude::*;
use stablepin_core::audit::{Actor, Kind};
use stablepin_core::effect::{Effect, Outcome, Seen};
use stablepin_core::records::{
    Destination, Notice, OperationId, Progress, Promotion, PromotionState, RollbackState, SlotKind, Verdict,
    Way, Work,
};
use stablepin_core::refusal::Refusal;
use stablepin_core::step::{Observed, Order, Wish};

use crate::world::{World, approver, deployed, digest};
use crate::{Event, ONE, asked, check, event, happen, rollback_state, state};

const WEB: &str = "\"prod/web\"";
const BOTH: &str = "\"prod/web\", \"prod/worker\"";

fn promotion(world: &World, id: OperationId) -> Promotion {
    world.subject(Some(id), None).promotion().unwrap().clone()
}

fn approve(world: &mut World, id: OperationId) {
    world.now += SignedDuration::from_secs(1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
}

/// Approved, and everything that can happen has happened.
fn promoted(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    approve(world, id);
    world.settle();
    id
}

fn running(world: &World) -> Vec<u8> {
    let n = |digest: &stablepin_core::image::ImageDigest| {
        u8::from_str_radix(&digest.as_str()["sha256:".len()..][..2], 16).unwrap()
    };
    world.services.values().map(|running| n(&running.digest)).collect()
}

fn pins(world: &World) -> usize {
    world.pins.len()
}

#[test]
fn an_approved_build_is_deployed_proven_baked_and_then_the_pin() {
    let mut world = World::new(deployed(ONE, BOTH));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let slot = world.environment.slot.clone().unwrap();
    assert_eq!((slot.operation, slot.kind), (id, SlotKind::Promotion));
    world.begin(id);
    assert!(matches!(world.flights[..], [crate::world::Flight { effect: Effect::Prepare, .. }]));
    world.land(0, true);
    assert_eq!(running(&world), [0, 0], "looking touches nothing");
    let approved = world.now;
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1, 1], PromotionState::Completed));
    let pin = world.environment.pin.clone().unwrap();
    assert!(pin.at >= approved + SignedDuration::from_mins(2), "it has baked");
    assert_eq!(pin.revisions.len(), 2, "what each service was proven with");
    assert_eq!((world.tag("production-current"), world.environment.slot.clone()), (Some(&digest(1)), None));
    check(&world);
}

#[test]
fn what_is_broken_goes_back_to_the_pin_by_itself_and_is_told() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(2));
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1, 1], PromotionState::RolledBack));
    assert_eq!((pins(&world), world.tag(crate::world::STABLE)), (1, Some(&digest(1))));
    let said = promotion(&world, bad).reason.unwrap();
    assert!(said.contains("circuit breaker: task failed to start") && said.contains("is back"), "{said}");
    assert!(world.environment.hold.is_some() && world.environment.rolled_back_from.contains(&digest(2)));
    assert_eq!(world.operations[&bad].told, [Notice::GoingBack, Notice::Ended].into());
    check(&world);
}

#[test]
fn an_endpoint_that_does_not_answer_sends_it_back() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.dumb.insert(digest(2));
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1], PromotionState::RolledBack));
    assert!(promotion(&world, bad).reason.unwrap().contains("answered 500"));
}

#[test]
fn what_breaks_while_it_bakes_goes_back() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while promotion(&world, id).rollout.is_none_or(|rollout| rollout.bake.is_none()) {
        world.tick(id);
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
        world.wait(5);
    }
    assert_eq!(pins(&world), 1, "it bakes");
    world.broken.insert(digest(2));
    world.settle();
    assert_eq!((running(&world), state(&world, id), pins(&world)), (vec![1], PromotionState::RolledBack, 1));
}

#[test]
fn a_first_promotion_that_fails_returns_each_service_to_what_it_had() {
    let mut world = World::new(deployed(ONE, BOTH));
    let worker = world.services.keys().nth(1).unwrap().clone();
    world.deploy_by_hand(&worker, digest(9));
    world.broken.insert(digest(1));
    let bad = promoted(&mut world, 0, 1);
    assert_eq!((running(&world), state(&world, bad)), (vec![0, 9], PromotionState::RolledBack));
    assert_eq!(promotion(&world, bad).way_back.unwrap().destination, Destination::Before);
    assert_eq!((pins(&world), world.environment.pin.clone()), (0, None));
}

#[test]
fn where_ecs_goes_back_by_itself_it_is_left_to() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(2));
    world.breaker = true;
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1, 1], PromotionState::RolledBack));
    assert_eq!(promotion(&world, bad).way_back, None, "we moved nothing");
    assert!(promotion(&world, bad).reason.unwrap().contains("ECS went back by itself, to pin 1"));
    assert!(world.services.values().all(|running| running.deployment == "breaker"));
}

#[test]
fn where_ecs_went_back_to_something_else_we_go_on_to_the_pin() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let web = world.services.keys().next().unwrap().clone();
    world.deploy_by_hand(&web, digest(9));
    world.broken.insert(digest(2));
    world.breaker = true;
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1], PromotionState::RolledBack));
}

#[test]
fn an_ecs_that_never_finishes_going_back_is_superseded() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    let web = world.services.keys().next().unwrap().clone();
    while running(&world) != [2] {
        world.begin(id);
        world.land(0, true);
    }
    let returning =
        Outcome::Service(Way::There, web, Seen::Returning { reason: "circuit breaker".to_owned() });
    for _ in 0..14 {
        world.observe(Some(id), None, &[Observed::Outcome(returning.clone()), Observed::Tick]).unwrap();
        assert_eq!(promotion(&world, id).way_back, None, "never against ECS's own going back");
        world.wait(60);
    }
    world.wait(120);
    world.tick(id);
    assert!(promotion(&world, id).way_back.is_some());
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1], PromotionState::RolledBack));
}

#[test]
fn somebody_elses_deployment_is_not_touched() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    let web = world.services.keys().next().unwrap().clone();
    while running(&world) != [2, 2] {
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    world.deploy_by_hand(&web, digest(9));
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![9, 2], PromotionState::Failed));
    assert!(world.environment.hold.is_some());
    assert_eq!(promotion(&world, id).way_back, None);
}

#[test]
fn scaled_to_zero_everywhere_proves_nothing() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while running(&world) != [2, 2] {
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    let none = |service: &stablepin_core::application::ServiceName| {
        Observed::Outcome(Outcome::Service(Way::There, service.clone(), Seen::Unproven))
    };
    let outcomes: Vec<_> = world.services.keys().map(none).collect();
    world.observe(Some(id), None, &outcomes[..1]).unwrap();
    assert_eq!(state(&world, id), PromotionState::InProgress, "the other one may still prove it");
    world.observe(Some(id), None, &outcomes).unwrap();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().starts_with("nothing proven"));
}

#[test]
fn one_of_two_scaled_to_zero_is_proven_by_the_other() {
    let mut world = World::new(deployed(ONE, BOTH));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    while running(&world) != [1, 1] {
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    let worker = world.services.keys().nth(1).unwrap().clone();
    world
        .observe(Some(id), None, &[Observed::Outcome(Outcome::Service(Way::There, worker, Seen::Unproven))])
        .unwrap();
    world.settle();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Completed, 1));
}

#[test]
fn what_cannot_move_is_refused_before_anything_is_touched() {
    let mut world = World::new(deployed(ONE, WEB));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let unfit = Outcome::Unfit("prod/web is deployed by CodeDeploy".to_owned());
    world.observe(Some(id), None, &[Observed::Outcome(unfit)]).unwrap();
    let said = "nothing was touched: prod/web is deployed by CodeDeploy".to_owned();
    assert_eq!((state(&world, id), promotion(&world, id).reason), (PromotionState::Failed, Some(said)));
    assert_eq!((world.environment.slot.clone(), world.environment.hold.clone()), (None, None));
}

#[test]
fn a_pause_at_a_lifecycle_hook_is_not_our_time() {
    let mut world = World::new(deployed(ONE, WEB));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let web = world.services.keys().next().unwrap().clone();
    while running(&world) != [1] {
        world.begin(id);
        world.land(0, true);
    }
    let paused = Outcome::Service(
        Way::There,
        web,
        Seen::Going { seen: "paused at POST_SCALE_UP".to_owned(), paused: true },
    );
    for _ in 0..120 {
        world.observe(Some(id), None, &[Observed::Outcome(paused.clone()), Observed::Tick]).unwrap();
        assert_eq!(state(&world, id), PromotionState::InProgress);
        world.wait(60);
    }
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn what_is_not_proven_in_time_goes_back_once() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while running(&world) != [2] {
        world.begin(id);
        world.land(0, true);
    }
    world.wait(31 * 60);
    world.tick(id);
    let back = promotion(&world, id).way_back.unwrap();
    assert_eq!(back.destination, Destination::Digest { digest: digest(1) });
    // The way back fails too: that is the end, nothing bounces.
    world.broken.insert(digest(1));
    world.settle();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().contains("Going back did not work"));
    assert!(world.environment.hold.is_some());
}

#[test]
fn rule_9_never_back_to_what_just_failed() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(1));
    world.wait(600);
    let again = promoted(&mut world, 600, 1);
    assert_eq!((state(&world, again), promotion(&world, again).way_back), (PromotionState::Failed, None));
    assert_eq!((running(&world), pins(&world)), (vec![1], 1));
}

#[test]
fn a_rollback_pre_empts_a_promotion_and_a_late_call_of_it_is_undone() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    world.begin(id);
    world.land(0, true);
    world.begin(id); // Two deployments are in its hand,
    world.land(0, true); // one arrives,
    let rollback = world.roll_back("stable").unwrap();
    assert_eq!(world.environment.slot.as_ref().unwrap().operation, rollback);
    world.begin(rollback);
    while world.flights.len() > 1 {
        world.land(1, true);
    }
    world.land(0, true); // and the other one after the rollback's.
    assert!(running(&world).contains(&2));
    world.settle();
    assert_eq!((running(&world), rollback_state(&world, rollback)), (vec![1, 1], RollbackState::Completed));
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().contains("pre-empted by rollback"));
}

#[test]
fn the_next_promotion_waits_for_the_slot() {
    let mut world = World::new(deployed(ONE, WEB));
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    approve(&mut world, first);
    approve(&mut world, second);
    assert_eq!(
        (state(&world, first), state(&world, second)),
        (PromotionState::InProgress, PromotionState::Pending)
    );
    for _ in 0..3 {
        world.settle();
        world.wait(60);
    }
    assert_eq!(
        (state(&world, first), state(&world, second)),
        (PromotionState::Completed, PromotionState::Completed)
    );
    assert_eq!((running(&world), pins(&world)), (vec![2], 2));
    check(&world);
}

fn order(world: &mut World, wish: Wish) -> Result<(), Refusal> {
    let actor = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
    let order = Order { wish, reason: Some("sale".to_owned()), actor };
    world.observe(None, None, &[Observed::Ordered(order)]).map(|_| ())
}

#[test]
fn a_freeze_keeps_promotions_out_and_lets_rollbacks_in() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    order(&mut world, Wish::Freeze).unwrap();
    assert!(matches!(order(&mut world, Wish::Freeze), Err(Refusal::Frozen { .. })));
    let id = promoted(&mut world, 1, 2);
    assert_eq!((state(&world, id), running(&world)), (PromotionState::Pending, vec![1]));
    let web = world.services.keys().next().unwrap().clone();
    world.deploy_by_hand(&web, digest(9));
    let rollback = world.roll_back("stable").unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    order(&mut world, Wish::Thaw).unwrap();
    assert_eq!(order(&mut world, Wish::Thaw), Err(Refusal::NotFrozen));
    world.wait(60);
    world.tick(id);
    assert_eq!(state(&world, id), PromotionState::Pending, "held since the rollback");
    order(&mut world, Wish::ReleaseHold).unwrap();
    world.wait(60);
    world.settle();
    assert_eq!((state(&world, id), running(&world)), (PromotionState::Completed, vec![2]));
    assert_eq!(world.audited(Kind::Environment).len(), 4);
}

#[test]
fn what_is_frozen_until_it_expires_says_so() {
    let mut world = World::new(deployed(ONE, WEB));
    order(&mut world, Wish::Freeze).unwrap();
    let id = promoted(&mut world, 0, 1);
    world.wait(3600);
    world.tick(id);
    let said = Some("expired: approved, but the environment is frozen (sale)".to_owned());
    assert_eq!((state(&world, id), promotion(&world, id).reason), (PromotionState::Cancelled, said));
}

#[test]
fn a_hold_that_nobody_approves_past_is_released_by_a_person() {
    let mut world = World::new(deployed("required = 0", WEB));
    world.push(0, 1).unwrap();
    world.settle();
    world.broken.insert(digest(2));
    world.push(1, 2).unwrap();
    world.settle();
    let fix = world.push(2, 3).unwrap();
    world.settle();
    assert_eq!((running(&world), state(&world, fix)), (vec![1], PromotionState::Pending), "held");
    order(&mut world, Wish::ReleaseHold).unwrap();
    assert_eq!(order(&mut world, Wish::ReleaseHold), Err(Refusal::NotHeld));
    world.wait(60);
    world.settle();
    assert_eq!((running(&world), state(&world, fix)), (vec![3], PromotionState::Completed));
}

/// 200 at once, shuffled and said twice.
#[test]
fn two_hundred_promotions_at_once_end_on_the_latest_push() {
    let mut world = World::new(deployed(ONE, WEB));
    let mut order: Vec<i64> = (0..200).collect();
    // A fixed shuffle: 77 and 200 have no common divisor.
    order.sort_by_key(|at| at * 77 % 200);
    for at in order.iter().chain(&order) {
        world.push(*at, u8::try_from(*at + 1).unwrap());
    }
    let ids: Vec<_> = world.operations.keys().copied().collect();
    assert_eq!(ids.len(), 200, "one for each push");
    world.settle();
    for id in ids.iter().chain(&ids) {
        let _ = world.vote(*id, "lead", Verdict::Approve);
    }
    for _ in 0..300 {
        world.settle();
        world.wait(20);
    }
    let newest = world.environment.pin.clone().unwrap();
    assert_eq!((newest.digest, running(&world)), (digest(200), vec![200]));
    for id in ids {
        assert!(matches!(state(&world, id), PromotionState::Completed | PromotionState::Cancelled));
    }
    check(&world);
}

/// What ended well was proven, what went back did so once, and nothing is left half way.
fn check_deployed(world: &World) {
    for operation in world.operations.values() {
        let Work::Promotion(promotion) = &operation.work else { continue };
        let proven = |rollout: &stablepin_core::records::Rollout| {
            rollout.services.iter().any(|one| matches!(one.progress, Progress::Proven { .. }))
        };
        if promotion.pin.is_some() {
            assert!(promotion.rollout.as_ref().is_some_and(proven), "rule 10: {promotion:#?}");
            assert_eq!(promotion.way_back, None, "what went back is no pin");
        }
        if let Some(back) = &promotion.way_back {
            assert_ne!(back.destination.digest(), Some(&promotion.digest), "rule 9: never to what is live");
        }
    }
}

proptest! {
    /// Whatever happens to services, in whatever order, whoever dies over it.
    #[test]
    fn rules_hold_where_builds_are_deployed(
        events in prop::collection::vec(event(), 0..80),
        broken in prop::collection::btree_set(1..5_u8, 0..3),
        dumb in prop::collection::btree_set(1..5_u8, 0..2),
        breaker in any::<bool>(),
        stranger in prop::option::of(0..80_usize),
    ) {
        let mut world = World::new(deployed(ONE, BOTH));
        world.broken = broken.iter().map(|n| digest(*n)).collect();
        world.dumb = dumb.iter().map(|n| digest(*n)).collect();
        world.breaker = breaker;
        for (place, event) in events.iter().enumerate() {
            if stranger == Some(place) {
                let web = world.services.keys().next().unwrap().clone();
                world.deploy_by_hand(&web, digest(9));
            }
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
        check_deployed(&world);
    }
}

#[test]
fn nobody_is_kept_waiting_by_what_ended() {
    let mut world = World::new(deployed(ONE, WEB));
    happen(&mut world, &Event::Push { at: 0, digest: 1 });
    let id = *world.operations.keys().next().unwrap();
    world.settle();
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.operations[&id].wake_at, None);
    assert!(promotion(&world, id).votes.contains_key(&approver("lead")));
}
