//! Tests of how promotions and rollbacks start, wait and end.

use jiff::SignedDuration;
use stablepin_rules::audit::Actor;
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::image::ImageTag;
use stablepin_rules::name::ApproverName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::records::{
    Direction, Notice, Progress, PromotionState, RollbackState, TokenHash, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Decision, Input};
use uuid::Uuid;

use crate::world::{self, STABLE, World, application, approver, deployed, digest};
use crate::{ONE, TWO, asked, check, pinned, rollback_state, state};

fn ended(world: &World, id: OperationId) -> (PromotionState, Option<String>) {
    let subject = world.subject(Some(id), None);
    let promotion = subject.promotion().unwrap();
    (promotion.state, promotion.reason.as_ref().map(ToString::to_string))
}

fn pause(world: &World, id: OperationId) -> i64 {
    (world.operations[&id].wake_at.unwrap() - world.now).get_seconds()
}

#[test]
fn third_of_three_required_approvals_sets_the_pin() {
    let mut application = application(TWO, "");
    let names: Vec<ApproverName> = ["ann", "bob", "cyd", "dan"].map(approver).to_vec();
    application.environments[0].approval.approvers = names;
    application.environments[0].approval.required = 3;
    let mut world = World::new(application);
    let id = asked(&mut world, 0, 1);
    assert_eq!(world.tokens.len(), 4, "every approver is asked");
    for (name, pins) in [("dan", 0), ("ann", 0), ("cyd", 1)] {
        world.now += SignedDuration::from_secs(1);
        world.vote(id, name, Verdict::Approve).unwrap();
        assert_eq!(world.pins.len(), pins, "after {name}");
    }
    assert!(world.vote(id, "bob", Verdict::Approve).is_err(), "the promotion is decided");
    let said = world.audit.iter().find(|record| record.to == "1").unwrap();
    assert_eq!(said.actor, Actor::Link { approver: approver("cyd") }, "the last needed approver set the pin");
}

#[test]
fn undecided_promotion_expires_with_a_reason() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.now += SignedDuration::from_hours(1);
    world.tick(id);
    let expired = Some("expired: nobody decided in time".to_owned());
    assert_eq!(ended(&world, id), (PromotionState::Cancelled, expired));
    assert_eq!(world.operations[&id].wake_at, None);
    assert_eq!(world.push(5, 1).map(|again| again != id), Some(true), "a new push asks again");
}

#[test]
fn approved_promotion_does_not_expire_during_a_rollback() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.now += SignedDuration::from_mins(50);
    let rollback = world.roll_back("stable").unwrap();
    world.now += SignedDuration::from_secs(1);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.begin(next);
    world.now += SignedDuration::from_mins(15);
    world.tick(next);
    assert_eq!(state(&world, next), PromotionState::Pending);
    assert_eq!(pause(&world, next), 60, "the next check is in a minute");
    world.settle();
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    world.now += SignedDuration::from_mins(1);
    world.settle();
    assert_eq!(state(&world, next), PromotionState::Completed);
}

#[test]
fn expiry_reason_names_the_hold() {
    let mut world = World::new(application(TWO, "\"prod/web\""));
    pinned_by_both(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.roll_back("stable").unwrap();
    world.settle();
    // One approval is enough from now on, but the lead approved before the hold.
    world.configuration.application.environments[0].approval.required = 1;
    world.now += SignedDuration::from_mins(1);
    world.tick(next);
    assert_eq!(
        (state(&world, next), world.pins.len()),
        (PromotionState::Pending, 1),
        "the environment is held"
    );
    world.now += SignedDuration::from_hours(1);
    world.tick(next);
    let held = Some("expired: approved, but the environment is held (rollback to pin 1)".to_owned());
    assert_eq!(ended(&world, next), (PromotionState::Cancelled, held));
}

fn pinned_by_both(world: &mut World, at: i64, n: u8) {
    let id = asked(world, at, n);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
}

#[test]
fn approval_newer_than_the_rollback_releases_the_hold() {
    let mut world = World::new(application(TWO, "\"prod/web\""));
    pinned_by_both(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.roll_back("stable").unwrap();
    world.settle();
    assert!(world.environment.hold.is_some(), "the hold outlasts the rollback");
    world.now += SignedDuration::from_secs(1);
    world.vote(next, "second", Verdict::Approve).unwrap();
    assert_eq!((world.pins.len(), world.environment.hold.clone()), (2, None));
}

#[test]
fn vote_of_a_former_approver_does_not_release_the_hold() {
    let mut world = World::new(application(TWO, "\"prod/web\""));
    pinned_by_both(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.roll_back("stable").unwrap();
    world.settle();
    let policy = &mut world.configuration.application.environments[0].approval;
    (policy.required, policy.approvers) = (2, ["lead", "second", "third"].map(approver).to_vec());
    world.now += SignedDuration::from_secs(1);
    let decision = world.decision(next, "third", Verdict::Approve);
    world.configuration.application.environments[0].approval.required = 3;
    world.observe(Some(next), None, &[Input::Decision(Decision { form: None, ..decision })]).unwrap();
    // A new application file removes the third approver, and requires one approval. But the lead
    // approved before the hold.
    let policy = &mut world.configuration.application.environments[0].approval;
    (policy.required, policy.approvers) = (1, ["lead", "second"].map(approver).to_vec());
    world.now += SignedDuration::from_mins(1);
    world.tick(next);
    assert_eq!((world.pins.len(), world.environment.hold.is_some()), (1, true));
}

#[test]
fn push_is_pinned_if_no_approval_is_required() {
    let mut world = World::new(application("required = 0", ""));
    let id = world.push(0, 1).unwrap();
    world.settle();
    assert_eq!(world.pins.len(), 1, "no approver is needed");
    assert_eq!((state(&world, id), world.tokens.len()), (PromotionState::Completed, 0));
    let said = world.audit.iter().find(|record| record.to == "1").unwrap();
    assert_eq!(said.actor, Actor::Push);
}

#[test]
fn removal_of_an_environment_cancels_its_open_promotions() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.configuration.application.environments[0].name =
        stablepin_rules::name::EnvironmentName::parse("other").unwrap();
    assert!(world.vote(id, "lead", Verdict::Approve).is_err());
    world.tick(id);
    let withdrawn = Some("the environment was removed from the configuration".to_owned());
    assert_eq!(ended(&world, id), (PromotionState::Cancelled, withdrawn));
}

#[test]
fn build_tags_are_tried_until_one_is_free() {
    let mut world = World::new(application(ONE, ""));
    let mut opening = world.opening(0, 1);
    opening.commit = Some(stablepin_rules::commit::Commit::parse("a1b2c3d4e5f6").unwrap());
    world.observe(None, Some(&digest(1)), &[Input::Opened(Box::new(opening))]).unwrap();
    let mut tried = Vec::new();
    for _ in 0..4 {
        let name = world.builds[&digest(1)].build_tag.tag();
        tried.push(name.to_string());
        world.tags.insert(name.clone(), digest(9));
        let id = *world.operations.keys().next().unwrap();
        let taken = Input::Outcome(Outcome::BuildTagTaken(name));
        world.observe(Some(id), None, std::slice::from_ref(&taken)).unwrap();
        // A repeated outcome for the old tag does not change the new tag.
        world.observe(Some(id), None, &[taken]).unwrap();
    }
    assert_eq!(
        tried,
        [
            "production-20261121-100000-a1b2c3d4", // The first tag ends with the commit.
            "production-20261121-100000-01010101", // The second tag ends with the digest.
            "production-20261121-100001-01010101", // Each further tag has a later second.
            "production-20261121-100002-01010101",
        ]
    );
    world.settle();
    let build = &world.builds[&digest(1)];
    assert_eq!((build.tagged, build.names_taken), (true, 4));
    assert!(tried.iter().all(|name| world.tag(name) == Some(&digest(9))), "taken tags stay on their images");
}

#[test]
fn approval_request_waits_for_the_build_tag() {
    let mut world = World::new(application(TWO, ""));
    let id = world.push(0, 1).unwrap();
    let pending = |world: &World| pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil());
    assert!(matches!(pending(&world)[..], [Effect::TagBuild(_), Effect::Inspect]));
    let valid = Outcome::Validated { configuration: 1, result: Ok(Vec::new()) };
    world.observe(Some(id), None, &[Input::Outcome(valid)]).unwrap();
    assert!(matches!(pending(&world)[..], [Effect::TagBuild(_)]));
    world.observe(Some(id), None, &[Input::Outcome(Outcome::BuildTagged)]).unwrap();
    let [lead, second] = ["lead", "second"].map(|name| Effect::Ask(approver(name)));
    assert_eq!(pending(&world), [lead, second.clone(), Effect::CheckSubscriptions]);
    let token = TokenHash("a".repeat(64));
    let asked =
        Outcome::ApprovalRequested { approver: approver("lead"), token, mail: "lead@example.com".to_owned() };
    world.observe(Some(id), None, &[Input::Outcome(asked)]).unwrap();
    assert_eq!(pending(&world), [second, Effect::CheckSubscriptions]);
}

fn fail(world: &mut World, id: OperationId, times: usize) -> i64 {
    let problem = Input::Outcome(Outcome::Problem("throttled".to_owned()));
    world.observe(Some(id), None, &vec![problem; times]).unwrap();
    pause(world, id)
}

#[test]
fn several_failures_in_one_attempt_count_as_one_failure() {
    let mut world = World::new(application(TWO, ""));
    let id = world.push(0, 1).unwrap();
    assert_eq!([fail(&mut world, id, 4), fail(&mut world, id, 4)], [60, 120]);
}

#[test]
fn stable_tag_is_retried_with_backoff_if_ecr_fails() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    let pauses = [0; 6].map(|_| fail(&mut world, id, 1) / 60);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
    world.now += SignedDuration::from_mins(16);
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
    assert_eq!((world.operations[&id].failures, world.operations[&id].problem.clone()), (0, None));
}

#[test]
fn failing_calls_of_a_rollback_are_retried_every_minute() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    assert_eq!([0; 4].map(|_| fail(&mut world, id, 1)), [60; 4]);
    world.now += SignedDuration::from_mins(1);
    let service = world.services.keys().next().unwrap().clone();
    let deployed = world::deployed_as("d", service);
    world.observe(Some(id), None, &[Input::Outcome(deployed)]).unwrap();
    let operation = &world.operations[&id];
    assert_eq!((operation.failures, operation.problem.clone()), (0, None), "a success clears the failures");
}

#[test]
fn nudge_ends_a_retry_pause_but_a_tick_does_not() {
    let mut world = World::new(application(TWO, ""));
    let id = asked(&mut world, 0, 1);
    world.configuration.application.environments[0].approval.approvers.push(approver("third"));
    fail(&mut world, id, 1);
    let due = world.operations[&id].wake_at;
    world.now += SignedDuration::from_secs(10);
    world.tick(id);
    assert_eq!(world.operations[&id].wake_at, due);
    world.observe(Some(id), None, &[Input::Nudge]).unwrap();
    assert_eq!(world.operations[&id].wake_at, Some(world.now));
}

#[test]
fn rollback_sets_a_new_pin_only_after_its_services_are_proven() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
        assert_eq!(world.pins.len(), 2, "a deployed service is not proven yet");
    }
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    let pin = world.environment.pin.clone().unwrap();
    assert_eq!((pin.number.get(), &pin.digest, pin.by), (3, &digest(1), id));
    assert_eq!(world.subject(Some(id), None).rollback().unwrap().pin, Some(pin.number));
    check(&world);
}

#[test]
fn rollback_to_the_current_pin_sets_no_new_pin() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.settle();
    assert_eq!((rollback_state(&world, id), world.pins.len()), (RollbackState::Completed, 1));
}

#[test]
fn rollback_without_services_only_sets_the_pin() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    assert_eq!(world.pins.len(), 3, "there is no service to wait for");
    world.settle();
    let subject = world.subject(Some(id), None);
    let rollback = subject.rollback().unwrap();
    assert_eq!(rollback.state, RollbackState::Completed);
    assert_eq!(rollback.backup, None);
    assert!(rollback.reason.as_ref().unwrap().to_string().starts_with("no services; pinned"));
    check(&world);
}

#[test]
fn rollback_does_not_wait_for_the_backup_tag() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let subject = world.subject(Some(id), None);
    let backup = subject.rollback().unwrap().backup.clone().unwrap();
    assert_eq!(backup.digest, digest(0));
    assert!(world.intents.contains(&(backup.tag.clone(), digest(0))), "the backup tag is recorded as ours");
    let service = world.services.keys().next().unwrap().clone();
    let outcomes = [
        world::deployed_as("d", service.clone()),
        Outcome::Service(Direction::Forward, service, Observation::Proven { tasks: 2 }),
    ];
    world.observe(Some(id), None, &outcomes.map(Input::Outcome)).unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    assert_eq!(world.tags.get(&backup.tag), None);
}

#[test]
fn rollback_from_several_live_digests_puts_no_backup_tag() {
    let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
    pinned(&mut world, 0, 1);
    let service = world.services.keys().next().unwrap().clone();
    world.deploy_by_hand(&service, digest(7));
    let id = world.roll_back("stable").unwrap();
    assert_eq!(world.subject(Some(id), None).rollback().unwrap().backup, None);
    world.settle();
    assert!(world.environment.rolled_back_from.contains(&digest(7)));
}

#[test]
fn failed_rollback_names_each_service_and_reason() {
    let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let failed: Vec<_> = world
        .services
        .keys()
        .map(|service| {
            Outcome::Service(
                Direction::Forward,
                service.clone(),
                Observation::Failed { reason: "gone".to_owned() },
            )
        })
        .map(Input::Outcome)
        .collect();
    world.observe(Some(id), None, &failed).unwrap();
    let subject = world.subject(Some(id), None);
    let rollback = subject.rollback().unwrap();
    assert_eq!(rollback.state, RollbackState::Failed, "no service was moved");
    assert_eq!(
        rollback.reason.as_ref().unwrap().to_string(),
        "Stablepin changed nothing: prod/web: gone; prod/worker: gone"
    );
    assert!(
        rollback.rollout.services.iter().all(|rollout| matches!(rollout.progress, Progress::Failed { .. }))
    );
    assert_eq!((world.environment.slot.clone(), world.pins.len()), (None, 1));
    world.roll_back("stable").expect("a new rollback must be possible");
}

#[test]
fn failure_to_put_the_stable_tag_blocks_no_rollback() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    world.begin(id);
    while world.environment.pin.as_ref().unwrap().number.get() == 2 {
        while !world.flights.is_empty() {
            world.land(0, true);
        }
        world.wait(5);
        world.begin(id);
    }
    assert_eq!(
        [fail(&mut world, id, 1), fail(&mut world, id, 1)],
        [60, 120],
        "the tag is retried with backoff"
    );
    assert_eq!(rollback_state(&world, id), RollbackState::InProgress, "the tag is still pending");
    world.roll_back("2").unwrap();
    world.flights.clear();
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    check(&world);
}

#[test]
fn removal_of_an_environment_ends_its_running_operations() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    let approved = asked(&mut world, 0, 1);
    world.vote(approved, "lead", Verdict::Approve).unwrap();
    let rollback = world.roll_back("stable").unwrap();
    world.configuration.application.environments[0].name =
        stablepin_rules::name::EnvironmentName::parse("other").unwrap();
    world.tick(approved);
    world.tick(rollback);
    assert_eq!(ended(&world, approved).0, PromotionState::Failed);
    assert_eq!(rollback_state(&world, rollback), RollbackState::Failed);
    assert_eq!(world.environment.slot, None);
    world.settle(); // Sends every notice.
    let looked_at = world.operations.values().filter(|operation| operation.wake_at.is_some()).count();
    assert_eq!(looked_at, 0, "no operation has a next check");
}

#[test]
fn reason_is_stored_as_one_readable_line() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    let mut decision = world.decision(next, "lead", Verdict::Reject);
    decision.reason = Some("<b>no</b>\r\n\r\nApproved by \u{202e}everybody".to_owned());
    world.observe(Some(next), None, &[Input::Decision(decision)]).unwrap();
    let reason = "rejected by lead: <b>no</b> Approved by everybody".to_owned();
    assert_eq!(ended(&world, next), (PromotionState::Cancelled, Some(reason.clone())));
    assert_eq!(world.audit.last().unwrap().reason, Some(reason));

    let mut request = world.rollback_request("stable").unwrap();
    request.reason = Some("\n\u{200b}\r".to_owned());
    let id = request.id;
    world.observe(None, None, &[Input::RollbackRequested(Box::new(request))]).unwrap();
    assert_eq!(world.subject(Some(id), None).rollback().unwrap().ask_reason, None);
}

#[test]
fn build_that_is_pushed_again_keeps_its_build_tag() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let name = world.builds[&digest(1)].build_tag.clone();
    let again = asked(&mut world, 9, 1);
    assert_eq!(world.builds[&digest(1)].build_tag, name, "a build keeps its first name");
    assert_eq!(state(&world, again), PromotionState::Pending);
    let tags: Vec<&ImageTag> =
        world.tags.keys().filter(|tag| tag.as_str().starts_with("production-")).collect();
    assert_eq!(tags, [&name.tag()]);
}

#[test]
fn rollback_is_refused_if_a_new_pin_changed_its_target() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let stale = world.rollback_request("stable").unwrap();
    pinned(&mut world, 1, 2);
    let asked = world.observe(None, None, &[Input::RollbackRequested(Box::new(stale))]);
    assert!(matches!(asked, Err(Refusal::PinMoved { .. })), "`stable` is another pin now: {asked:?}");
    assert_eq!(
        (world.environment.slot.clone(), world.environment.pin.as_ref().unwrap().number.get()),
        (None, 2)
    );
}

#[test]
fn running_digest_is_still_a_target_after_a_failed_rollback() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    assert!(world.environment.rolled_back_from.is_empty());
    let service = world.services.keys().next().unwrap().clone();
    let gone = Observation::Failed { reason: "the service no longer exists".to_owned() };
    world
        .observe(Some(id), None, &[Input::Outcome(Outcome::Service(Direction::Forward, service, gone))])
        .unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
    assert!(world.environment.rolled_back_from.is_empty(), "the running digest is still a valid target");
}

#[test]
fn rollback_of_some_services_does_not_change_the_pin() {
    let mut world = World::new(application(ONE, "\"prod/web\", \"prod/worker\""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let mut request = world.rollback_request("1").unwrap();
    request.services.truncate(1);
    let id = request.id;
    world.observe(None, None, &[Input::RollbackRequested(Box::new(request))]).unwrap();
    world.settle();
    assert_eq!((rollback_state(&world, id), world.pins.len()), (RollbackState::Completed, 2));
    let subject = world.subject(Some(id), None);
    assert!(subject.rollback().unwrap().reason.as_ref().unwrap().to_string().contains("the pin stays"));
    check(&world);
}

/// ECS's circuit breaker deployed the digest. Only a deployment by Stablepin can prove that a
/// digest runs.
#[test]
fn rule_10_ecs_rollback_does_not_prove_that_a_digest_runs() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let service = world.services.keys().next().unwrap().clone();
    world.observe(Some(id), None, &[Input::Outcome(world::deployed_as("d", service.clone()))]).unwrap();
    let seen = Observation::Returned { reason: "ECS rolled it back".to_owned(), digest: Some(digest(1)) };
    world
        .observe(Some(id), None, &[Input::Outcome(Outcome::Service(Direction::Forward, service, seen))])
        .unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
}

#[test]
fn deleted_build_gets_its_tag_again_after_a_new_push() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Reject).unwrap();
    world.settle();
    let named = world.builds[&digest(1)].build_tag.clone();
    // Retention deletes the image and its tags.
    world.builds.get_mut(&digest(1)).unwrap().tagged = false;
    world.tags.remove(&named.tag());
    let again = world.push(900, 1).unwrap();
    let build = &world.builds[&digest(1)];
    let pending = pending_effects(world.now, &world.subject(Some(again), None), Uuid::nil());
    let first = [Effect::TagBuild(build.clone()), Effect::Inspect];
    assert_eq!(pending, first, "the approver is asked after the tag is put");
    assert!(world.intents.contains(&(named.tag(), digest(1))), "the tag is recorded before it is put");
    world.settle();
    assert_eq!((world.tag(named.tag().as_str()), world.builds[&digest(1)].tagged), (Some(&digest(1)), true));
    world.vote(again, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.pins[0].build_tag, named, "the build keeps its name");
}

#[test]
fn promotion_fails_after_the_second_refusal_of_its_build_tag() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    let refused = || Input::Outcome(Outcome::BuildTagRefused("AccessDeniedException".to_owned()));
    world.observe(Some(id), None, &[refused()]).unwrap();
    assert_eq!((state(&world, id), world.operations[&id].failures), (PromotionState::Pending, 1));
    world.observe(Some(id), None, &[refused()]).unwrap();
    let said = Some("Stablepin changed nothing: AccessDeniedException".to_owned());
    assert_eq!(ended(&world, id), (PromotionState::Failed, said));
    assert_eq!(world.environment.hold, None);
    world.settle();
    assert_eq!(world.operations[&id].wake_at, None);
    pinned(&mut world, 1, 2);
}

/// If no approval is required, a promotion can set the pin, or start its deployment, before ECR
/// refuses the build tag.
#[test]
fn pinned_promotion_completes_if_ecr_refuses_its_build_tag() {
    const NONE: &str = "required = 0";
    let worlds = [
        World::new(application(NONE, "")),
        World::new(application(NONE, "\"prod/web\"")),
        World::new(deployed(NONE, "\"prod/web\"")),
    ];
    for (world, stable_is_refused) in
        worlds.into_iter().flat_map(|world| [(world.clone(), false), (world, true)])
    {
        let mut world = world;
        world.build_tags_are_refused = true;
        world.tags_are_refused = stable_is_refused;
        let id = world.push(0, 1).unwrap();
        world.settle();
        let (state, reason) = ended(&world, id);
        let reason = reason.unwrap();
        assert_eq!(state, PromotionState::Completed);
        assert!(reason.starts_with("pinned as pin 1; ") && reason.contains("KmsException"), "{reason}");
        assert!(reason.contains(&world.builds[&digest(1)].build_tag.to_string()), "{reason}");
        assert_eq!(reason.contains("AccessDeniedException"), stable_is_refused, "{reason}");
        assert_eq!(world.tag(STABLE).is_none(), stable_is_refused);
        assert_eq!(world.operations[&id].notified, [Notice::TagTaken].into());
        assert_eq!(world.operations[&id].wake_at, None);
        assert!(!world.builds[&digest(1)].tagged, "a later promotion tries the tag again");
    }
}

#[test]
fn build_tag_is_tried_again_after_the_first_refusal() {
    let mut world = World::new(application("required = 0", ""));
    let id = world.push(0, 1).unwrap();
    world.build_tags_are_refused = true;
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
    }
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.build_tags_are_refused = false;
    world.settle();
    assert_eq!(ended(&world, id), (PromotionState::Completed, Some("pinned as pin 1".to_owned())));
    assert!(world.builds[&digest(1)].tagged && world.operations[&id].notified.is_empty());
}

/// ECR refuses both tags in the first attempt.
#[test]
fn two_refused_tags_of_one_attempt_count_as_one_refusal() {
    let mut world = World::new(application("required = 0", ""));
    (world.build_tags_are_refused, world.tags_are_refused) = (true, true);
    let id = world.push(0, 1).unwrap();
    let valid = Outcome::Validated { configuration: 1, result: Ok(Vec::new()) };
    world.observe(Some(id), None, &[Input::Outcome(valid)]).unwrap();
    let effects = pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil());
    let refused: Vec<_> =
        effects.iter().map(|effect| Input::Outcome(world.take_effect(id, effect))).collect();
    assert_eq!(refused.len(), 2);
    world.observe(Some(id), None, &refused).unwrap();
    assert_eq!((state(&world, id), world.operations[&id].failures), (PromotionState::InProgress, 1));
    assert_eq!(world.environment.tag_taken, None, "a new permission may not be effective yet");
    world.observe(Some(id), None, &refused).unwrap();
    assert_eq!(state(&world, id), PromotionState::Completed);
}
