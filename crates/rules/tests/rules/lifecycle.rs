//! How promotions and rollbacks begin, wait and end.

use jiff::SignedDuration;
use stablepin_rules::audit::Actor;
use stablepin_rules::effect::{Effect, Observation, Outcome, pending_effects};
use stablepin_rules::image::ImageTag;
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::{
    Direction, OperationId, Progress, PromotionState, RollbackState, TokenHash, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Decision, Input};
use uuid::Uuid;

use crate::world::{self, World, application, approver, digest};
use crate::{ONE, TWO, asked, check, pinned, rollback_state, state};

fn ended(world: &World, id: OperationId) -> (PromotionState, Option<String>) {
    let subject = world.subject(Some(id), None);
    let promotion = subject.promotion().unwrap();
    (promotion.state, promotion.reason.clone())
}

fn pause(world: &World, id: OperationId) -> i64 {
    (world.operations[&id].wake_at.unwrap() - world.now).get_seconds()
}

#[test]
fn four_approvers_three_of_whom_must_approve() {
    let mut application = application(TWO, "");
    let names: Vec<ApproverName> = ["ann", "bob", "cyd", "dan"].map(approver).to_vec();
    application.environments[0].approval.approvers = names;
    application.environments[0].approval.required = 3;
    let mut world = World::new(application);
    let id = asked(&mut world, 0, 1);
    assert_eq!(world.tokens.len(), 4, "each is asked");
    for (name, pins) in [("dan", 0), ("ann", 0), ("cyd", 1)] {
        world.now += SignedDuration::from_secs(1);
        world.vote(id, name, Verdict::Approve).unwrap();
        assert_eq!(world.pins.len(), pins, "after {name}");
    }
    assert!(world.vote(id, "bob", Verdict::Approve).is_err(), "it is decided");
    let said = world.audit.iter().find(|record| record.to == "1").unwrap();
    assert_eq!(said.actor, Actor::Link { approver: approver("cyd") }, "who made it a pin");
}

#[test]
fn what_nobody_decides_expires_and_says_so() {
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
fn what_was_approved_in_time_does_not_expire_while_a_rollback_runs() {
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
    assert_eq!(pause(&world, next), 60, "looked at again every minute");
    world.settle();
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    world.now += SignedDuration::from_mins(1);
    world.settle();
    assert_eq!(state(&world, next), PromotionState::Completed);
}

#[test]
fn what_a_hold_keeps_back_expires_and_says_why() {
    let mut world = World::new(application(TWO, "\"prod/web\""));
    pinned_by_both(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.roll_back("stable").unwrap();
    world.settle();
    // One is enough from now on: both approvals that there are were given before the hold.
    world.configuration.application.environments[0].approval.required = 1;
    world.now += SignedDuration::from_mins(1);
    world.tick(next);
    assert_eq!((state(&world, next), world.pins.len()), (PromotionState::Pending, 1), "held");
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
fn an_approval_given_after_the_rollback_began_releases_the_hold() {
    let mut world = World::new(application(TWO, "\"prod/web\""));
    pinned_by_both(&mut world, 0, 1);
    let next = asked(&mut world, 1, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    world.roll_back("stable").unwrap();
    world.settle();
    assert!(world.environment.hold.is_some(), "also when the rollback has ended");
    world.now += SignedDuration::from_secs(1);
    world.vote(next, "second", Verdict::Approve).unwrap();
    assert_eq!((world.pins.len(), world.environment.hold.clone()), (2, None));
}

#[test]
fn the_approval_of_who_has_left_releases_no_hold() {
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
    // The third leaves, and one approval is enough: the one that is left was given before the hold.
    let policy = &mut world.configuration.application.environments[0].approval;
    (policy.required, policy.approvers) = (1, ["lead", "second"].map(approver).to_vec());
    world.now += SignedDuration::from_mins(1);
    world.tick(next);
    assert_eq!((world.pins.len(), world.environment.hold.is_some()), (1, true));
}

#[test]
fn nobody_is_asked_where_nobody_must_approve() {
    let mut world = World::new(application("required = 0", ""));
    let id = world.push(0, 1).unwrap();
    assert_eq!(world.pins.len(), 1, "pinned with the push");
    world.settle();
    assert_eq!((state(&world, id), world.tokens.len()), (PromotionState::Completed, 0));
    let said = world.audit.iter().find(|record| record.to == "1").unwrap();
    assert_eq!(said.actor, Actor::Push);
}

#[test]
fn an_environment_that_leaves_the_configuration_withdraws_what_is_open() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.configuration.application.environments[0].name =
        stablepin_rules::name::EnvironmentName::parse("other").unwrap();
    assert!(world.vote(id, "lead", Verdict::Approve).is_err());
    world.tick(id);
    let withdrawn = Some("withdrawn: the environment left the configuration".to_owned());
    assert_eq!(ended(&world, id), (PromotionState::Cancelled, withdrawn));
}

#[test]
fn names_are_tried_until_one_is_free() {
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
        // An answer about a name that was left is no answer about the next.
        world.observe(Some(id), None, &[taken]).unwrap();
    }
    assert_eq!(
        tried,
        [
            "production-20261121-100000-a1b2c3d4", // the commit's
            "production-20261121-100000-01010101", // the digest's
            "production-20261121-100001-01010101", // and a second later, and again
            "production-20261121-100002-01010101",
        ]
    );
    world.settle();
    let build = &world.builds[&digest(1)];
    assert_eq!((build.tagged, build.names_taken), (true, 4));
    assert!(tried.iter().all(|name| world.tag(name) == Some(&digest(9))), "what others have is left");
}

#[test]
fn a_mail_names_the_build_so_it_waits_for_the_name() {
    let mut world = World::new(application(TWO, ""));
    let id = world.push(0, 1).unwrap();
    let owes = |world: &World| pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil());
    assert!(matches!(owes(&world)[..], [Effect::TagBuild(_)]));
    world.observe(Some(id), None, &[Input::Outcome(Outcome::BuildTagged)]).unwrap();
    let [lead, second] = ["lead", "second"].map(|name| Effect::Ask(approver(name)));
    assert_eq!(owes(&world), [lead, second.clone(), Effect::CheckSubscriptions]);
    let token = TokenHash("a".repeat(64));
    let asked =
        Outcome::ApprovalRequested { approver: approver("lead"), token, mail: "lead@example.com".to_owned() };
    world.observe(Some(id), None, &[Input::Outcome(asked)]).unwrap();
    assert_eq!(owes(&world), [second, Effect::CheckSubscriptions]);
}

fn fail(world: &mut World, id: OperationId, times: usize) -> i64 {
    let problem = Input::Outcome(Outcome::Problem("throttled".to_owned()));
    world.observe(Some(id), None, &vec![problem; times]).unwrap();
    pause(world, id)
}

#[test]
fn several_failures_of_one_attempt_are_one() {
    let mut world = World::new(application(TWO, ""));
    let id = world.push(0, 1).unwrap();
    assert_eq!([fail(&mut world, id, 4), fail(&mut world, id, 4)], [60, 120]);
}

#[test]
fn a_stable_tag_that_cannot_be_put_is_tried_after_longer_and_longer() {
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
fn a_rollback_is_tried_every_minute_however_often_it_failed() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    assert_eq!([0; 4].map(|_| fail(&mut world, id, 1)), [60; 4]);
    world.now += SignedDuration::from_mins(1);
    let service = world.services.keys().next().unwrap().clone();
    let deployed = world::deployed_as("d", service);
    world.observe(Some(id), None, &[Input::Outcome(deployed)]).unwrap();
    let operation = &world.operations[&id];
    assert_eq!((operation.failures, operation.problem.clone()), (0, None), "it worked");
}

#[test]
fn time_alone_does_not_cut_a_pause_short_but_news_do() {
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
fn a_rollback_to_another_pin_is_a_new_pin_and_only_when_it_is_proven() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
        assert_eq!(world.pins.len(), 2, "deployed is not proven");
    }
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    let pin = world.environment.pin.clone().unwrap();
    assert_eq!((pin.number.get(), &pin.digest, pin.by), (3, &digest(1), id));
    assert_eq!(world.subject(Some(id), None).rollback().unwrap().pin, Some(pin.number));
    check(&world);
}

#[test]
fn a_rollback_to_the_current_pin_changes_no_pin() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    world.settle();
    assert_eq!((rollback_state(&world, id), world.pins.len()), (RollbackState::Completed, 1));
}

#[test]
fn an_environment_without_services_only_moves_its_pin() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    pinned(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    assert_eq!(world.pins.len(), 3, "there is nothing to wait for");
    world.settle();
    let subject = world.subject(Some(id), None);
    let rollback = subject.rollback().unwrap();
    assert_eq!(rollback.state, RollbackState::Completed);
    assert_eq!(rollback.backup, None);
    assert!(rollback.reason.as_ref().unwrap().starts_with("no services here; pinned"));
    check(&world);
}

#[test]
fn what_was_live_gets_a_backup_tag_and_nobody_waits_for_it() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    let subject = world.subject(Some(id), None);
    let backup = subject.rollback().unwrap().backup.clone().unwrap();
    assert_eq!(backup.digest, digest(0));
    assert!(world.intents.contains(&(backup.tag.clone(), digest(0))), "it is known as ours");
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
fn where_more_than_one_digest_is_live_there_is_no_one_backup() {
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
fn a_rollback_that_failed_says_which_service_and_why() {
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
    assert_eq!(rollback.state, RollbackState::Failed, "nothing was applied");
    assert_eq!(rollback.reason.as_deref(), Some("nothing was touched: prod/web: gone; prod/worker: gone"));
    assert!(
        rollback.rollout.services.iter().all(|rollout| matches!(rollout.progress, Progress::Failed { .. }))
    );
    assert_eq!((world.environment.slot.clone(), world.pins.len()), (None, 1));
    world.roll_back("stable").expect("it can be asked for again");
}

#[test]
fn a_stable_tag_that_cannot_be_put_keeps_no_other_rollback_waiting() {
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
    assert_eq!([fail(&mut world, id, 1), fail(&mut world, id, 1)], [60, 120], "tried less and less often");
    assert_eq!(rollback_state(&world, id), RollbackState::InProgress, "the tag is owed");
    world.roll_back("2").unwrap();
    world.flights.clear();
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Completed);
    check(&world);
}

#[test]
fn an_environment_that_leaves_the_configuration_ends_what_is_on_its_way() {
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
    world.settle(); // Everybody is told.
    let looked_at = world.operations.values().filter(|operation| operation.wake_at.is_some()).count();
    assert_eq!(looked_at, 0, "nothing is looked at again");
}

#[test]
fn reasons_are_kept_on_one_readable_line() {
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
fn the_same_image_may_have_been_named_by_another_environment() {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let name = world.builds[&digest(1)].build_tag.clone();
    let again = asked(&mut world, 9, 1);
    assert_eq!(world.builds[&digest(1)].build_tag, name, "chosen once, at first sight");
    assert_eq!(state(&world, again), PromotionState::Pending);
    let tags: Vec<&ImageTag> =
        world.tags.keys().filter(|tag| tag.as_str().starts_with("production-")).collect();
    assert_eq!(tags, [&name.tag()]);
}

#[test]
fn a_rollback_that_was_prepared_before_the_pin_moved_touches_nothing() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let stale = world.rollback_request("stable").unwrap();
    pinned(&mut world, 1, 2);
    let asked = world.observe(None, None, &[Input::RollbackRequested(Box::new(stale))]);
    assert!(matches!(asked, Err(Refusal::PinMoved { .. })), "`stable` means another pin by now: {asked:?}");
    assert_eq!(
        (world.environment.slot.clone(), world.environment.pin.as_ref().unwrap().number.get()),
        (None, 2)
    );
}

#[test]
fn a_rollback_that_moved_nothing_left_nothing() {
    let mut world = World::new(application(ONE, "\"prod/web\""));
    pinned(&mut world, 0, 1);
    let id = world.roll_back("stable").unwrap();
    assert!(world.environment.rolled_back_from.is_empty());
    let service = world.services.keys().next().unwrap().clone();
    let gone = Observation::Failed { reason: "the service is not there any more".to_owned() };
    world
        .observe(Some(id), None, &[Input::Outcome(Outcome::Service(Direction::Forward, service, gone))])
        .unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
    assert!(world.environment.rolled_back_from.is_empty(), "what runs is as good as it was");
}

#[test]
fn a_part_of_the_services_does_not_move_the_pin() {
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
    assert!(subject.rollback().unwrap().reason.as_ref().unwrap().contains("the pin stays"));
    check(&world);
}

/// ECS's circuit breaker brought it there, not our deployment: nobody has proven it.
#[test]
fn rule_10_what_ecs_went_back_to_by_itself_is_not_proven() {
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
fn a_build_whose_image_was_deleted_gets_its_build_tag_again_when_it_is_pushed_again() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Reject).unwrap();
    world.settle();
    let named = world.builds[&digest(1)].build_tag.clone();
    // Retention deletes the image, and its tags with it.
    world.builds.get_mut(&digest(1)).unwrap().tagged = false;
    world.tags.remove(&named.tag());
    let again = world.push(900, 1).unwrap();
    let build = &world.builds[&digest(1)];
    let owes = pending_effects(world.now, &world.subject(Some(again), None), Uuid::nil());
    assert_eq!(owes, [Effect::TagBuild(build.clone())], "its approver is asked when it has its name again");
    assert!(world.intents.contains(&(named.tag(), digest(1))), "recorded before it is put");
    world.settle();
    assert_eq!((world.tag(named.tag().as_str()), world.builds[&digest(1)].tagged), (Some(&digest(1)), true));
    world.vote(again, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.pins[0].build_tag, named, "the name that it always had");
}

#[test]
fn build_whose_tag_is_refused_ends_at_the_second_try() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    let refused = || Input::Outcome(Outcome::BuildTagRefused("AccessDeniedException".to_owned()));
    world.observe(Some(id), None, &[refused()]).unwrap();
    assert_eq!((state(&world, id), world.operations[&id].failures), (PromotionState::Pending, 1));
    world.observe(Some(id), None, &[refused()]).unwrap();
    let said = Some("nothing was touched: AccessDeniedException".to_owned());
    assert_eq!(ended(&world, id), (PromotionState::Failed, said));
    assert_eq!(world.environment.hold, None);
    world.settle();
    assert_eq!(world.operations[&id].wake_at, None);
    pinned(&mut world, 1, 2);
}
