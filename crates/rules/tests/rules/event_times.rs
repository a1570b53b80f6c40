//! Rule 4 with wrong clocks. The time of the push event identifies the push, even if that time is
//! wrong. To order pushes, rule 4 limits this time to five minutes ahead of Stablepin's clock.

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::audit::{Actor, Kind};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Occurrence, PromotionState, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{EnvironmentAction, EnvironmentCommand, Input, Opening};

use crate::world::{World, application, digest};
use crate::{ONE, state};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Handles a push event at the current time of the world. `time` is the time in the event.
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
fn rule_4_future_push_supersedes_other_pushes_for_five_minutes() {
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

/// The rules accept event times that are less than five minutes ahead of Stablepin's clock.
#[test]
fn rule_4_push_slightly_in_the_future_keeps_its_time() {
    let mut world = World::new(application(ONE, ""));
    let time = world.now + SignedDuration::from_secs(299);
    let id = push(&mut world, time, 1);
    assert_eq!(place(&world, id), time);
}

#[test]
fn rule_4_repeated_future_push_opens_no_second_promotion() {
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
    assert_eq!(world.operations.len(), 2, "the repeated push opens nothing");
    assert_eq!(place(&world, id), first, "the first delivery sets the place");
    assert!(place(&world, next) > first);
    let opened = Occurrence { at: at("2099-01-01T00:00:00Z"), digest: digest(1) };
    assert!(world.opened.contains(&opened), "the event's time identifies the push");
}

#[test]
fn build_tag_limits_a_push_time_far_in_the_past_or_future() {
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

/// Returns a world with a watermark of 2099. Older versions of Stablepin could store such a
/// watermark.
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
fn rule_4_operator_can_reset_a_future_watermark() {
    let (mut world, _) = of_2099();
    world.wait(60);
    let now = world.now;
    let lost = push(&mut world, now, 2);
    assert_eq!(approve(&mut world, lost), PromotionState::Cancelled, "the watermark of 2099 supersedes it");

    assert_eq!(reset(&mut world, None), Err(Refusal::ReasonNeeded));
    assert_eq!(reset(&mut world, Some("  ")), Err(Refusal::ReasonNeeded));
    reset(&mut world, Some("a test event had a wrong clock")).unwrap();
    let record = world.audited(Kind::Environment).last().cloned().unwrap();
    assert_eq!(record.from.as_deref(), Some("watermark 2099-01-01T00:00:00Z"));
    assert_eq!(record.to, format!("watermark {now}"));
    assert_eq!(record.reason.as_deref(), Some("a test event had a wrong clock"));
    assert!(record.actor.to_string().ends_with("user/operator"));

    world.wait(60);
    let now = world.now;
    let next = push(&mut world, now, 3);
    assert_eq!(world.environment.latest.as_ref().unwrap().promotion, next);
    assert_eq!(approve(&mut world, next), PromotionState::Completed);
    assert!(matches!(reset(&mut world, Some("again")), Err(Refusal::WatermarkNotAhead { at: Some(_) })));
}

/// The reset sets the watermark to the current time, which is later than the earlier push.
#[test]
fn rule_4_watermark_reset_does_not_admit_an_earlier_push() {
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

/// An older version of Stablepin stored a push time of 2099. The lead approves the promotion now.
#[test]
fn rule_4_stored_future_push_sets_a_limited_watermark() {
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
