//! Explores every interleaving of small cases, with the real `transition` and `pending_effects`.
//!
//! A state is the world and up to two processes. Each process is between two calls, and keeps the
//! records that this process has read. The explorer tries every possible action in every state: a
//! push, a repeated push, a vote by link, a rollback, a manual move of the stable tag, a tick, a
//! wait, the next turn of a process, or a crash. The explorer checks the rules in every state. From
//! each state without processes, the world must reach an end with the stable tag on the pin.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::audit::Kind;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Aftermath, PromotionReason, PromotionState, RollbackState, Verdict, Work};
use stablepin_rules::transition::{Input, Opening};
use uuid::Uuid;

use crate::process::{Fault, Process, Turn};
use crate::world::{World, application, deployed, digest, start};
use crate::{ONE, check};

/// The number of actions that may still happen. These limits make the exploration finite.
#[derive(Debug, Clone, Hash)]
struct Left {
    /// The number of times that each push may still be delivered.
    pushes: [u8; 2],
    clicks: [u8; 2],
    rollbacks: u8,
    ticks: u8,
    /// The number of times that the clock may still jump to the next due time.
    jumps: u8,
    /// The number of times that the clock may still advance by more than the longest rollout.
    sleeps: u8,
    faults: u8,
    hands: u8,
}

#[derive(Debug, Clone)]
struct State {
    world: World,
    processes: Vec<Process>,
    left: Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Push(usize),
    Click(usize),
    RollBack,
    Tick(usize),
    Jump,
    Sleep,
    MoveTag,
    Turn { process: usize, effect: usize, fault: Fault },
}

/// The most processes that run at the same time. A race needs two processes.
const AT_ONCE: usize = 2;

fn id(n: usize) -> OperationId {
    OperationId::new(Uuid::from_u128(0xA000 + n as u128))
}

fn opening(n: usize) -> Opening {
    let mut opening = World::new(application(ONE, "")).opening(n as i64, n as u8 + 1);
    opening.id = id(n);
    opening
}

impl State {
    fn new(world: World, left: Left) -> Self {
        Self { world, processes: Vec::new(), left }
    }

    /// Returns the actions that are possible in this state.
    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let (world, left) = (&self.world, &self.left);
        if self.processes.len() < AT_ONCE {
            actions.extend((0..2).filter(|n| left.pushes[*n] > 0).map(Action::Push));
            let asked = |n: &usize| left.clicks[*n] > 0 && world.token(id(*n), "lead").is_some();
            actions.extend((0..2).filter(asked).map(Action::Click));
            if left.rollbacks > 0 && world.environment.pin.is_some() {
                actions.push(Action::RollBack);
            }
            if left.ticks > 0 {
                let due = |n: &usize| {
                    let operation = world.operations.values().nth(*n);
                    operation.and_then(|one| one.wake_at).is_some_and(|at| at <= world.now)
                };
                actions.extend((0..world.operations.len()).filter(due).map(Action::Tick));
            }
        }
        if left.jumps > 0 && self.next().is_some() {
            actions.push(Action::Jump);
        }
        if left.sleeps > 0 {
            actions.push(Action::Sleep);
        }
        if left.hands > 0 && world.environment.pin.is_some() {
            actions.push(Action::MoveTag);
        }
        for (process, one) in self.processes.iter().enumerate() {
            for effect in 0..one.choices() {
                actions.push(Action::Turn { process, effect, fault: Fault::None });
                if left.faults > 0 {
                    let faults = [Fault::DiesBefore, Fault::DiesAfter, Fault::NotDone, Fault::DoneUnheard];
                    actions.extend(faults.map(|fault| Action::Turn { process, effect, fault }));
                }
            }
        }
        actions
    }

    /// Returns the next time at which an operation is due or a lease ends.
    fn next(&self) -> Option<Timestamp> {
        let of = |one: &stablepin_rules::records::Operation| {
            let lease = one.lease.as_ref().map(|lease| lease.until);
            one.wake_at.into_iter().chain(lease).collect::<Vec<_>>()
        };
        self.world.operations.values().flat_map(of).filter(|at| *at > self.world.now).min()
    }

    fn happen(&self, action: Action) -> Self {
        let mut after = self.clone();
        let State { world, processes, left } = &mut after;
        let mut begin = |world: &mut World, operation, pushed, observed| {
            processes.push(Process::start(world, operation, pushed, vec![observed]));
        };
        match action {
            Action::Push(n) => {
                left.pushes[n] -= 1;
                let opened = Input::Opened(Box::new(opening(n)));
                begin(world, None, Some(digest(n as u8 + 1)), opened);
            }
            Action::Click(n) => {
                left.clicks[n] -= 1;
                let decision = Input::Decision(world.decision(id(n), "lead", Verdict::Approve));
                begin(world, Some(id(n)), None, decision);
            }
            Action::RollBack => {
                left.rollbacks -= 1;
                if let Ok(mut request) = world.rollback_request("stable") {
                    request.id = id(2);
                    begin(world, None, None, Input::RollbackRequested(Box::new(request)));
                }
            }
            Action::Tick(n) => {
                left.ticks -= 1;
                let operation = world.operations.keys().nth(n).copied();
                begin(world, operation, None, Input::Tick);
            }
            Action::Jump => {
                left.jumps -= 1;
                if let Some(at) = self.next() {
                    world.now = at + SignedDuration::from_secs(1);
                }
            }
            Action::Sleep => {
                left.sleeps -= 1;
                world.now += SignedDuration::from_mins(31);
            }
            Action::MoveTag => {
                left.hands -= 1;
                let tag = world.stable_tag();
                world.move_by_hand(&tag, Some(digest(9)));
            }
            Action::Turn { process, effect, fault } => {
                left.faults -= u8::from(fault != Fault::None);
                if processes[process].turn(world, fault, effect) != Turn::Goes {
                    processes.remove(process);
                }
            }
        }
        let now = after.world.now;
        after.processes.retain(|process| !process.is_over(now));
        after
    }

    /// Returns a hash of the state. Every path to the same state gives the same hash: the hash
    /// ignores audit times, and replaces generated ids by numbers.
    fn key(&self) -> u64 {
        let mut world = self.world.clone();
        for record in &mut world.audit {
            record.at = start();
        }
        let text = format!("{:?}{:?}{:?}", world.facts(), self.processes, self.left);
        let mut hasher = DefaultHasher::new();
        renumbered(&text).hash(&mut hasher);
        hasher.finish()
    }
}

/// Splits the text, and replaces the first generated id by `#0`, the second by `#1`, and so on. A
/// generated id is a long hexadecimal number without the prefix `sha256:`.
fn renumbered(text: &str) -> Vec<&str> {
    let mut seen: Vec<&str> = Vec::new();
    let mut out = Vec::new();
    let (mut from, bytes) = (0, text.as_bytes());
    let hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    const PLACES: [&str; 24] = [
        "#0", "#1", "#2", "#3", "#4", "#5", "#6", "#7", "#8", "#9", "#10", "#11", "#12", "#13", "#14", "#15",
        "#16", "#17", "#18", "#19", "#20", "#21", "#22", "#23",
    ];
    let mut at = 0;
    while at < bytes.len() {
        if !hex(bytes[at]) {
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(|b| !hex(*b)).map_or(bytes.len(), |length| at + length);
        let number = &text[at..end];
        let is_digest = at >= 7 && &text[at - 7..at] == "sha256:";
        if number.len() >= 32 && !is_digest {
            let place = seen.iter().position(|one| *one == number).unwrap_or_else(|| {
                seen.push(number);
                seen.len() - 1
            });
            out.push(&text[from..at]);
            out.push(PLACES.get(place).copied().unwrap_or(number));
            from = end;
        }
        at = end;
    }
    out.push(&text[from..]);
    out
}

/// Checks the rules that must be true in every state, even during an operation.
fn holds(world: &World) {
    let numbers: Vec<u64> = world.pins.iter().map(|pin| pin.number.get()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "rule 3: numbers without gaps");
    assert_eq!(world.audited(Kind::Pin).len(), numbers.len(), "rule 3: one audit record per pin");
    let mut pushed = Vec::new();
    for pin in &world.pins {
        match &world.operations[&pin.by].work {
            Work::Promotion(promotion) => {
                assert_eq!(pin.digest, promotion.digest, "rule 1");
                assert!(!promotion.votes.is_empty(), "rule 3: the pin was approved");
                pushed.push(promotion.occurrence.clone());
            }
            Work::Rollback(rollback) => assert_eq!(pin.digest, rollback.target.digest, "rule 1"),
            Work::Repair(_) | Work::LiveDrift(_) => panic!("a repair or live drift must not pin"),
        }
    }
    assert!(pushed.is_sorted(), "rule 4: the latest run wins");
    assert_eq!(
        world.environment.watermark.as_ref(),
        pushed.iter().max(),
        "rule 4: the watermark never falls"
    );
    let moving = |work: &Work| match work {
        Work::Promotion(promotion) => {
            promotion.state == PromotionState::InProgress && promotion.pin.is_none()
        }
        Work::Rollback(rollback) => !rollback.state.is_terminal() && rollback.pin.is_none(),
        Work::Repair(_) | Work::LiveDrift(_) => false,
    };
    let rollbacks = world.operations.values().filter(|one| matches!(one.work, Work::Rollback(_))).count();
    for operation in world.operations.values() {
        if let Work::Promotion(promotion) = &operation.work {
            let pre_empted = matches!(promotion.reason, Some(PromotionReason::Preempted { .. }));
            assert!(!pre_empted || rollbacks > 0, "only a rollback takes the slot away");
        }
    }
    let holder = world.environment.slot.as_ref().map(|slot| slot.operation);
    for operation in world.operations.values().filter(|one| moving(&one.work)) {
        let rollback = matches!(operation.work, Work::Rollback(_));
        assert!(!rollback || holder == Some(operation.id()), "rule 9: the rollback holds the slot");
        if let Work::Promotion(promotion) = &operation.work
            && let Some(back) = &promotion.revert
        {
            assert_ne!(
                back.destination.digest(),
                Some(&promotion.digest),
                "rule 9: a revert never goes to the failed digest"
            );
        }
    }
}

/// Checks that the services match the results of promotions and rollbacks. If a promotion was
/// reverted or deployed nothing, its digest must not run, unless the digest is pinned. The target
/// of the last completed rollback must run.
fn outcomes_match_services(world: &World) {
    for operation in world.operations.values() {
        let (digest, reason) = match &operation.work {
            Work::Promotion(promotion) => (&promotion.digest, &promotion.reason),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => continue,
        };
        let gone = match reason {
            Some(PromotionReason::Failed { failure, aftermath }) => match aftermath {
                Aftermath::Untouched | Aftermath::RevertedByEcs(_) | Aftermath::RevertedUnproven => true,
                // The deployment that superseded this promotion may run the same digest.
                Aftermath::Reverted | Aftermath::NotMoved => !failure.is_superseded(),
                Aftermath::Unchanged | Aftermath::NoWayBack | Aftermath::RevertFailed(_) => false,
            },
            _ => false,
        };
        let pinned = world.pins.iter().any(|pin| pin.digest == *digest);
        let runs = world.services.values().any(|running| running.digest == *digest);
        assert!(!gone || pinned || !runs, "rule 10: {reason:?}, but the digest runs");
    }
    for operation in world.operations.values() {
        let Work::Rollback(rollback) = &operation.work else { continue };
        let later = |work: &Work| match work {
            Work::Promotion(promotion) => promotion.rollout.as_ref().is_some_and(|rollout| {
                rollout.deadline > rollback.requested_at + SignedDuration::from_mins(30)
            }),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => false,
        };
        let last = !world.operations.values().any(|operation| later(&operation.work));
        let there = world.services.values().all(|running| running.digest == rollback.target.digest);
        let completed = rollback.state == RollbackState::Completed;
        assert!(
            !(completed && last) || there,
            "rule 10: {:?}, but {:?} runs",
            rollback.reason,
            world.services
        );
    }
}

/// Explores all states depth-first, to keep the list of unexplored states short. Returns the number
/// of states, and the number of different worlds without processes.
fn explore(first: State) -> (usize, usize) {
    let mut seen = HashSet::from([first.key()]);
    let mut ends = HashSet::new();
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        holds(&state.world);
        if state.processes.is_empty() {
            let mut quiet = state.world.clone();
            let mut hasher = DefaultHasher::new();
            renumbered(&format!("{:?}", quiet.facts())).hash(&mut hasher);
            if ends.insert(hasher.finish()) {
                // After half an hour, no started effect can still take place.
                quiet.wait(31 * 60);
                quiet.settle();
                check(&quiet);
                holds(&quiet);
                outcomes_match_services(&quiet);
            }
        }
        for action in state.actions() {
            let after = state.happen(action);
            if seen.insert(after.key()) {
                open.push(after);
            }
        }
    }
    (seen.len(), ends.len())
}

fn left() -> Left {
    Left { pushes: [1, 1], clicks: [1, 1], rollbacks: 0, ticks: 0, jumps: 0, sleeps: 0, faults: 0, hands: 0 }
}

/// Pushes both builds, puts their build tags, and requests approval of each build.
fn asked(mut world: World) -> World {
    for n in 0..2 {
        let before = world.read(None, Some(&digest(n as u8 + 1)));
        let opened = Input::Opened(Box::new(opening(n)));
        let change = stablepin_rules::transition::transition(world.now, &before, &[opened]).unwrap();
        world.commit(&before, change);
        world.settle();
    }
    world
}

fn report(what: &str, (states, ends): (usize, usize), at_least: usize) {
    println!("{what}: {states} states, {ends} ends");
    assert!(states >= at_least, "{what}: only {states} states: the case is too small to find anything");
}

#[test]
fn repeated_delivery_of_two_pushes_breaks_no_rule() {
    let first = State::new(
        World::new(application(ONE, "")),
        Left { pushes: [2, 2], ticks: 1, clicks: [0, 0], ..left() },
    );
    report("two pushes, delivered twice", explore(first), 1_000);
}

#[test]
fn two_approvals_survive_a_crash_and_a_moved_tag() {
    let world = asked(World::new(application(ONE, "")));
    let left = Left { pushes: [0, 0], faults: 1, ticks: 1, jumps: 1, hands: 1, ..left() };
    report("two approvals, a crash, a manual tag move", explore(State::new(world, left)), 1_000);
}

#[test]
fn crash_during_an_approval_or_rollback_breaks_no_rule() {
    let mut world = asked(World::new(application(ONE, "\"prod/web\"")));
    world.vote(id(0), "lead", Verdict::Approve).unwrap();
    world.settle();
    let left = Left { pushes: [0, 0], clicks: [0, 1], rollbacks: 1, faults: 1, ticks: 1, jumps: 1, ..left() };
    report("an approval and a rollback, a crash", explore(State::new(world, left)), 1_000);
}

#[test]
fn crash_during_a_deployment_or_rollback_breaks_no_rule() {
    let mut world = asked(World::new(deployed(ONE, "\"prod/web\"")));
    world.vote(id(0), "lead", Verdict::Approve).unwrap();
    world.settle();
    let left = Left { pushes: [0, 0], clicks: [0, 1], rollbacks: 1, faults: 1, ticks: 1, jumps: 1, ..left() };
    report("a deployment and a rollback, a crash", explore(State::new(world, left)), 1_000);
}

/// The clock may jump past the rollout's timeout at any point, without a tick.
#[test]
fn crash_during_a_timed_out_deployment_breaks_no_rule() {
    let mut world = asked(World::new(deployed(ONE, "\"prod/web\", \"prod/worker\"")));
    world.vote(id(0), "lead", Verdict::Approve).unwrap();
    world.settle();
    let left = Left { pushes: [0, 0], clicks: [0, 1], faults: 1, ticks: 2, sleeps: 1, ..left() };
    report("a timed-out deployment, a crash", explore(State::new(world, left)), 500);
}

#[test]
fn crash_during_two_deployments_and_a_rollback_breaks_no_rule() {
    let mut world = World::new(deployed(ONE, "\"prod/web\""));
    let before = world.push(-100, 7).unwrap();
    world.settle();
    world.vote(before, "lead", Verdict::Approve).unwrap();
    world.settle();
    let mut world = asked(world);
    world.vote(id(0), "lead", Verdict::Approve).unwrap();
    let left = Left { pushes: [0, 0], clicks: [0, 1], rollbacks: 1, faults: 1, ticks: 1, hands: 1, ..left() };
    report(
        "two deployments, a rollback, a crash, a manual tag move",
        explore(State::new(world, left)),
        1_000,
    );
}

#[test]
fn crash_during_two_deployments_breaks_no_rule() {
    let world = asked(World::new(deployed(ONE, "\"prod/web\"")));
    let left = Left { pushes: [0, 0], faults: 1, ticks: 1, jumps: 1, ..left() };
    report("two deployments, a crash", explore(State::new(world, left)), 1_000);
}

#[test]
fn crash_during_a_failing_deployment_breaks_no_rule() {
    let mut world = asked(World::new(deployed(ONE, "\"prod/web\"")));
    world.vote(id(0), "lead", Verdict::Approve).unwrap();
    world.settle();
    world.broken.insert(digest(2));
    let left = Left { pushes: [0, 0], clicks: [0, 1], faults: 1, ticks: 2, jumps: 2, ..left() };
    report("a failing deployment, a crash", explore(State::new(world, left)), 500);
}
