//! Tests of the reads on which a promotion's conditions depend: when a read is due, which read
//! counts, and what happens if reads fail.

use stablepin_rules::records::{EarlierPin, Freeze};

use super::*;

#[test]
fn pauses_between_report_reads_grow_to_ten_minutes() {
    let mut world = requiring(ONE);
    world.configuration.application.environments[0].approval.expires = SignedDuration::from_hours(72);
    let id = asked(&mut world, 0, 1);
    let mut reads = Vec::new();
    for _ in 0..24 * 60 {
        let before = promotion(&world, id).checks_read_at;
        world.wait(60);
        world.settle();
        let read = promotion(&world, id).checks_read_at;
        reads.extend(read.filter(|_| read != before));
    }
    let pauses: Vec<i64> =
        reads.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs() / 60).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert_eq!((pauses[0], *pauses.last().unwrap()), (1, 10));
    assert!(reads.len() < 180, "{} reads in a day", reads.len());
}

fn problem() -> Input {
    Input::Outcome(Outcome::Problem("the table is busy".to_owned()))
}

#[test]
fn failed_read_of_the_reports_is_repeated_after_a_pause() {
    let mut world = requiring(ONE);
    let id = world.push(0, 1).unwrap();
    let valid = Input::Outcome(Outcome::Validated { configuration: 1, result: Ok(Vec::new()) });
    world.observe(Some(id), None, &[valid, problem()]).unwrap();
    assert!(world.operations[&id].wake_at.unwrap() >= world.now + SignedDuration::from_mins(1));
}

#[test]
fn report_of_a_check_does_not_end_the_soak_time() {
    let mut world = after_staging();
    world.earlier_pins.insert(digest(1), world.now);
    let id = asked(&mut world, 0, 1);
    world.earlier_pins.clear();
    world.wait(31 * 60);
    world.observe(Some(id), None, &[Input::ChecksReported(Checks::default())]).unwrap();
    assert_eq!(promotion(&world, id).ready_at, None, "staging was not read after the soak time");
    world.settle();
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in staging"]);
}

#[test]
fn pin_in_staging_does_not_count_after_a_switch_to_preprod() {
    let mut world = after_staging();
    world.earlier_pins.insert(digest(1), world.now - SignedDuration::from_hours(1));
    let id = world.push(0, 1).unwrap();
    let staging = EnvironmentName::parse("staging").unwrap();
    let pinned_at = Some(world.now - SignedDuration::from_hours(1));
    let read = Input::Outcome(Outcome::EarlierPinRead(EarlierPin {
        environment: staging,
        pinned_at,
        read_at: world.now,
    }));
    world.observe(Some(id), None, &[read]).unwrap();
    let preprod = EnvironmentName::parse("preprod").unwrap();
    world.configuration.application.environments[0].after = Some(preprod);
    world.configuration.version += 1;
    world.earlier_pins.clear();
    world.settle();
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in preprod"]);
}

/// Approves a promotion while the environment is frozen.
fn approved_while_frozen(mut world: World) -> (World, OperationId) {
    record(&mut world, 1, CheckResult::Passed);
    world.earlier_pins.insert(digest(1), world.now);
    let id = asked(&mut world, 0, 1);
    world.wait(31 * 60);
    world.settle();
    let by = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
    world.environment.freeze = Some(Freeze { since: world.now, reason: "sale".to_owned(), by });
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Pending);
    (world, id)
}

#[test]
fn conditions_are_read_again_when_a_freeze_ends() {
    let (mut world, id) = approved_while_frozen(after_staging());
    world.earlier_pins.clear();
    world.wait(15 * 60);
    world.environment.freeze = None;
    world.settle();
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in staging"]);

    let (mut world, id) = approved_while_frozen(requiring(ONE));
    world.wait(15 * 60);
    record(&mut world, 1, CheckResult::Failed);
    world.environment.freeze = None;
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Failed);

    let (mut world, id) = approved_while_frozen(requiring(ONE));
    world.wait(15 * 60);
    world.defects.insert(digest(1), InvalidImage::gone());
    world.environment.freeze = None;
    world.settle();
    assert_eq!((state(&world, id), world.pins.len()), (PromotionState::Failed, 0));

    let (mut world, id) = approved_while_frozen(requiring(ONE));
    world.wait(15 * 60);
    world.environment.freeze = None;
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn approved_promotion_ends_if_its_image_stays_unreadable() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.configuration.version += 1;
    world.vote(id, "lead", Verdict::Approve).unwrap();
    for _ in 0..20 {
        world.wait(16 * 60);
        world.observe(Some(id), None, &[problem()]).unwrap();
        world.tick(id);
    }
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    let reason = ended.reason.unwrap().to_string();
    assert!(reason.starts_with("expired: still waited for the validation of the image"), "{reason}");
    assert!(reason.contains("the table is busy"), "{reason}");
}

/// A read that succeeds beside the failing read does not end the series of failures.
#[test]
fn approved_promotion_fails_if_one_condition_stays_unreadable() {
    let mut world = requiring(ONE);
    record(&mut world, 1, CheckResult::Passed);
    let id = asked(&mut world, 0, 1);
    world.configuration.version += 1;
    world.vote(id, "lead", Verdict::Approve).unwrap();
    for _ in 0..20 {
        world.wait(16 * 60);
        let checks = world.checks[&digest(1)].clone();
        let read = Input::Outcome(Outcome::ChecksRead { checks, at: world.now });
        world.observe(Some(id), None, &[read, problem()]).unwrap();
        world.tick(id);
    }
    assert_eq!(state(&world, id), PromotionState::Failed);
}

/// The read was made before staging's rollback, and its result arrives after the rollback.
#[test]
fn read_from_before_a_pin_change_does_not_count() {
    let mut world = after_staging();
    let id = world.push(0, 1).unwrap();
    let environment = EnvironmentName::parse("staging").unwrap();
    let pinned_at = Some(world.now - SignedDuration::from_hours(1));
    let late = EarlierPin { environment: environment.clone(), pinned_at, read_at: world.now };
    world.wait(1);
    world.observe(Some(id), None, &[Input::PinChanged(environment)]).unwrap();
    world.wait(1);
    world.observe(Some(id), None, &[Input::Outcome(Outcome::EarlierPinRead(late))]).unwrap();
    world.settle();
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in staging"]);
    assert!(!is_asked(&world, id));
}

#[test]
fn pin_in_the_earlier_environment_is_noticed_immediately() {
    let mut world = after_staging();
    world.configuration.application.environments[0].soak = SignedDuration::ZERO;
    let id = asked(&mut world, 0, 1);
    world.earlier_pins.insert(digest(1), world.now);
    world.settle();
    assert!(!is_asked(&world, id), "staging was read a moment ago");
    let staging = EnvironmentName::parse("staging").unwrap();
    world.observe(Some(id), None, &[Input::PinChanged(staging)]).unwrap();
    world.settle();
    assert!(is_asked(&world, id));
}
