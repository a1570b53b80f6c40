//! Tests of concurrent processes. A process may use stale records, lose a race, crash, or run
//! twice.

use jiff::SignedDuration;
use proptest::prelude::*;
use stablepin_rules::audit::Kind;
use stablepin_rules::effect::{Observation, Outcome};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Direction, Progress, RollbackState, Verdict, Work};
use stablepin_rules::transition::{Input, transition};

use crate::process::{Fault, Process, Turn};
use crate::world::{self, World, application, approver, digest};
use crate::{ONE, TWO, asked, check, pinned};

#[derive(Debug, Clone)]
enum Event {
    Push { at: i64, digest: u8 },
    Click { which: usize, approver: &'static str, verdict: Verdict },
    RollBack { to: &'static str },
    Tick { which: usize },
    Turn { which: usize, effect: usize, fault: Fault },
    DeployByHand { which: usize },
    Wait { seconds: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::DiesBefore),
        1 => Just(Fault::DiesAfter),
        1 => Just(Fault::NotDone),
        1 => Just(Fault::DoneUnheard),
    ];
    let verdict = prop_oneof![5 => Just(Verdict::Approve), 1 => Just(Verdict::Reject)];
    let approver = prop::sample::select(vec!["lead", "second"]);
    prop_oneof![
        3 => (0..6_i64, 1..5_u8).prop_map(|(at, digest)| Event::Push { at, digest }),
        5 => (0..20_usize, approver, verdict)
            .prop_map(|(which, approver, verdict)| Event::Click { which, approver, verdict }),
        2 => prop::sample::select(vec!["stable", "previous", "1", "2"]).prop_map(|to| Event::RollBack { to }),
        3 => (0..20_usize).prop_map(|which| Event::Tick { which }),
        30 => (0..8_usize, 0..4_usize, fault)
            .prop_map(|(which, effect, fault)| Event::Turn { which, effect, fault }),
        1 => (0..2_usize).prop_map(|which| Event::DeployByHand { which }),
        3 => (0..70_i64).prop_map(|seconds| Event::Wait { seconds }),
    ]
}

fn play(approval: &str, services: &str, events: &[Event]) -> World {
    let mut world = World::new(application(approval, services));
    let mut running: Vec<Process> = Vec::new();
    for event in events {
        let pick = |world: &World, which: usize| -> Option<OperationId> {
            world.operations.keys().nth(which % world.operations.len().max(1)).copied()
        };
        match *event {
            Event::Push { at, digest: n } => {
                let opened = Input::Opened(Box::new(world.opening(at, n)));
                running.push(Process::start(&mut world, None, Some(digest(n)), vec![opened]));
            }
            Event::Click { which, approver, verdict } => {
                let link = pick(&world, which).filter(|id| world.token(*id, approver).is_some());
                if let Some(id) = link {
                    let decision = Input::Decision(world.decision(id, approver, verdict));
                    running.push(Process::start(&mut world, Some(id), None, vec![decision]));
                }
            }
            Event::RollBack { to } => {
                if let Ok(request) = world.rollback_request(to) {
                    let asked = vec![Input::RollbackRequested(Box::new(request))];
                    running.push(Process::start(&mut world, None, None, asked));
                }
            }
            Event::Tick { which } => {
                if let Some(id) = pick(&world, which) {
                    running.push(Process::start(&mut world, Some(id), None, vec![Input::Tick]));
                }
            }
            Event::Turn { which, effect, fault } => {
                if !running.is_empty() {
                    let which = which % running.len();
                    if running[which].turn(&mut world, fault, effect) != Turn::Goes {
                        running.swap_remove(which);
                    }
                }
            }
            Event::DeployByHand { which } => {
                let service = world.services.keys().nth(which).cloned();
                if let Some(service) = service {
                    world.deploy_by_hand(&service, digest(9));
                }
            }
            Event::Wait { seconds } => world.wait(seconds),
        }
        let now = world.now;
        running.retain(|process| !process.is_over(now));
    }
    for process in running {
        process.finish(&mut world);
    }
    world
}

/// Checks that every vote used one link, and that every pin has enough approvals.
fn check_votes(world: &World, required: usize) {
    for operation in world.operations.values() {
        let Work::Promotion(promotion) = &operation.work else { continue };
        for name in promotion.votes.keys() {
            let used = world.tokens.values().filter(|token| {
                token.used_at.is_some() && token.promotion == promotion.id && token.approver == *name
            });
            let digests: Vec<&ImageDigest> = used.map(|token| &token.digest).collect();
            assert_eq!(digests, [&promotion.digest], "rule 5: one link of this digest, used once");
        }
        let approvals = promotion.votes.values().filter(|vote| vote.verdict == Verdict::Approve).count();
        assert!(promotion.pin.is_none() || approvals >= required, "rule 5: enough approvers");
    }
    let used = world.tokens.values().filter(|token| token.used_at.is_some()).count();
    assert_eq!(used, votes(world).iter().sum::<usize>(), "rule 5: each used link is one vote");
}

/// Returns the number of votes of each operation.
fn votes(world: &World) -> Vec<usize> {
    let of = |work: &Work| match work {
        Work::Promotion(promotion) => promotion.votes.len(),
        Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => 0,
    };
    world.operations.values().map(|operation| of(&operation.work)).collect()
}

fn check_rollbacks(world: &World) {
    for operation in world.operations.values() {
        let Work::Rollback(rollback) = &operation.work else { continue };
        let proven = |progress: &Progress| matches!(progress, Progress::Proven { .. });
        if rollback.state == RollbackState::Completed {
            let all = rollback.rollout.services.iter().all(|rollout| proven(&rollout.progress));
            assert!(all, "rule 10: {rollback:#?}");
        } else {
            assert_eq!(rollback.pin, None, "rule 10: an unproven rollback pins nothing");
        }
        let live = |digests: &std::collections::BTreeSet<ImageDigest>| {
            digests.iter().all(|digest| *digest == rollback.target.digest)
        };
        let already = rollback.rollout.services.iter().all(|rollout| live(&rollout.before.digests));
        assert!(rollback.rollout.services.is_empty() || !already, "rule 9: no rollback to the live digest");
    }
    let running = |id: &str, upto: usize| {
        let said = world.audit[..upto].iter().rev().find(|record| record.id.as_deref() == Some(id));
        said.is_some_and(|record| matches!(record.to.as_str(), "Requested" | "InProgress"))
    };
    for (place, record) in world.audit.iter().enumerate() {
        if record.kind == Kind::Rollback && record.to == "Requested" {
            let others = world.operations.values().filter(|operation| {
                matches!(operation.work, Work::Rollback(_)) && running(&operation.id().to_string(), place)
            });
            assert_eq!(others.count(), 0, "rule 9: no rollback while one runs");
        }
    }
}

proptest! {
    #[test]
    fn races_break_no_rule(events in prop::collection::vec(event(), 0..120)) {
        let mut world = play(ONE, "", &events);
        world.settle();
        check(&world);
        check_votes(&world, 1);
        check_rollbacks(&world);
    }

    #[test]
    fn races_with_services_and_two_approvers_break_no_rule(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut world = play(TWO, "\"prod/web\", \"prod/worker\"", &events);
        world.settle();
        check(&world);
        check_votes(&world, 2);
        check_rollbacks(&world);
    }

    #[test]
    fn rule_6_repeated_outcome_changes_nothing(
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut world = play(ONE, "\"prod/web\", \"prod/worker\"", &events);
        let ids: Vec<_> = world.operations.keys().copied().collect();
        for id in ids {
            let before = world.subject(Some(id), None);
            for effect in stablepin_rules::pending_effects::pending_effects(world.now, &before, world.uuid()) {
                let heard = vec![Input::Outcome(world.take_effect(id, &effect))];
                let once = transition(world.now, &before, &heard).unwrap();
                let twice = transition(world.now, &once.after, &heard).unwrap();
                prop_assert_eq!(&once.after.environment, &twice.after.environment);
                prop_assert_eq!(&once.after.build, &twice.after.build);
                let work = |change: &stablepin_rules::transition::Change| {
                    change.after.operation.as_ref().map(|operation| operation.work.clone())
                };
                prop_assert_eq!(work(&once), work(&twice));
                prop_assert!(twice.audit.is_empty() && twice.pin.is_none());
            }
        }
    }
}

/// Plays a fixed scenario with one fault in turn `at`. Returns the world and the number of turns.
/// The events of a crashed process are delivered again: EventBridge retries its events, and people
/// click again.
fn scenario(fault: Fault, at: Option<usize>, services: &str) -> (World, usize) {
    let mut world = World::new(application(TWO, services));
    let mut turns = 0;
    let mut reconcile = |world: &mut World, operation, pushed: Option<u8>, observed: Vec<Input>| {
        let mut process = Process::start(world, operation, pushed.map(digest), observed);
        loop {
            let fault = if at == Some(turns) { fault } else { Fault::None };
            turns += 1;
            if process.turn(world, fault, 0) != Turn::Goes {
                break;
            }
        }
        // The lease of a crashed process ends during this wait.
        world.wait(31);
    };
    let rest = |world: &mut World| {
        world.settle();
        world.wait(16 * 60);
        world.settle();
    };
    for (at, n) in [(0, 1), (1, 2), (2, 1)] {
        for _ in 0..2 {
            let opened = Input::Opened(Box::new(world.opening(at, n)));
            reconcile(&mut world, None, Some(n), vec![opened]);
        }
        rest(&mut world);
        let id = *world.operations.keys().last().unwrap();
        for name in ["lead", "second"] {
            for _ in 0..2 {
                let voted =
                    world.subject(Some(id), None).promotion().unwrap().votes.contains_key(&approver(name));
                if !voted {
                    let decision = world.decision(id, name, Verdict::Approve);
                    reconcile(&mut world, Some(id), None, vec![Input::Decision(decision)]);
                }
            }
        }
        rest(&mut world);
    }
    for to in ["stable", "2"] {
        let before = world.operations.len();
        for _ in 0..2 {
            if world.operations.len() == before
                && let Ok(request) = world.rollback_request(to)
            {
                reconcile(&mut world, None, None, vec![Input::RollbackRequested(Box::new(request))]);
            }
        }
        rest(&mut world);
    }
    (world, turns)
}

/// Returns the result of a scenario: pins, tags, audit records, votes, and running digests.
fn ending(world: &World) -> impl PartialEq + std::fmt::Debug + use<> {
    let pins: Vec<_> = world.pins.iter().map(|pin| (pin.number, pin.digest.clone())).collect();
    let backup = |tag: &str| tag.contains("-rollback-");
    let tags: Vec<_> = world.tags.clone().into_iter().filter(|(tag, _)| !backup(tag.as_str())).collect();
    let said: Vec<_> = world
        .audit
        .iter()
        .map(|record| (record.kind, record.from.clone(), record.to.clone(), record.digest.clone()))
        .collect();
    let running: Vec<_> = world.services.values().map(|running| running.digest.clone()).collect();
    (pins, tags, said, votes(world), world.environment.applied, running)
}

#[test]
fn rule_6_fault_in_a_turn_never_changes_the_result() {
    for services in ["", "\"prod/web\", \"prod/worker\""] {
        let (undisturbed, turns) = scenario(Fault::None, None, services);
        check(&undisturbed);
        assert!(undisturbed.pins.len() >= 4, "{:#?}", undisturbed.pins);
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::NotDone, Fault::DoneUnheard] {
            for at in 0..turns {
                let (disturbed, _) = scenario(fault, Some(at), services);
                check(&disturbed);
                check_votes(&disturbed, 2);
                check_rollbacks(&disturbed);
                assert_eq!(ending(&disturbed), ending(&undisturbed), "{fault:?} in turn {at}");
            }
        }
    }
}

#[test]
fn rule_2_process_decides_again_after_a_lost_race() {
    let mut world = World::new(application(ONE, ""));
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    let click = |world: &mut World, id| {
        let decision = Input::Decision(world.decision(id, "lead", Verdict::Approve));
        Process::start(world, Some(id), None, vec![decision])
    };
    // Both processes read the environment before either process writes.
    let (one, two) = (click(&mut world, first), click(&mut world, second));
    assert_eq!(two.finish(&mut world), Turn::Done);
    let late = one.finish(&mut world);
    assert!(matches!(late, Turn::Refused(stablepin_rules::refusal::Refusal::Superseded { .. })), "{late:?}");
    world.settle();
    check(&world);
    assert_eq!(world.pins.len(), 1);
}

#[test]
fn rule_5_simultaneous_clicks_on_one_link_count_as_one_vote() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    let decision = || vec![Input::Decision(world.decision(id, "lead", Verdict::Approve))];
    let (first, second) = (decision(), decision());
    let one = Process::start(&mut world, Some(id), None, first);
    let two = Process::start(&mut world, Some(id), None, second);
    assert_eq!(one.finish(&mut world), Turn::Done);
    assert_ne!(two.finish(&mut world), Turn::Done);
    let votes = world.subject(Some(id), None).promotion().unwrap().votes.len();
    assert_eq!((votes, world.pins.len()), (1, 0));
}

#[test]
fn rule_7_renamed_stable_tag_is_recorded_under_its_new_name() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap(); // The pin is set, but its tag is not.
    world.configuration.application.environments[0].stable_tag =
        stablepin_rules::image::ImageTag::parse("prod-good").unwrap();
    world.configuration.version += 1;
    world.wait(60);
    let tick = Process::start(&mut world, Some(id), None, vec![Input::Tick]);
    assert_eq!(tick.finish(&mut world), Turn::Done);
    assert_eq!(world.tag("prod-good"), Some(&digest(1)));
}

#[test]
fn rule_9_one_of_two_simultaneous_rollbacks_is_refused() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let mut ask = || {
        let request = world.rollback_request("stable").unwrap();
        Process::start(&mut world, None, None, vec![Input::RollbackRequested(Box::new(request))])
    };
    let (one, two) = (ask(), ask());
    one.finish(&mut world);
    let late = two.finish(&mut world);
    assert!(
        matches!(late, Turn::Refused(stablepin_rules::refusal::Refusal::RollbackRunning { .. })),
        "{late:?}"
    );
    world.settle();
    check_rollbacks(&world);
}

#[test]
fn tick_skips_an_operation_that_another_process_leases() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    let decision = Input::Decision(world.decision(id, "lead", Verdict::Approve));
    let mut working = Process::start(&mut world, Some(id), None, vec![decision]);
    assert_eq!(working.turn(&mut world, Fault::None, 0), Turn::Goes); // The tag is pending now.
    let before = world.subject(Some(id), None);
    let tick = Process::start(&mut world, Some(id), None, vec![Input::Tick]);
    assert_eq!(tick.finish(&mut world), Turn::Done);
    assert_eq!(world.subject(Some(id), None), before);
    world.wait(31); // The working process crashes, and its lease ends.
    let tick = Process::start(&mut world, Some(id), None, vec![Input::Tick]);
    assert_eq!(tick.finish(&mut world), Turn::Done);
    assert_eq!(world.tag(world::STABLE), Some(&digest(1)));
}

#[test]
fn late_outcome_does_not_reopen_an_ended_rollback() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.now += SignedDuration::from_hours(1);
    world.tick(id);
    world.settle(); // Sends every notice.
    let service = world.services.keys().next().unwrap().clone();
    let outcomes = [
        world::deployed_as("d", service.clone()),
        Outcome::Service(Direction::Forward, service, Observation::Proven { tasks: 1 }),
        Outcome::Problem("late".to_owned()),
    ];
    for outcome in outcomes {
        let after = world.observe(Some(id), None, &[Input::Outcome(outcome)]).unwrap();
        assert_eq!(after.rollback().unwrap().state, RollbackState::Incomplete);
        assert_eq!(after.operation.unwrap().wake_at, None);
    }
    assert_eq!((world.environment.slot.clone(), world.pins.len()), (None, 1));
}
