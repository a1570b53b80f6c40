//! Tests of the rules that always hold, with the real `transition` and `pending_effects`.

#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod approval;
mod bounds;
mod contained;
mod deploy;
mod drift;
mod event_times;
mod explore;
mod lifecycle;
mod live_drift;
mod process;
mod races;
mod retention;
mod signers;
mod squatted;
mod world;

use jiff::SignedDuration;
use proptest::prelude::*;
use stablepin_rules::audit::Kind;
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::image::ImageTag;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::records::{Direction, PromotionState, RollbackState, TokenHash, Verdict, Work};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, may_decide};
use uuid::Uuid;
use world::{World, application, approver, digest, start};

const ONE: &str = "required = 1, approvers = [\"lead\"]";
const TWO: &str = "required = 2";

/// An event in the world. `which` selects an operation or a flight.
#[derive(Debug, Clone)]
enum Event {
    Push {
        at: i64,
        digest: u8,
    },
    Vote {
        which: usize,
        approve: bool,
    },
    RollBack {
        to: &'static str,
    },
    Tick {
        which: usize,
    },
    /// A function starts an operation's pending effects.
    Begin {
        which: usize,
    },
    /// A started effect takes place. Its outcome may be lost.
    Land {
        which: usize,
        heard: bool,
    },
    Wait {
        seconds: i64,
    },
    /// A build's image index turns out to contain the promotion's image.
    Contained {
        which: usize,
        at: i64,
    },
    /// A person moves or deletes one of our tags. The event may be lost.
    MoveTag {
        stable: bool,
        to: Option<u8>,
        heard: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..6_i64, 1..5_u8).prop_map(|(at, digest)| Event::Push { at, digest }),
        4 => (0..20_usize, prop::bool::weighted(0.8)).prop_map(|(which, approve)| Event::Vote { which, approve }),
        2 => prop::sample::select(vec!["stable", "previous", "1", "2"]).prop_map(|to| Event::RollBack { to }),
        3 => (0..20_usize).prop_map(|which| Event::Tick { which }),
        6 => (0..20_usize).prop_map(|which| Event::Begin { which }),
        6 => (0..40_usize, prop::bool::weighted(0.7)).prop_map(|(which, heard)| Event::Land { which, heard }),
        2 => (0..90_i64).prop_map(|seconds| Event::Wait { seconds }),
        1 => (0..20_usize, 0..6_i64).prop_map(|(which, at)| Event::Contained { which, at }),
        1 => (any::<bool>(), prop::option::of(1..5_u8), any::<bool>())
            .prop_map(|(stable, to, heard)| Event::MoveTag { stable, to, heard }),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let pick = |world: &World, which: usize| -> Option<OperationId> {
        let ids: Vec<_> = world.operations.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[which % ids.len()])
    };
    match event {
        Event::Push { at, digest } => {
            world.push(*at, *digest);
        }
        Event::Vote { which, approve } => {
            if let Some(id) = pick(world, *which) {
                let verdict = if *approve { Verdict::Approve } else { Verdict::Reject };
                // A refusal is an expected answer here.
                let _ = world.vote(id, "lead", verdict);
            }
        }
        Event::RollBack { to } => {
            let _ = world.roll_back(to);
        }
        Event::Tick { which } => {
            if let Some(id) = pick(world, *which) {
                world.tick(id);
            }
        }
        Event::Begin { which } => {
            if let Some(id) = pick(world, *which) {
                world.begin(id);
            }
        }
        Event::Land { which, heard } => {
            if !world.flights.is_empty() {
                world.land(which % world.flights.len(), *heard);
            }
        }
        Event::Contained { which, at } => {
            if let Some(id) = pick(world, *which) {
                world.observe(Some(id), None, &[Input::Contained(contained::index(*at))]).unwrap();
            }
        }
        Event::Wait { seconds } => world.wait(*seconds),
        Event::MoveTag { stable, to, heard } => {
            let tag = if *stable { world.stable_tag() } else { world.current_tag() };
            world.move_by_hand(&tag, to.map(digest));
            if *heard {
                world.look_at_tag(&tag);
            }
        }
    }
}

fn check(world: &World) {
    let current = world.environment.pin.as_ref();
    // Rule 1.
    for pin in &world.pins {
        let approved = match &world.operations[&pin.by].work {
            Work::Promotion(promotion) => &promotion.digest,
            Work::Rollback(rollback) => &rollback.target.digest,
            Work::Repair(_) | Work::LiveDrift(_) => panic!("a repair or live drift must not pin"),
        };
        assert_eq!(&pin.digest, approved, "rule 1: the approved digest is pinned");
    }
    // Rule 2.
    if let Some(pin) = current {
        assert_eq!(world.tag(world::STABLE), Some(&pin.digest), "rule 2: the stable tag is on the pin");
    }
    // Rule 3.
    let numbers: Vec<u64> = world.pins.iter().map(|pin| pin.number.get()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "rule 3: numbers without gaps");
    let recorded: Vec<String> = world.audited(Kind::Pin).iter().map(|record| record.to.clone()).collect();
    let kept: Vec<String> = numbers.iter().map(u64::to_string).collect();
    assert_eq!(recorded, kept, "rule 3: one audit record per pin");
    for pin in &world.pins {
        if let Work::Promotion(promotion) = &world.operations[&pin.by].work {
            assert!(
                promotion.votes.values().any(|vote| vote.verdict == Verdict::Approve),
                "rule 3: a pin moves only by an approved promotion"
            );
        }
    }
    // Rule 4.
    let pushed: Vec<_> = world
        .pins
        .iter()
        .filter_map(|pin| match &world.operations[&pin.by].work {
            Work::Promotion(promotion) => Some(promotion.occurrence.clone()),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        })
        .collect();
    assert!(pushed.is_sorted(), "rule 4: the latest run wins: {pushed:?}");
    assert_eq!(
        world.environment.watermark.as_ref(),
        pushed.iter().max(),
        "rule 4: the watermark never falls"
    );
    // Rule 9. Every rollback also ends.
    assert_eq!(world.environment.slot, None);
    for operation in world.operations.values() {
        if let Work::Rollback(rollback) = &operation.work {
            assert!(rollback.state.is_terminal());
        }
    }
}

proptest! {
    /// The rules hold for any events, in any order and number, with a crash at any point.
    #[test]
    fn rules_1_to_4_hold_for_any_events(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new(application(ONE, ""));
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
    }

    #[test]
    fn rules_1_to_4_hold_with_services(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
    }

    /// Pushes and votes that are repeated lead to the same pin.
    #[test]
    fn rule_6_repetition_changes_nothing(pushes in prop::collection::vec((0..20_i64, 1..5_u8), 1..8)) {
        let repeat = |times: usize| {
            let mut world = World::new(application(ONE, ""));
            for (at, digest) in &pushes {
                for _ in 0..times {
                    world.push(*at, *digest);
                }
                world.settle();
                let ids: Vec<_> = world.operations.keys().copied().collect();
                for id in ids {
                    for _ in 0..times {
                        let _ = world.vote(id, "lead", Verdict::Approve);
                        world.tick(id);
                    }
                }
                world.settle();
            }
            let pins: Vec<_> = world.pins.iter().map(|pin| (pin.number, pin.digest.clone())).collect();
            (pins, world.audit.len(), world.operations.len())
        };
        prop_assert_eq!(repeat(1), repeat(3));
    }
}

/// Opens a promotion and asks its approvers.
fn asked(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = world.push(at, n).unwrap();
    world.settle();
    id
}

fn pinned(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    id
}

fn state(world: &World, id: OperationId) -> PromotionState {
    world.subject(Some(id), None).promotion().unwrap().state
}

fn rollback_state(world: &World, id: OperationId) -> RollbackState {
    world.subject(Some(id), None).rollback().unwrap().state
}

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
fn rule_4_earlier_push_is_not_pinned_after_a_later_one() {
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
fn rule_4_earlier_push_may_be_pinned_before_a_later_one() {
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
fn rule_4_moved_back_tag_opens_a_new_promotion() {
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
    // A push from before the rollback that arrives now cannot be pinned either.
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
fn rule_4_joined_push_sets_the_promotions_order() {
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
fn late_push_of_the_same_digest_asks_again() {
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
    // A signed request cannot vote again either, because votes count per approver.
    assert!(matches!(
        may_decide(world.now, &subject, &approver("lead"), None),
        Err(Refusal::AlreadyDecided { .. })
    ));
}

#[test]
fn rule_5_newer_link_replaces_the_older_one() {
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
fn rule_5_one_approver_cannot_vote_twice() {
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
fn rule_5_former_approvers_do_not_count() {
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
fn one_rejection_cancels_with_its_reason() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "second", Verdict::Reject).unwrap();
    let promotion = world.subject(Some(id), None).promotion().unwrap().clone();
    assert_eq!(promotion.state, PromotionState::Cancelled);
    assert_eq!(promotion.reason.as_deref(), Some("rejected by second: because"));
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

#[test]
fn rule_9_one_rollback_at_a_time_and_none_to_the_live_digest() {
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
fn rule_10_rollback_completes_only_when_all_are_proven() {
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
fn rule_10_rollback_unproven_in_time_is_incomplete() {
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
fn rollback_that_changed_nothing_failed() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let service = world.services.keys().next().unwrap().clone();
    let gone = Observation::Failed { reason: "the service is not there any more".to_owned() };
    world
        .observe(Some(id), None, &[Input::Outcome(Outcome::Service(Direction::Forward, service, gone))])
        .unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
}

#[test]
fn rule_10_rollback_with_possible_changes_is_incomplete() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.begin(id);
    let deploy = world.flights.iter().position(|flight| matches!(flight.effect, Effect::Deploy(..)));
    world.land(deploy.unwrap(), false); // The service was deployed, but the outcome was lost.
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
    let reason = "the service is not there any more".to_owned();
    let failed = Outcome::Service(Direction::Forward, service, Observation::Failed { reason });
    world.observe(Some(id), None, &[Input::Outcome(failed)]).unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert_eq!(world.pins.len(), 2);
}

#[test]
fn approval_during_a_rollback_waits_and_releases_the_hold() {
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
fn previous_skips_live_and_rolled_back_pins() {
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
fn unpinned_digest_is_no_rollback_target() {
    let mut world = World::new(application(ONE, ""));
    assert_eq!(world.roll_back("stable"), Err(Refusal::NothingPinned));
    pinned(&mut world, 0, 1);
    asked(&mut world, 1, 2);
    let never = digest(2).to_string();
    assert_eq!(world.roll_back(&never), Err(Refusal::NeverPinned { to: never.clone() }));
    assert!(matches!(world.roll_back("7"), Err(Refusal::UnknownPin { .. })));
    assert!(matches!(world.roll_back("prod-stable-000009"), Err(Refusal::NeverPinned { .. })));
}

#[test]
fn failing_effect_is_retried_with_backoff() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let problem = Outcome::Problem("throttled".to_owned());
        world.observe(Some(id), None, &[Input::Outcome(problem)]).unwrap();
        let wake = world.operations[&id].wake_at.unwrap();
        pauses.push((wake - world.now).get_seconds() / 60);
        // A tick before that time changes nothing.
        world.tick(id);
        assert_eq!(pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil()), []);
        world.now = wake;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
    world.settle();
    assert_eq!(world.operations[&id].problem, None);
}

#[test]
fn pushes_are_ordered_by_push_time() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 10, 2);
    let late = world.push(5, 1).unwrap();
    assert_eq!(state(&world, late), PromotionState::Cancelled, "it was pushed before the pinned build");
    assert!(world.subject(Some(late), None).promotion().unwrap().opened_at > start());
}
