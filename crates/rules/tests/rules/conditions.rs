//! Tests of a promotion before its approvers are asked: validation, checks, the earlier
//! environment, and the soak time.

mod reads;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use stablepin_rules::application::{CheckName, Platform};
use stablepin_rules::audit::Actor;
use stablepin_rules::effect::Outcome;
use stablepin_rules::link::Link;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{
    Blocker, Check, CheckResult, Checks, Notice, Promotion, PromotionReason, PromotionState, Verdict,
};
use stablepin_rules::transition::Input;
use stablepin_rules::validation::{Defect, InvalidImage};
use stablepin_rules::words::time;

use crate::fixtures::{ONE, asked, pinned, state};
use crate::world::{World, application, approver, digest};

const TESTS: &str = "staging-tests";

fn requiring(approval: &str) -> World {
    let mut configured = application(approval, "");
    configured.environments[0].requires = vec![CheckName::parse(TESTS).unwrap()];
    World::new(configured)
}

/// Returns a world in which a build must be a pin of staging for half an hour before production.
fn after_staging() -> World {
    let mut configured = application(ONE, "");
    configured.environments[0].after = Some(EnvironmentName::parse("staging").unwrap());
    configured.environments[0].soak = SignedDuration::from_mins(30);
    World::new(configured)
}

fn promotion(world: &World, id: OperationId) -> Promotion {
    world.subject(Some(id), None).promotion().unwrap().clone()
}

fn is_asked(world: &World, id: OperationId) -> bool {
    promotion(world, id).asked.contains_key(&approver("lead"))
}

/// Records a report for the digest, but does not pass the report on to the promotion.
fn record(world: &mut World, n: u8, result: CheckResult) -> Checks {
    let check = Check {
        result,
        at: world.now,
        link: Some(Link::parse("https://ci.example.com/runs/7").unwrap()),
        seconds: Some(93),
        by: Actor::Principal { arn: "arn:aws:iam::111122223333:user/pipeline".to_owned() },
    };
    let checks = world.checks.entry(digest(n)).or_default();
    checks.record(CheckName::parse(TESTS).unwrap(), check, &BTreeSet::new());
    checks.clone()
}

/// Reports a check as a pipeline does: records the report, and passes it on to the promotion.
fn report(world: &mut World, id: OperationId, n: u8, result: CheckResult) {
    let checks = record(world, n, result);
    world.observe(Some(id), None, &[Input::ChecksReported(checks)]).unwrap();
    world.settle();
}

#[test]
fn promotion_of_an_invalid_image_fails_before_anyone_is_asked() {
    let mut world = World::new(application(ONE, ""));
    let defect = InvalidImage::metadata("the configuration is not valid");
    world.defects.insert(digest(1), defect.clone());
    let id = asked(&mut world, 0, 1);
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    assert_eq!(ended.reason, Some(PromotionReason::Invalid(defect)));
    assert!(ended.asked.is_empty());
    assert!(world.operations[&id].notified.contains(&Notice::Ended));
    let audited = world.audit.last().unwrap();
    assert_eq!((audited.from.as_deref(), audited.to.as_str()), (Some("Pending"), "Failed"));
}

#[test]
fn promotion_fails_if_the_image_lacks_a_required_platform() {
    let mut world = World::new(application(ONE, ""));
    let wanted = vec![Platform::parse("linux/arm64").unwrap()];
    world.configuration.application.environments[0].validate.platforms = wanted;
    let id = asked(&mut world, 0, 1);
    let reason = promotion(&world, id).reason.unwrap().to_string();
    assert_eq!(reason, "the image is not valid: not built for linux/arm64: the image has linux/amd64");
}

#[test]
fn image_that_is_pushed_again_is_validated_again() {
    let mut world = World::new(application(ONE, ""));
    world.defects.insert(digest(1), InvalidImage::gone());
    let failed = asked(&mut world, 0, 1);
    world.defects.clear();
    let again = asked(&mut world, 1, 1);
    assert_eq!(state(&world, failed), PromotionState::Failed);
    assert!(is_asked(&world, again));
}

#[test]
fn image_is_validated_again_after_the_application_file_changes() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    assert!(is_asked(&world, id));
    world.configuration.version += 1;
    world.configuration.application.environments[0].validate.max_bytes = 1;
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    let Some(PromotionReason::Invalid(invalid)) = ended.reason else { panic!("{:?}", ended.reason) };
    assert_eq!(invalid.defect, Defect::TooLarge);
    assert!(world.pins.is_empty());
}

#[test]
fn approvers_are_asked_when_the_required_check_has_passed() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    let waiting = promotion(&world, id);
    assert_eq!(waiting.waits_for, ["the check staging-tests"]);
    assert!(!is_asked(&world, id));

    report(&mut world, id, 1, CheckResult::Passed);
    assert!(is_asked(&world, id));
    assert_eq!(promotion(&world, id).waits_for, [""; 0]);
}

#[test]
fn check_that_is_reported_before_the_push_counts() {
    let mut world = requiring(ONE);
    record(&mut world, 1, CheckResult::Passed);
    let id = asked(&mut world, 0, 1);
    assert!(is_asked(&world, id));
}

/// The Lambda function was killed between recording the report and passing it on.
#[test]
fn waiting_promotion_reads_a_report_that_was_not_passed_on() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    record(&mut world, 1, CheckResult::Passed);
    world.settle();
    assert!(!is_asked(&world, id), "the reports were read a moment ago");
    world.wait(60);
    world.settle();
    assert!(is_asked(&world, id));
}

#[test]
fn promotion_fails_if_a_required_check_fails() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    report(&mut world, id, 1, CheckResult::Failed);
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    let reason = ended.reason.unwrap().to_string();
    assert_eq!(reason, "the check staging-tests failed: https://ci.example.com/runs/7");
    assert!(ended.asked.is_empty());
}

#[test]
fn promotion_fails_if_a_passed_check_fails_later() {
    let mut world = requiring(ONE);
    record(&mut world, 1, CheckResult::Passed);
    let id = asked(&mut world, 0, 1);
    assert!(is_asked(&world, id));
    world.wait(1);
    report(&mut world, id, 1, CheckResult::Failed);
    assert_eq!(state(&world, id), PromotionState::Failed);
}

#[test]
fn failed_check_that_is_not_required_changes_nothing() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    report(&mut world, id, 1, CheckResult::Failed);
    assert_eq!(state(&world, id), PromotionState::Pending);
}

#[test]
fn report_after_the_end_of_a_promotion_changes_nothing() {
    let mut world = requiring(ONE);
    record(&mut world, 1, CheckResult::Passed);
    let id = pinned(&mut world, 0, 1);
    let before = promotion(&world, id);
    world.wait(1);
    report(&mut world, id, 1, CheckResult::Failed);
    assert_eq!(promotion(&world, id), before);
}

#[test]
fn promotion_fails_at_its_deadline_if_a_check_is_missing() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    world.wait(3600);
    world.settle();
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    let unmet = vec!["the check staging-tests".to_owned()];
    assert_eq!(ended.reason, Some(PromotionReason::Expired(Blocker::Conditions { unmet, problem: None })));
    assert_eq!(ended.reason.unwrap().to_string(), "expired: still waited for the check staging-tests");
    assert!(world.operations[&id].notified.contains(&Notice::Ended));
}

#[test]
fn time_to_decide_begins_when_the_conditions_are_met() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    world.wait(3000);
    report(&mut world, id, 1, CheckResult::Passed);
    let ready = promotion(&world, id);
    assert_eq!(ready.expires_at, ready.ready_at.unwrap() + SignedDuration::from_hours(1));
}

#[test]
fn automatic_promotion_waits_for_its_checks() {
    let mut world = requiring("required = 0, approvers = []");
    let id = asked(&mut world, 0, 1);
    assert_eq!(state(&world, id), PromotionState::Pending);
    report(&mut world, id, 1, CheckResult::Passed);
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn early_vote_sets_the_pin_only_after_the_check_passes() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    let mut decision = world.decision(id, "lead", Verdict::Approve);
    decision.actor = Actor::Principal { arn: "arn:aws:iam::111122223333:user/lead".to_owned() };
    world.observe(Some(id), None, &[Input::Decision(decision)]).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Pending);
    // Before the check has passed, a vote causes no repeated validation.
    let validated = promotion(&world, id).validated;
    world.wait(40 * 60);
    world.settle();
    assert_eq!(promotion(&world, id).validated, validated);
    report(&mut world, id, 1, CheckResult::Passed);
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn promotion_waits_for_pin_and_soak_in_the_earlier_environment() {
    let mut world = after_staging();
    let id = asked(&mut world, 0, 1);
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in staging"]);

    world.wait(60);
    let pinned_at = world.now;
    world.earlier_pins.insert(digest(1), pinned_at);
    world.settle();
    let until = pinned_at + SignedDuration::from_mins(30);
    let soaking = format!("the end of the soak time in staging, {}", time(until));
    assert_eq!(promotion(&world, id).waits_for, [soaking]);
    assert!(!is_asked(&world, id));

    world.wait(29 * 60);
    world.settle();
    assert!(!is_asked(&world, id));
    world.wait(60);
    world.settle();
    assert!(is_asked(&world, id));
}

#[test]
fn promotion_waits_again_if_staging_rolls_back_during_the_soak() {
    let mut world = after_staging();
    world.earlier_pins.insert(digest(1), world.now);
    let id = asked(&mut world, 0, 1);
    world.earlier_pins.clear();
    world.wait(31 * 60);
    world.settle();
    assert_eq!(promotion(&world, id).waits_for, ["a pin of this digest in staging"]);
    assert!(!is_asked(&world, id));
}

/// The report of the failure never reached the promotion.
#[test]
fn approved_promotion_reads_its_checks_once_more() {
    let mut world = requiring(ONE);
    record(&mut world, 1, CheckResult::Passed);
    let id = asked(&mut world, 0, 1);
    world.wait(1);
    record(&mut world, 1, CheckResult::Failed);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Failed);
    assert!(world.pins.is_empty());
}

#[test]
fn validation_under_an_older_application_file_does_not_count() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    world.configuration.version += 1;
    let result = Err(InvalidImage::metadata("judged by the older file"));
    let older = Outcome::Validated { configuration: 1, result };
    world.observe(Some(id), None, &[Input::Outcome(older)]).unwrap();
    assert_eq!(state(&world, id), PromotionState::Pending);
    world.settle();
    assert!(is_asked(&world, id));
}

#[test]
fn promotion_fails_if_its_image_is_deleted_while_it_waits() {
    let mut world = requiring(ONE);
    let id = asked(&mut world, 0, 1);
    world.defects.insert(digest(1), InvalidImage::gone());
    world.wait(15 * 60);
    report(&mut world, id, 1, CheckResult::Passed);
    assert_eq!(state(&world, id), PromotionState::Failed);
    assert!(!is_asked(&world, id));
}

/// Opens a promotion of an image that ECR copies from another registry. The image lacks a layer.
fn copied_without_a_layer(world: &mut World) -> OperationId {
    world.defects.insert(digest(1), InvalidImage::corrupted("linux/amd64", &[digest(9)]));
    let mut opening = world.opening(0, 1);
    opening.is_copied = true;
    opening.platforms.clear();
    let id = opening.id;
    world.observe(None, None, &[Input::Opened(Box::new(opening))]).unwrap();
    world.settle();
    id
}

#[test]
fn promotion_waits_for_the_missing_parts_of_a_copied_image() {
    let mut world = World::new(application(ONE, ""));
    let id = copied_without_a_layer(&mut world);
    assert_eq!(state(&world, id), PromotionState::Pending);
    let problem = world.operations[&id].problem.clone().unwrap();
    assert!(problem.starts_with("corrupted: the registry does not have 1 of the blobs"), "{problem}");
    assert_eq!(promotion(&world, id).waits_for, ["the validation of the image"]);
    world.defects.clear();
    world.wait(60);
    world.settle();
    assert!(is_asked(&world, id));
}

/// A copied image without its configuration has no known platforms.
#[test]
fn validation_adds_the_platforms_of_a_copied_image_to_its_build() {
    let mut world = World::new(application(ONE, ""));
    let id = copied_without_a_layer(&mut world);
    assert_eq!(promotion(&world, id).build.platforms, [""; 0]);
    world.defects.clear();
    world.wait(60);
    world.settle();
    assert_eq!(promotion(&world, id).build.platforms, ["linux/amd64"]);
    assert_eq!(world.builds[&digest(1)].platforms, ["linux/amd64"]);
}

#[test]
fn promotion_of_a_copied_image_fails_if_its_parts_do_not_arrive() {
    let mut world = World::new(application(ONE, ""));
    let id = copied_without_a_layer(&mut world);
    let opened_at = world.now;
    while state(&world, id) == PromotionState::Pending {
        world.wait(60);
        world.settle();
        assert!(world.now <= opened_at + SignedDuration::from_mins(45), "{:?}", world.operations[&id]);
    }
    assert!(world.now >= opened_at + SignedDuration::from_mins(30));
    assert_eq!(state(&world, id), PromotionState::Failed);
    assert!(!is_asked(&world, id));
}
