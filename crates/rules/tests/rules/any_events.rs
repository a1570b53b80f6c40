//! Property tests: no sequence of events breaks a rule.

use proptest::prelude::*;
use stablepin_rules::audit::Kind;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Verdict, Work};
use stablepin_rules::transition::Input;

use crate::contained;
use crate::fixtures::ONE;
use crate::world::{self, World, application, digest};

/// An event in the world. `which` selects an operation or a started effect.
#[derive(Debug, Clone)]
pub(crate) enum Event {
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
    /// A Lambda function starts an operation's pending effects.
    Begin {
        which: usize,
    },
    /// A started effect takes place. The outcome is lost if `heard` is false.
    Land {
        which: usize,
        heard: bool,
    },
    Wait {
        seconds: i64,
    },
    /// The tagger finds an image index that contains the promotion's image.
    Contained {
        which: usize,
        at: i64,
    },
    /// A person moves or deletes a tag of Stablepin. ECR's event is lost if `heard` is false.
    MoveTag {
        stable: bool,
        to: Option<u8>,
        heard: bool,
    },
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
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

pub(crate) fn happen(world: &mut World, event: &Event) {
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
                // The rules may refuse the vote.
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

pub(crate) fn check(world: &World) {
    let current = world.environment.pin.as_ref();
    for pin in &world.pins {
        let approved = match &world.operations[&pin.by].work {
            Work::Promotion(promotion) => &promotion.digest,
            Work::Rollback(rollback) => &rollback.target.digest,
            Work::Repair(_) | Work::LiveDrift(_) => panic!("a repair or live drift must not pin"),
        };
        assert_eq!(&pin.digest, approved, "rule 1: the approved digest is pinned");
    }
    if let Some(pin) = current {
        assert_eq!(world.tag(world::STABLE), Some(&pin.digest), "rule 2: the stable tag is on the pin");
    }
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
    // After the world has settled, no operation holds the slot, and every rollback has ended.
    assert_eq!(world.environment.slot, None);
    for operation in world.operations.values() {
        if let Work::Rollback(rollback) = &operation.work {
            assert!(rollback.state.is_terminal());
        }
    }
}

proptest! {
    /// The events come in any order and number, and a process may crash at any point.
    #[test]
    fn no_event_sequence_breaks_rules_1_to_4(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new(application(ONE, ""));
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
    }

    #[test]
    fn event_sequences_for_ecs_services_keep_rules_1_to_4(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
    }

    /// Three deliveries of each push and vote give the same pins as one delivery, and the same
    /// number of audit records and operations.
    #[test]
    fn rule_6_repeated_pushes_and_votes_change_nothing(
        pushes in prop::collection::vec((0..20_i64, 1..5_u8), 1..8),
    ) {
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
