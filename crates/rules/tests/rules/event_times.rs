//! Rule 4 where another clock is wrong: a push keeps its event's time as its identity, and its place in the order is no later
//! than our own clock allows.

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::audit::{Actor, Kind};
use stablepin_rules::records::{Occurrence, OperationId, PromotionState, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{EnvironmentAction, EnvironmentCommand, Input, Opening};

use crate::world::{World, application, digest};
use crate::{ONE, state};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A push whose event has that time, taken now.
fn push(world: &mut World, time: Timestamp, n: u8) -> OperationId {
    let mut opening = world.opening(0, n);
    opening.occurrence.at = time;
    let id = opening.id;
    take(world, opening);
    world.settle();
    id
}

fn take(world: &mut World, opening: Opening) {
    let digest = opening.occurrence.digest.clone();
    world.observe(None, Some(&digest), &[Input::Opened(Box::new(opening))]).unwrap();
}

fn approve(world: &mut World, id: OperationId) -> PromotionState {
    if let Err(refusal) = world.vote(id, "lead", Verdict::Approve) {
        assert!(matches!(refusal, Refusal::Superseded { .. } | Refusal::NotPending { .. }), "{refusal}");
    }
    world.settle();
    state(world, id)
}

fn place(world: &World, id: OperationId) -> Timestamp {
    world.subject(Some(id), None).promotion().unwrap().occurrence.at
}

fn reset(world: &mut World, reason: Option<&str>) -> Result<(), Refusal> {
    let actor = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
    let order = EnvironmentCommand {
        action: EnvironmentAction::ResetWatermark,
        reason: reason.map(str::to_owned),
        actor,
    };
    world.observe(None, None, &[Input::Commanded(order)]).map(drop)
}

#[test]
fn rule_4_push_of_the_future_supersedes_for_minutes_only() {
    for time in ["2099-01-01T00:00:00Z", "2026-11-22T10:00:00Z", "9999-12-30T22:00:00Z"] {
        let mut world = World::new(application(ONE, ""));
        let seen = world.now;
        let future = push(&mut world, at(time), 1);
        assert_eq!(approve(&mut world, future), PromotionState::Completed);
        assert_eq!(place(&world, future), seen + SignedDuration::from_mins(5));
        world.wait(301);
        let now = world.now;
        let next = push(&mut world, now, 2);
        assert_eq!(approve(&mut world, next), PromotionState::Completed, "{time}");
    }
}

/// A clock that is a little ahead is believed.
#[test]
fn rule_4_push_of_the_next_minutes_keeps_its_place() {
    let mut world = World::new(application(ONE, ""));
    let time = world.now + SignedDuration::from_secs(299);
    let id = push(&mut world, time, 1);
    assert_eq!(place(&world, id), time);
}

#[test]
fn rule_4_push_of_the_future_that_is_told_again_is_the_same() {
    let mut world = World::new(application(ONE, ""));
    let mut opening = world.opening(0, 1);
    opening.occurrence.at = at("2099-01-01T00:00:00Z");
    let id = opening.id;
    take(&mut world, opening.clone());
    world.settle();
    let first = place(&world, id);
    world.wait(3600);
    let between = world.now;
    let next = push(&mut world, between, 2);
    let again = world.id();
    take(&mut world, Opening { id: again, ..opening });
    world.settle();
    assert_eq!(world.operations.len(), 2, "it was answered");
    assert_eq!(place(&world, id), first, "its place is that of first sight");
    assert!(place(&world, next) > first);
    let opened = Occurrence { at: at("2099-01-01T00:00:00Z"), digest: digest(1) };
    assert!(world.opened.contains(&opened), "known by its event's time");
}

#[test]
fn build_of_a_nonsense_time_is_named_by_our_clock() {
    for (time, name) in [
        ("2099-01-01T00:00:00Z", "production-20261121-100500-"),
        ("1970-01-01T00:00:00Z", "production-20151221-000000-"),
        ("-009999-01-02T01:59:59Z", "production-20151221-000000-"),
    ] {
        let mut world = World::new(application(ONE, ""));
        let id = push(&mut world, at(time), 1);
        let build = world.builds[&digest(1)].clone();
        assert!(build.build_tag.to_string().starts_with(name), "{}", build.build_tag);
        assert_eq!(build.pushed_at, place(&world, id));
    }
}

/// As tables have it that were written before.
fn of_2099() -> (World, OperationId) {
    let mut world = World::new(application(ONE, ""));
    let now = world.now;
    let bad = push(&mut world, now, 1);
    approve(&mut world, bad);
    let future = || Occurrence { at: at("2099-01-01T00:00:00Z"), digest: digest(1) };
    world.environment.watermark = Some(future());
    world.environment.latest.as_mut().unwrap().occurrence = future();
    (world, bad)
}

#[test]
fn rule_4_watermark_of_the_future_is_reset_by_a_person() {
    let (mut world, _) = of_2099();
    world.wait(60);
    let now = world.now;
    let lost = push(&mut world, now, 2);
    assert_eq!(approve(&mut world, lost), PromotionState::Cancelled, "superseded by 2099");

    assert_eq!(reset(&mut world, None), Err(Refusal::ReasonNeeded));
    assert_eq!(reset(&mut world, Some("  ")), Err(Refusal::ReasonNeeded));
    reset(&mut world, Some("a test event had a wrong clock")).unwrap();
    let told = world.audited(Kind::Environment).last().cloned().unwrap();
    assert_eq!(told.from.as_deref(), Some("watermark 2099-01-01T00:00:00Z"));
    assert_eq!(told.to, format!("watermark {now}"));
    assert_eq!(told.reason.as_deref(), Some("a test event had a wrong clock"));
    assert!(told.actor.to_string().ends_with("user/operator"));

    world.wait(60);
    let now = world.now;
    let next = push(&mut world, now, 3);
    assert_eq!(world.environment.latest.as_ref().unwrap().promotion, next);
    assert_eq!(approve(&mut world, next), PromotionState::Completed);
    assert!(matches!(reset(&mut world, Some("again")), Err(Refusal::WatermarkNotAhead { at: Some(_) })));
}

/// What was pushed before the reset is not later than what was pinned.
#[test]
fn rule_4_reset_lets_no_earlier_push_pass() {
    let (mut world, _) = of_2099();
    world.wait(60);
    let now = world.now;
    let mut earlier = world.opening(0, 2);
    earlier.occurrence.at = now - SignedDuration::from_secs(30);
    let id = earlier.id;
    take(&mut world, earlier);
    reset(&mut world, Some("wrong clock")).unwrap();
    world.settle();
    assert_eq!(approve(&mut world, id), PromotionState::Cancelled);
    assert_eq!(
        reset(&mut World::new(application(ONE, "")), Some("x")),
        Err(Refusal::WatermarkNotAhead { at: None })
    );
}

/// Opened before there were places, approved after.
#[test]
fn rule_4_stored_promotion_of_the_future_sets_no_watermark_there() {
    let mut world = World::new(application(ONE, ""));
    let now = world.now;
    let id = push(&mut world, now, 1);
    if let stablepin_rules::records::Work::Promotion(stored) =
        &mut world.operations.get_mut(&id).unwrap().work
    {
        stored.occurrence.at = at("2099-01-01T00:00:00Z");
    }
    assert_eq!(approve(&mut world, id), PromotionState::Completed);
    assert!(world.environment.watermark.as_ref().unwrap().at <= world.now + SignedDuration::from_mins(5));
}
