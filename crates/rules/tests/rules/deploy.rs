//! Tests of promotions that deploy to services: a deployment is proven, fails or is reverted.

use jiff::SignedDuration;
use proptest::prelude::*;
use stablepin_rules::application::ServiceName;
use stablepin_rules::audit::{Actor, Kind};
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::records::{
    Destination, Direction, Notice, Progress, Promotion, PromotionState, RollbackState, SlotKind, Verdict,
    Work,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{EnvironmentAction, EnvironmentCommand, Input};

use crate::world::{World, approver, deployed, digest};
use crate::{Event, ONE, asked, check, event, happen, rollback_state, state};

const WEB: &str = "\"prod/web\"";
const BOTH: &str = "\"prod/web\", \"prod/worker\"";

fn promotion(world: &World, id: OperationId) -> Promotion {
    world.subject(Some(id), None).promotion().unwrap().clone()
}

fn approve(world: &mut World, id: OperationId) {
    world.now += SignedDuration::from_secs(1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
}

/// Pushes and approves a build, and runs the world until nothing changes any more.
fn promoted(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    approve(world, id);
    world.settle();
    id
}

fn running(world: &World) -> Vec<u8> {
    let n = |digest: &stablepin_rules::image::ImageDigest| {
        u8::from_str_radix(&digest.as_str()["sha256:".len()..][..2], 16).unwrap()
    };
    world.services.values().map(|running| n(&running.digest)).collect()
}

fn pins(world: &World) -> usize {
    world.pins.len()
}

/// Carries out every effect that the operation has pending now, and commits the outcomes.
fn carries_out(world: &mut World, id: OperationId) {
    world.begin(id);
    while !world.flights.is_empty() {
        world.land(0, true);
    }
}

/// Pushes and approves a build, and deploys the build to every service. No service is proven yet.
fn deployed_everywhere(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    approve(world, id);
    while running(world).iter().any(|one| *one != n) {
        carries_out(world, id);
    }
    id
}

/// Pushes, approves and deploys a build, and proves every service, so that the bake starts.
fn baking(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = deployed_everywhere(world, at, n);
    while promotion(world, id).rollout.unwrap().bake.is_none() {
        world.tick(id);
        carries_out(world, id);
        world.wait(5);
    }
    id
}

fn service(world: &World, n: usize) -> ServiceName {
    world.services.keys().nth(n).unwrap().clone()
}

fn heard(service: &ServiceName, seen: Observation) -> Input {
    Input::Outcome(Outcome::Service(Direction::Forward, service.clone(), seen))
}

fn going(paused: bool) -> Observation {
    Observation::Going { seen: "1 of 2 tasks running".to_owned(), paused }
}

fn out_of_reach() -> Input {
    Input::Outcome(Outcome::Problem("AccessDenied".to_owned()))
}

#[test]
fn approved_build_is_pinned_after_its_deployment_and_bake() {
    let mut world = World::new(deployed(ONE, BOTH));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let slot = world.environment.slot.clone().unwrap();
    assert_eq!((slot.operation, slot.kind), (id, SlotKind::Promotion));
    world.begin(id);
    assert!(matches!(world.flights[..], [crate::world::Flight { effect: Effect::Prepare, .. }]));
    world.land(0, true);
    assert_eq!(running(&world), [0, 0], "prepare changes no service");
    let approved = world.now;
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1, 1], PromotionState::Completed));
    let pin = world.environment.pin.clone().unwrap();
    assert!(pin.at >= approved + SignedDuration::from_mins(2), "the pin comes after the bake");
    assert_eq!(pin.revisions.len(), 2, "the revision that proved each service");
    assert_eq!((world.tag("production-current"), world.environment.slot.clone()), (Some(&digest(1)), None));
    check(&world);
}

#[test]
fn broken_release_is_reverted_and_reported() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(2));
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1, 1], PromotionState::RolledBack));
    assert_eq!((pins(&world), world.tag(crate::world::STABLE)), (1, Some(&digest(1))));
    let said = promotion(&world, bad).reason.unwrap().to_string();
    let breaker = "circuit breaker: task failed to start";
    assert!(said.contains(breaker) && said.contains("was rolled back"), "{said}");
    assert!(world.environment.hold.is_some() && world.environment.rolled_back_from.contains(&digest(2)));
    assert_eq!(world.operations[&bad].notified, [Notice::GoingBack, Notice::Ended].into());
    check(&world);
}

#[test]
fn release_is_reverted_if_an_endpoint_check_fails() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.unresponsive.insert(digest(2));
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1], PromotionState::RolledBack));
    assert!(promotion(&world, bad).reason.unwrap().to_string().contains("answered 500"));
}

#[test]
fn release_that_breaks_during_its_bake_is_reverted() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while promotion(&world, id).rollout.is_none_or(|rollout| rollout.bake.is_none()) {
        world.tick(id);
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
        world.wait(5);
    }
    assert_eq!(pins(&world), 1, "the bake is in progress");
    world.broken.insert(digest(2));
    world.settle();
    assert_eq!((running(&world), state(&world, id), pins(&world)), (vec![1], PromotionState::RolledBack, 1));
}

#[test]
fn failed_first_promotion_restores_the_digest_of_each_service() {
    let mut world = World::new(deployed(ONE, BOTH));
    let worker = world.services.keys().nth(1).unwrap().clone();
    world.deploy_by_hand(&worker, digest(9));
    world.broken.insert(digest(1));
    let bad = promoted(&mut world, 0, 1);
    assert_eq!((running(&world), state(&world, bad)), (vec![0, 9], PromotionState::RolledBack));
    assert_eq!(promotion(&world, bad).revert.unwrap().destination, Destination::Before);
    assert_eq!((pins(&world), world.environment.pin.clone()), (0, None));
}

#[test]
fn stablepin_starts_no_revert_if_ecs_rolls_back_to_the_pin() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(2));
    world.breaker = true;
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1, 1], PromotionState::RolledBack));
    assert_eq!(promotion(&world, bad).revert, None, "we reverted nothing");
    assert!(promotion(&world, bad).reason.unwrap().to_string().contains("ECS rolled back to pin 1"));
    assert!(world.services.values().all(|running| running.deployment == "breaker"));
}

#[test]
fn pin_is_deployed_if_ecs_rolls_back_to_another_digest() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let web = world.services.keys().next().unwrap().clone();
    world.deploy_by_hand(&web, digest(9));
    world.broken.insert(digest(2));
    world.breaker = true;
    let bad = promoted(&mut world, 1, 2);
    assert_eq!((running(&world), state(&world, bad)), (vec![1], PromotionState::RolledBack));
}

#[test]
fn revert_replaces_an_ecs_rollback_that_never_ends() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    let web = world.services.keys().next().unwrap().clone();
    while running(&world) != [2] {
        world.begin(id);
        world.land(0, true);
    }
    let returning = Outcome::Service(
        Direction::Forward,
        web,
        Observation::Returning { reason: "circuit breaker".to_owned() },
    );
    for _ in 0..14 {
        world.observe(Some(id), None, &[Input::Outcome(returning.clone()), Input::Tick]).unwrap();
        assert_eq!(promotion(&world, id).revert, None, "no revert during ECS's rollback");
        world.wait(60);
    }
    world.wait(120);
    world.tick(id);
    assert!(promotion(&world, id).revert.is_some());
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1], PromotionState::RolledBack));
}

#[test]
fn deployment_by_another_caller_is_not_reverted() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = deployed_everywhere(&mut world, 1, 2);
    let web = service(&world, 0);
    world.deploy_by_hand(&web, digest(9));
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![9], PromotionState::Failed));
    assert!(world.environment.hold.is_some());
    assert_eq!(promotion(&world, id).revert, None);
    let said = promotion(&world, id).reason.unwrap().to_string();
    assert!(said.ends_with("Stablepin did not change what runs there now"), "{said}");
}

#[test]
fn release_reverts_the_services_that_no_other_caller_changed() {
    for theirs in [0, 1] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let id = deployed_everywhere(&mut world, 1, 2);
        let taken = service(&world, theirs);
        world.deploy_by_hand(&taken, digest(9));
        world.settle();
        let mut expected = vec![1, 1];
        expected[theirs] = 9;
        assert_eq!((running(&world), state(&world, id)), (expected, PromotionState::Failed));
        assert!(world.environment.hold.is_some() && world.environment.rolled_back_from.contains(&digest(2)));
        let said = promotion(&world, id).reason.unwrap().to_string();
        assert!(
            said.starts_with(&format!("{taken}: "))
                && said.contains("Stablepin did not change what runs there now. Every other"),
            "{said}"
        );
        check(&world);
    }
}

#[test]
fn superseded_release_waits_for_the_end_of_an_ecs_rollback() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = deployed_everywhere(&mut world, 1, 2);
    let (web, worker) = (service(&world, 0), service(&world, 1));
    let reason = || "their words".to_owned();
    let seen = [
        heard(&web, Observation::Returning { reason: reason() }),
        heard(&worker, Observation::Superseded { reason: reason() }),
    ];
    world.observe(Some(id), None, &seen).unwrap();
    assert_eq!((state(&world, id), promotion(&world, id).revert), (PromotionState::InProgress, None));
    let back = Observation::Returned { reason: reason(), digest: Some(digest(1)) };
    world.observe(Some(id), None, &[heard(&web, back)]).unwrap();
    assert_eq!((state(&world, id), promotion(&world, id).revert), (PromotionState::Failed, None));
}

#[test]
fn release_fails_if_every_service_is_scaled_to_zero() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while running(&world) != [2, 2] {
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    let none = |service: &stablepin_rules::application::ServiceName| {
        Input::Outcome(Outcome::Service(Direction::Forward, service.clone(), Observation::Unproven))
    };
    let outcomes: Vec<_> = world.services.keys().map(none).collect();
    world.observe(Some(id), None, &outcomes[..1]).unwrap();
    assert_eq!(state(&world, id), PromotionState::InProgress, "the other service may still prove it");
    world.observe(Some(id), None, &outcomes).unwrap();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().to_string().starts_with("not proven: the desired count"));
    assert_eq!(world.environment.hold.as_ref().map(|hold| hold.by), Some(id), "the environment is held");
    world.settle();
    assert_eq!(world.operations[&id].notified, [Notice::Ended].into());
}

#[test]
fn release_completes_if_only_one_service_runs_tasks() {
    let mut world = World::new(deployed(ONE, BOTH));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    while running(&world) != [1, 1] {
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    let worker = world.services.keys().nth(1).unwrap().clone();
    world
        .observe(
            Some(id),
            None,
            &[Input::Outcome(Outcome::Service(Direction::Forward, worker, Observation::Unproven))],
        )
        .unwrap();
    world.settle();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Completed, 1));
}

#[test]
fn service_that_scales_up_during_the_bake_is_proven() {
    let mut world = World::new(deployed(ONE, BOTH));
    let id = deployed_everywhere(&mut world, 0, 1);
    let worker = service(&world, 1);
    world.wait(5);
    world.observe(Some(id), None, &[heard(&worker, Observation::Unproven)]).unwrap();
    world.settle();
    let rollout = promotion(&world, id).rollout.unwrap();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Completed, 1));
    assert!(rollout.services.iter().all(|one| matches!(one.progress, Progress::Proven { .. })));
    assert_eq!(world.environment.pin.as_ref().unwrap().revisions.len(), 2);
}

#[test]
fn release_is_reverted_if_a_service_fails_after_it_scales_up() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = deployed_everywhere(&mut world, 1, 2);
    let worker = service(&world, 1);
    world.wait(5);
    world.observe(Some(id), None, &[heard(&worker, Observation::Unproven)]).unwrap();
    while promotion(&world, id).rollout.unwrap().bake.is_none() {
        world.tick(id);
        let web = service(&world, 0);
        let pending = pending_effects(world.now, &world.subject(Some(id), None), world.uuid());
        assert!(
            !pending.contains(&Effect::Follow(Direction::Forward, worker.clone())),
            "the unproven service is not followed before the bake"
        );
        world.observe(Some(id), None, &[heard(&web, Observation::Proven { tasks: 1 })]).unwrap();
    }
    world.wait(35);
    world.observe(Some(id), None, &[Input::Tick, heard(&worker, going(false))]).unwrap();
    assert_eq!(
        promotion(&world, id).rollout.unwrap().bake,
        None,
        "the bake restarts when the service is proven"
    );
    world
        .observe(Some(id), None, &[heard(&worker, Observation::Failed { reason: "it crashes".to_owned() })])
        .unwrap();
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1, 1], PromotionState::RolledBack));
}

#[test]
fn release_fails_if_codedeploy_deploys_the_service() {
    let mut world = World::new(deployed(ONE, WEB));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let unfit = Outcome::Unfit("prod/web is deployed by CodeDeploy".to_owned());
    world.observe(Some(id), None, &[Input::Outcome(unfit)]).unwrap();
    let said = "Stablepin changed nothing: prod/web is deployed by CodeDeploy".to_owned();
    let ended = promotion(&world, id);
    assert_eq!((ended.state, ended.reason.unwrap().to_string()), (PromotionState::Failed, said));
    assert_eq!((world.environment.slot.clone(), world.environment.hold.clone()), (None, None));
}

#[test]
fn rollout_timeout_excludes_a_lifecycle_hook_pause() {
    let mut world = World::new(deployed(ONE, WEB));
    let id = asked(&mut world, 0, 1);
    approve(&mut world, id);
    let web = world.services.keys().next().unwrap().clone();
    while running(&world) != [1] {
        world.begin(id);
        world.land(0, true);
    }
    let paused = Outcome::Service(
        Direction::Forward,
        web,
        Observation::Going { seen: "paused at POST_SCALE_UP".to_owned(), paused: true },
    );
    for _ in 0..120 {
        world.observe(Some(id), None, &[Input::Outcome(paused.clone()), Input::Tick]).unwrap();
        assert_eq!(state(&world, id), PromotionState::InProgress);
        world.wait(60);
    }
    // After the pause, the deployment still has the time that was left before the pause.
    let going_on = [heard(&service(&world, 0), going(false))];
    world.observe(Some(id), None, &going_on).unwrap();
    world.wait(60);
    world.tick(id);
    assert_eq!(promotion(&world, id).failure, None);
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn promotion_fails_if_its_revert_fails() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    while running(&world) != [2] {
        world.begin(id);
        world.land(0, true);
    }
    world.wait(31 * 60);
    world.tick(id);
    let back = promotion(&world, id).revert.unwrap();
    assert_eq!(back.destination, Destination::Digest { digest: digest(1) });
    // The revert fails too. The promotion then ends without a second revert.
    world.broken.insert(digest(1));
    world.settle();
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().to_string().contains("Rolling back failed"));
    assert!(world.environment.hold.is_some());
}

/// UpdateService succeeds, but Stablepin does not get the response. No tick runs before the
/// timeout.
#[test]
fn release_is_reverted_if_its_updateservice_response_is_lost() {
    for services in [WEB, BOTH] {
        let mut world = World::new(deployed(ONE, services));
        promoted(&mut world, 0, 1);
        let id = asked(&mut world, 1, 2);
        approve(&mut world, id);
        carries_out(&mut world, id);
        world.begin(id);
        while world.flights.len() > 1 {
            world.land(0, true);
        }
        world.land(0, false);
        world.wait(31 * 60);
        world.settle();
        assert!(running(&world).iter().all(|n| *n == 1), "{services}: {:?}", running(&world));
        assert_eq!(state(&world, id), PromotionState::RolledBack);
    }
}

#[test]
fn promotion_fails_if_ecs_rolls_back_its_revert() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    carries_out(&mut world, id);
    world.begin(id);
    // ECS accepts the call, but Stablepin does not get the response.
    world.land(0, false);
    assert_eq!(running(&world), [2]);
    world.wait(31 * 60);
    let is_started = |world: &World| {
        let revert = promotion(world, id).revert;
        revert.is_some_and(|revert| revert.services[0].started.is_some())
    };
    while !is_started(&world) {
        world.tick(id);
        world.begin(id);
        while !world.flights.is_empty() {
            world.land(0, true);
        }
    }
    let returned = Observation::Returned { reason: "circuit breaker".to_owned(), digest: Some(digest(2)) };
    let web = service(&world, 0);
    let outcome = Outcome::Service(Direction::Revert, web, returned);
    world.observe(Some(id), None, &[Input::Outcome(outcome), Input::Tick]).unwrap();
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    assert!(world.environment.hold.is_some(), "{:?}", ended.reason);
}

#[test]
fn timeout_reverts_only_services_that_the_release_changed() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    carries_out(&mut world, id);
    let web = service(&world, 0);
    // The promotion has not called UpdateService yet. Another caller deploys, and then the time
    // limit passes.
    world.deploy_by_hand(&web, digest(9));
    world.wait(31 * 60);
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![9, 1], PromotionState::Failed));
    assert!(promotion(&world, id).reason.unwrap().to_string().ends_with("No service was moved"));
    assert_eq!(world.environment.current.as_ref().map(|current| &current.digest), Some(&digest(1)));
}

#[test]
fn release_is_reverted_if_its_bake_cannot_be_checked() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = baking(&mut world, 1, 2);
    let until = promotion(&world, id).rollout.unwrap().bake.unwrap().until;
    while world.now < until + SignedDuration::from_mins(30) {
        assert_eq!(promotion(&world, id).revert, None, "a look may fail for as long as a rollout may take");
        world.observe(Some(id), None, &[Input::Tick, out_of_reach()]).unwrap();
        world.wait(60);
    }
    world.tick(id);
    assert!(promotion(&world, id).failure.unwrap().to_string().contains("could not be checked again"));
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1], PromotionState::RolledBack));
    assert_eq!(world.operations[&id].notified, [Notice::GoingBack, Notice::Ended].into());
}

#[test]
fn bake_fails_if_the_endpoints_cannot_be_probed() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = baking(&mut world, 1, 2);
    let web = service(&world, 0);
    for _ in 0..60 {
        let seen = [Input::Tick, heard(&web, Observation::Proven { tasks: 1 }), out_of_reach()];
        world.observe(Some(id), None, &seen).unwrap();
        world.wait(60);
    }
    assert!(promotion(&world, id).failure.unwrap().to_string().contains("endpoints could not be probed"));
}

/// The bake may last longer than the rollout's timeout. The service is unproven after the timeout,
/// but before the end of the bake.
#[test]
fn service_may_be_briefly_unproven_after_the_rollout_timeout() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.configuration.application.environments[0].verify.bake = SignedDuration::from_hours(2);
    let id = baking(&mut world, 1, 2);
    for _ in 0..40 {
        world.wait(60);
        world.tick(id);
        carries_out(&mut world, id);
    }
    assert!(promotion(&world, id).rollout.unwrap().deadline < world.now);
    let web = service(&world, 0);
    world.observe(Some(id), None, &[Input::Tick, heard(&web, going(false))]).unwrap();
    world.wait(60);
    world.tick(id);
    assert_eq!(promotion(&world, id).failure, None);
    for _ in 0..125 {
        world.tick(id);
        carries_out(&mut world, id);
        world.wait(60);
    }
    assert_eq!((running(&world), state(&world, id)), (vec![2], PromotionState::Completed));
}

#[test]
fn flapping_service_cannot_extend_the_bake_forever() {
    for wobble in [Observation::Unproven, going(false)] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let id = baking(&mut world, 1, 2);
        let began = world.now;
        let (web, worker) = (service(&world, 0), service(&world, 1));
        while promotion(&world, id).pin.is_none() && promotion(&world, id).failure.is_none() {
            for seen in [wobble.clone(), Observation::Proven { tasks: 1 }] {
                world.wait(30);
                let proven = heard(&web, Observation::Proven { tasks: 1 });
                let probed = Input::Outcome(Outcome::Probed(None));
                world.observe(Some(id), None, &[Input::Tick, proven, heard(&worker, seen), probed]).unwrap();
            }
            assert!(world.now < began + SignedDuration::from_mins(6 * 32), "the slot must become free");
        }
    }
}

#[test]
fn paused_service_does_not_extend_another_services_timeout() {
    for paused in [0, 1] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let id = deployed_everywhere(&mut world, 1, 2);
        let began = world.now;
        let names = [service(&world, 0), service(&world, 1)];
        while promotion(&world, id).failure.is_none() {
            let seen = [0, 1].map(|n| heard(&names[n], going(n == paused)));
            world.observe(Some(id), None, &[Input::Tick]).unwrap();
            world.observe(Some(id), None, &seen).unwrap();
            world.wait(60);
            assert!(world.now < began + SignedDuration::from_mins(35), "service {paused} is paused");
        }
        assert!(
            promotion(&world, id).failure.unwrap().to_string().starts_with(&names[1 - paused].to_string())
        );
    }
}

#[test]
fn rollback_can_time_out_after_ecs_rolls_back_a_paused_service() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    for n in 0..2 {
        let name = service(&world, n);
        world.deploy_by_hand(&name, digest(9));
    }
    let rollback = world.roll_back("stable").unwrap();
    let web = service(&world, 0);
    let deployed = Input::Outcome(crate::world::deployed_as("d", web.clone()));
    world.observe(Some(rollback), None, &[deployed]).unwrap();
    world.observe(Some(rollback), None, &[heard(&web, going(true))]).unwrap();
    let returned = Observation::Returned { reason: "the hook timed out".to_owned(), digest: Some(digest(9)) };
    world.observe(Some(rollback), None, &[heard(&web, returned)]).unwrap();
    for _ in 0..31 {
        world.wait(60);
        world.observe(Some(rollback), None, &[Input::Tick, out_of_reach()]).unwrap();
    }
    assert_eq!(rollback_state(&world, rollback), RollbackState::Incomplete);
    assert_eq!(world.environment.slot, None);
}

#[test]
fn paused_deployment_times_out_if_ecs_cannot_be_read() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = deployed_everywhere(&mut world, 1, 2);
    let web = service(&world, 0);
    world.observe(Some(id), None, &[heard(&web, going(true))]).unwrap();
    for _ in 0..31 {
        world.wait(60);
        world.observe(Some(id), None, &[Input::Tick, out_of_reach()]).unwrap();
    }
    assert!(promotion(&world, id).failure.is_some());
}

#[test]
fn rule_9_failed_release_is_never_reverted_to_its_own_digest() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(1));
    world.wait(600);
    let again = promoted(&mut world, 600, 1);
    assert_eq!((state(&world, again), promotion(&world, again).revert), (PromotionState::Failed, None));
    assert_eq!((running(&world), pins(&world)), (vec![1], 1));
}

#[test]
fn rollback_undoes_a_late_deployment_of_a_preempted_promotion() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    world.begin(id);
    world.land(0, true);
    world.begin(id); // Starts two UpdateService calls.
    world.land(0, true); // ECS carries out the first call.
    let rollback = world.roll_back("stable").unwrap();
    assert_eq!(world.environment.slot.as_ref().unwrap().operation, rollback);
    world.begin(rollback);
    while world.flights.len() > 1 {
        world.land(1, true);
    }
    world.land(0, true); // ECS carries out the second call after the rollback's call.
    assert!(running(&world).contains(&2));
    world.settle();
    assert_eq!((running(&world), rollback_state(&world, rollback)), (vec![1, 1], RollbackState::Completed));
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
    assert!(promotion(&world, id).reason.unwrap().to_string().contains("pre-empted by rollback"));
}

#[test]
fn rollback_undoes_a_late_deployment_to_a_proven_service() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    carries_out(&mut world, id);
    world.begin(id); // Starts two UpdateService calls.
    world.land(0, true); // ECS carries out the first call.
    let late = world.flights.remove(0); // The second call is slow.
    let rollback = world.roll_back("stable").unwrap();
    for _ in 0..2 {
        world.tick(rollback);
        carries_out(&mut world, rollback);
        world.wait(4);
    }
    let rolling = || world.subject(Some(rollback), None).rollback().unwrap().clone();
    let proven =
        |one: &stablepin_rules::records::ServiceRollout| matches!(one.progress, Progress::Proven { .. });
    assert!(rolling().rollout.services.iter().all(proven));
    assert_eq!(rolling().state, RollbackState::InProgress, "the promotion's lease has not ended");
    world.take_effect(id, &late.effect);
    world.settle();
    assert_eq!((running(&world), rollback_state(&world, rollback)), (vec![1, 1], RollbackState::Completed));
    assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
}

#[test]
fn rollback_does_not_wait_for_a_promotion_without_a_lease() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    deployed_everywhere(&mut world, 1, 2);
    let rollback = world.roll_back("stable").unwrap();
    let asked = world.subject(Some(rollback), None).rollback().unwrap().clone();
    assert_eq!((asked.preempted, asked.preempted_until), (Some(digest(2)), None));
}

#[test]
fn rollback_is_incomplete_if_its_services_cannot_be_checked() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = asked(&mut world, 1, 2);
    approve(&mut world, id);
    carries_out(&mut world, id);
    world.begin(id);
    let rollback = world.roll_back("stable").unwrap();
    world.flights.clear();
    for _ in 0..2 {
        carries_out(&mut world, rollback);
        world.wait(4);
    }
    for _ in 0..35 {
        world.wait(60);
        world.observe(Some(rollback), None, &[Input::Tick, out_of_reach()]).unwrap();
    }
    assert_eq!(rollback_state(&world, rollback), RollbackState::Incomplete);
}

/// The pinned digest still runs. The rollback stops the release before the release replaces this
/// digest.
#[test]
fn rollback_stops_a_promotion_before_its_first_deployment() {
    for prepared in [false, true] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let before = world.services.clone();
        let id = asked(&mut world, 1, 2);
        approve(&mut world, id);
        if prepared {
            carries_out(&mut world, id);
        }
        let rollback = world.roll_back("stable").unwrap();
        world.settle();
        assert_eq!((state(&world, id), pins(&world)), (PromotionState::Failed, 1));
        assert!(promotion(&world, id).reason.unwrap().to_string().contains("pre-empted by rollback"));
        assert_eq!((rollback_state(&world, rollback), &world.services), (RollbackState::Completed, &before));
        assert!(world.environment.hold.is_some());
        assert!(
            matches!(world.roll_back("stable"), Err(Refusal::AlreadyLive { .. })),
            "the target is live now"
        );
        check(&world);
    }
}

#[test]
fn second_promotion_waits_until_the_first_frees_the_slot() {
    let mut world = World::new(deployed(ONE, WEB));
    let first = asked(&mut world, 0, 1);
    let second = asked(&mut world, 1, 2);
    approve(&mut world, first);
    approve(&mut world, second);
    assert_eq!(
        (state(&world, first), state(&world, second)),
        (PromotionState::InProgress, PromotionState::Pending)
    );
    for _ in 0..3 {
        world.settle();
        world.wait(60);
    }
    assert_eq!(
        (state(&world, first), state(&world, second)),
        (PromotionState::Completed, PromotionState::Completed)
    );
    assert_eq!((running(&world), pins(&world)), (vec![2], 2));
    check(&world);
}

fn order(world: &mut World, action: EnvironmentAction) -> Result<(), Refusal> {
    let actor = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
    let order = EnvironmentCommand { action, reason: Some("sale".to_owned()), actor };
    world.observe(None, None, &[Input::Commanded(order)]).map(|_| ())
}

#[test]
fn freeze_stops_promotions_but_not_rollbacks() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    order(&mut world, EnvironmentAction::Freeze).unwrap();
    assert!(matches!(order(&mut world, EnvironmentAction::Freeze), Err(Refusal::Frozen { .. })));
    let id = promoted(&mut world, 1, 2);
    assert_eq!((state(&world, id), running(&world)), (PromotionState::Pending, vec![1]));
    let web = world.services.keys().next().unwrap().clone();
    world.deploy_by_hand(&web, digest(9));
    let rollback = world.roll_back("stable").unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    order(&mut world, EnvironmentAction::Thaw).unwrap();
    assert_eq!(order(&mut world, EnvironmentAction::Thaw), Err(Refusal::NotFrozen));
    world.wait(60);
    world.tick(id);
    assert_eq!(state(&world, id), PromotionState::Pending, "the rollback holds the environment");
    order(&mut world, EnvironmentAction::ReleaseHold).unwrap();
    world.wait(60);
    world.settle();
    assert_eq!((state(&world, id), running(&world)), (PromotionState::Completed, vec![2]));
    assert_eq!(world.audited(Kind::Environment).len(), 4);
}

#[test]
fn expiry_reason_names_the_freeze() {
    let mut world = World::new(deployed(ONE, WEB));
    order(&mut world, EnvironmentAction::Freeze).unwrap();
    let id = promoted(&mut world, 0, 1);
    world.wait(3600);
    world.tick(id);
    let said = "expired: approved, but the environment is frozen (sale)".to_owned();
    let ended = promotion(&world, id);
    assert_eq!((ended.state, ended.reason.unwrap().to_string()), (PromotionState::Cancelled, said));
}

#[test]
fn operator_can_release_a_hold_if_no_approval_is_required() {
    let mut world = World::new(deployed("required = 0", WEB));
    world.push(0, 1).unwrap();
    world.settle();
    world.broken.insert(digest(2));
    world.push(1, 2).unwrap();
    world.settle();
    let fix = world.push(2, 3).unwrap();
    world.settle();
    assert_eq!(
        (running(&world), state(&world, fix)),
        (vec![1], PromotionState::Pending),
        "the environment is held"
    );
    order(&mut world, EnvironmentAction::ReleaseHold).unwrap();
    assert_eq!(order(&mut world, EnvironmentAction::ReleaseHold), Err(Refusal::NotHeld));
    world.wait(60);
    world.settle();
    assert_eq!((running(&world), state(&world, fix)), (vec![3], PromotionState::Completed));
}

/// The 200 push events arrive at the same time, in a shuffled order. Each event arrives twice.
#[test]
fn latest_of_two_hundred_pushes_becomes_the_pin() {
    let mut world = World::new(deployed(ONE, WEB));
    let mut order: Vec<i64> = (0..200).collect();
    // A fixed shuffle: 77 and 200 have no common divisor, so each push occurs once.
    order.sort_by_key(|at| at * 77 % 200);
    for at in order.iter().chain(&order) {
        world.push(*at, u8::try_from(*at + 1).unwrap());
    }
    let ids: Vec<_> = world.operations.keys().copied().collect();
    assert_eq!(ids.len(), 200, "one promotion for each push");
    world.settle();
    for id in ids.iter().chain(&ids) {
        let _ = world.vote(*id, "lead", Verdict::Approve);
    }
    for _ in 0..300 {
        world.settle();
        world.wait(20);
    }
    let newest = world.environment.pin.clone().unwrap();
    assert_eq!((newest.digest, running(&world)), (digest(200), vec![200]));
    for id in ids {
        assert!(matches!(state(&world, id), PromotionState::Completed | PromotionState::Cancelled));
    }
    check(&world);
}

/// Checks that promotions pin only proven digests, and that no revert deploys the digest of its own
/// promotion.
fn check_deployed(world: &World) {
    for operation in world.operations.values() {
        let Work::Promotion(promotion) = &operation.work else { continue };
        let proven = |rollout: &stablepin_rules::records::Rollout| {
            rollout.services.iter().any(|one| matches!(one.progress, Progress::Proven { .. }))
        };
        if promotion.pin.is_some() {
            assert!(promotion.rollout.as_ref().is_some_and(proven), "rule 10: {promotion:#?}");
            assert_eq!(promotion.revert, None, "a reverted promotion is no pin");
        }
        if let Some(back) = &promotion.revert {
            assert_ne!(
                back.destination.digest(),
                Some(&promotion.digest),
                "rule 9: no revert to the failed digest"
            );
        }
    }
}

proptest! {
    /// The events come in any order and number. A process may crash at any point, and another
    /// caller may deploy to a service.
    #[test]
    fn no_event_sequence_with_deployments_breaks_a_rule(
        events in prop::collection::vec(event(), 0..80),
        broken in prop::collection::btree_set(1..5_u8, 0..3),
        unresponsive in prop::collection::btree_set(1..5_u8, 0..2),
        breaker in any::<bool>(),
        other_deploys_at in prop::option::of(0..80_usize),
    ) {
        let mut world = World::new(deployed(ONE, BOTH));
        world.broken = broken.iter().map(|n| digest(*n)).collect();
        world.unresponsive = unresponsive.iter().map(|n| digest(*n)).collect();
        world.breaker = breaker;
        for (place, event) in events.iter().enumerate() {
            if other_deploys_at == Some(place) {
                let web = world.services.keys().next().unwrap().clone();
                world.deploy_by_hand(&web, digest(9));
            }
            happen(&mut world, event);
        }
        world.settle();
        check(&world);
        check_deployed(&world);
    }
}

#[test]
fn completed_promotion_has_no_next_check() {
    let mut world = World::new(deployed(ONE, WEB));
    happen(&mut world, &Event::Push { at: 0, digest: 1 });
    let id = *world.operations.keys().next().unwrap();
    world.settle();
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(world.operations[&id].wake_at, None);
    assert!(promotion(&world, id).votes.contains_key(&approver("lead")));
}

fn refused() -> Observation {
    Observation::Refused { reason: "AccessDeniedException: not authorized (HTTP 400)".to_owned() }
}

/// Pushes and approves a build, and reads the state of the services. Starts no deployment yet.
fn prepared(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    approve(world, id);
    carries_out(world, id);
    assert!(promotion(world, id).rollout.is_some());
    id
}

#[test]
fn release_fails_without_changes_after_ecs_refuses_it_twice() {
    for services in [WEB, BOTH] {
        let mut world = World::new(deployed(ONE, services));
        promoted(&mut world, 0, 1);
        let id = prepared(&mut world, 1, 2);
        let names: Vec<_> = world.services.keys().cloned().collect();
        let all: Vec<_> = names.iter().map(|service| heard(service, refused())).collect();
        world.observe(Some(id), None, &all).unwrap();
        assert_eq!(state(&world, id), PromotionState::InProgress, "a new permission may take a moment");
        let wakes = world.operations[&id].wake_at.unwrap();
        assert!(wakes <= world.now + SignedDuration::from_mins(1), "{wakes}");
        world.observe(Some(id), None, &all).unwrap();
        assert_eq!(state(&world, id), PromotionState::Failed);
        let said = promotion(&world, id).reason.unwrap().to_string();
        assert!(said.starts_with("Stablepin changed nothing: prod/web: AccessDeniedException"), "{said}");
        assert_eq!((world.environment.hold.clone(), world.environment.slot.clone()), (None, None));
        assert!(world.environment.rolled_back_from.is_empty() && promotion(&world, id).is_untouched());
        world.settle();
        assert_eq!(world.operations[&id].notified, [Notice::Ended].into(), "there is no revert to report");
        check(&world);
    }
}

#[test]
fn release_reverts_its_deployments_if_ecs_refuses_one_service() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    let id = prepared(&mut world, 1, 2);
    let (web, worker) = (service(&world, 0), service(&world, 1));
    world.begin(id);
    let of_web = |effect: &Effect| *effect == Effect::Deploy(Direction::Forward, web.clone());
    let flight = world.flights.iter().position(|flight| of_web(&flight.effect)).unwrap();
    world.land(flight, true);
    world.flights.clear();
    world.observe(Some(id), None, &[heard(&worker, refused())]).unwrap();
    world.observe(Some(id), None, &[heard(&worker, refused())]).unwrap();
    assert!(promotion(&world, id).failure.unwrap().to_string().contains("AccessDeniedException"));
    let back = promotion(&world, id).revert.unwrap();
    assert_eq!(back.services.iter().map(|one| &one.service).collect::<Vec<_>>(), [&web]);
    world.wait(60);
    world.settle();
    assert_eq!((running(&world), state(&world, id)), (vec![1, 1], PromotionState::RolledBack));
    assert_eq!(world.environment.hold.as_ref().map(|hold| hold.by), Some(id));
}

/// After a lost response or a crash, the first call may have changed the service. The revert reads
/// the service, and deploys only if the service runs the release.
#[test]
fn ecs_refusal_after_a_lost_response_starts_a_revert() {
    for moved in [false, true] {
        for cut_off in [false, true] {
            let mut world = World::new(deployed(ONE, WEB));
            promoted(&mut world, 0, 1);
            let id = prepared(&mut world, 1, 2);
            let web = service(&world, 0);
            world.begin(id);
            if moved {
                world.take_effect(id, &Effect::Deploy(Direction::Forward, web.clone()));
            }
            if cut_off {
                // The lease of the crashed process ends, and another process starts the deployment.
                world.wait(60);
                world.begin(id);
            } else {
                let unheard = Observation::Unheard { problem: "no answer in time".to_owned() };
                world.observe(Some(id), None, &[heard(&web, unheard)]).unwrap();
            }
            world.flights.clear();
            world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
            world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
            assert!(promotion(&world, id).revert.is_some(), "the service may have moved");
            assert!(world.environment.hold.is_some());
            world.wait(60);
            world.settle();
            let (ends, hold) = match moved {
                true => (PromotionState::RolledBack, Some(id)),
                false => (PromotionState::Failed, None),
            };
            assert_eq!((running(&world), state(&world, id)), (vec![1], ends));
            assert_eq!(world.environment.hold.as_ref().map(|hold| hold.by), hold);
            assert_eq!(promotion(&world, id).is_untouched(), !moved);
            check(&world);
        }
    }
}

#[test]
fn rollback_refused_by_ecs_does_not_change_the_hold() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    promoted(&mut world, 1, 2);
    let held = [None, Some("rollback to pin 1".to_owned())];
    for before in held {
        let hold = world.environment.hold.clone();
        assert_eq!(hold.as_ref().map(|hold| hold.reason.to_string()), before);
        let to = if before.is_none() { "1" } else { "2" };
        let id = world.roll_back(to).unwrap();
        let web = service(&world, 0);
        world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
        assert_eq!(rollback_state(&world, id), RollbackState::Failed);
        let subject = world.subject(Some(id), None);
        let said = subject.rollback().unwrap().reason.as_ref().unwrap().to_string();
        assert!(said.starts_with("Stablepin changed nothing: prod/web: AccessDeniedException"), "{said}");
        assert_eq!((world.environment.hold.clone(), world.environment.slot.clone()), (hold, None));
        // ECS accepts the next rollback to the same pin, and that rollback sets a hold.
        world.roll_back(to).unwrap();
        world.settle();
    }
}

#[test]
fn refused_rollback_keeps_its_hold_if_it_preempted_a_release() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let next = prepared(&mut world, 1, 2);
    world.begin(next);
    let id = world.roll_back("stable").unwrap();
    world.observe(Some(id), None, &[heard(&service(&world, 0), refused())]).unwrap();
    world.wait(60 * 60);
    world.tick(id);
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
    assert_eq!(
        world.environment.hold.as_ref().map(|hold| hold.by),
        Some(id),
        "the release may have moved the service"
    );
    assert_eq!(promotion(&world, next).state, PromotionState::InProgress);
}

fn rollback_reason(world: &World, id: OperationId) -> Option<String> {
    world.subject(Some(id), None).rollback().unwrap().reason.as_ref().map(ToString::to_string)
}

/// The rollback and the release each report the services that the release had changed. Stablepin
/// changes no service until a person requests a rollback or releases the hold.
#[test]
fn refused_rollback_names_services_that_the_release_changed() {
    for (moved, ticked) in [(1, false), (1, true), (2, false), (2, true)] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let release = prepared(&mut world, 1, 2);
        for n in 0..moved {
            let web = service(&world, n);
            world.take_effect(release, &Effect::Deploy(Direction::Forward, web));
        }
        let id = world.roll_back("stable").unwrap();
        if ticked {
            world.tick(release);
        }
        let refusals = [0, 1].map(|n| heard(&service(&world, n), refused()));
        world.observe(Some(id), None, &refusals).unwrap();
        assert_eq!(rollback_state(&world, id), RollbackState::Failed);
        world.settle();

        let said = rollback_reason(&world, id).unwrap();
        let names = ["", "prod/web", "prod/web, prod/worker"][moved];
        let left = format!("had moved {names} to {}, and that was not undone", digest(2));
        assert!(said.starts_with("Stablepin changed nothing: prod/web: AccessDeniedException"), "{said}");
        assert!(said.contains(&left), "{said}");
        let hold = world.environment.hold.clone().unwrap();
        assert!(hold.by == id && hold.reason.to_string().contains(&left), "{}", hold.reason);
        let ended = promotion(&world, release);
        let reason = ended.reason.unwrap().to_string();
        let expected = if ticked { format!("pre-empted by rollback {id}: its record") } else { left };
        assert_eq!(ended.state, PromotionState::Failed);
        assert!(reason.contains("pre-empted by") && reason.contains(&expected), "{reason}");
        assert_eq!(running(&world), [vec![1, 1], vec![2, 1], vec![2, 2]][moved], "nobody moved them");
        assert_eq!(world.operations[&id].notified, [Notice::Ended].into());
        assert_eq!(world.operations[&release].notified, [Notice::Ended].into());

        world.roll_back("stable").unwrap();
        world.settle();
        assert_eq!(running(&world), [1, 1]);
    }
}

/// Requests a rollback of the named services to the pin. ECS refuses every deployment.
fn refused_rollback_of(world: &mut World, named: &[usize]) -> OperationId {
    let named: Vec<_> = named.iter().map(|n| service(world, *n)).collect();
    let mut request = world.rollback_request("stable").unwrap();
    request.services.retain(|one| named.contains(&one.service));
    let id = request.id;
    world.observe(None, None, &[Input::RollbackRequested(Box::new(request))]).unwrap();
    let refusals: Vec<_> = named.iter().map(|service| heard(service, refused())).collect();
    world.observe(Some(id), None, &refusals).unwrap();
    id
}

#[test]
fn rollback_refused_before_any_change_sets_no_hold() {
    for services in [WEB, BOTH] {
        let mut world = World::new(deployed(ONE, services));
        promoted(&mut world, 0, 1);
        let release = prepared(&mut world, 1, 2);
        let all: Vec<_> = (0..world.services.len()).collect();
        let id = refused_rollback_of(&mut world, &all);
        assert_eq!(rollback_state(&world, id), RollbackState::Failed);
        assert_eq!((&world.environment.hold, &world.environment.slot), (&None, &None));
        let said = rollback_reason(&world, id).unwrap();
        assert!(
            said.starts_with("Stablepin changed nothing: prod/web: ") && !said.contains("pre-empted"),
            "{said}"
        );
        world.settle();
        let reason = promotion(&world, release).reason.unwrap().to_string();
        assert!(reason.starts_with("pre-empted by a rollback, which has ended: its record"), "{reason}");
        promoted(&mut world, 2, 3);
        assert!(running(&world).iter().all(|one| *one == 3), "the next build is not held");
        check(&world);
    }
}

/// If any task runs the release's digest, the release has changed the service.
#[test]
fn hold_stays_if_ecs_refuses_to_roll_back_a_changed_service() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    prepared(&mut world, 1, 2);
    let mut request = world.rollback_request("stable").unwrap();
    request.services[0].before.digests.insert(digest(2));
    let id = request.id;
    world.observe(None, None, &[Input::RollbackRequested(Box::new(request))]).unwrap();
    world.observe(Some(id), None, &[heard(&service(&world, 0), refused())]).unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Failed);
    assert_eq!(world.environment.hold.as_ref().map(|hold| hold.by), Some(id));
}

#[test]
fn refused_rollback_reports_only_the_services_of_its_request() {
    for (named, moved, expected) in [
        (0, 1, format!("None of the named services was found at {}", digest(2))),
        (1, 0, format!("None of the named services was found at {}", digest(2))),
        (0, 0, format!("had moved prod/web to {}, and that was not undone", digest(2))),
    ] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let release = prepared(&mut world, 1, 2);
        let moved = service(&world, moved);
        world.take_effect(release, &Effect::Deploy(Direction::Forward, moved));
        let id = refused_rollback_of(&mut world, &[named]);
        let said = rollback_reason(&world, id).unwrap();
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("It may have moved services that this rollback does not name"), "{said}");
        let hold = world.environment.hold.clone().unwrap();
        assert!(hold.by == id && hold.reason.to_string().contains(&expected), "{}", hold.reason);
    }
}

/// The rollback records the task definitions that the release deployed, so that they do not count
/// as live drift.
#[test]
fn refused_rollback_records_task_definitions_of_the_release() {
    for moves_worker in [false, true] {
        let mut world = World::new(deployed(ONE, BOTH));
        promoted(&mut world, 0, 1);
        let release = prepared(&mut world, 1, 2);
        let (web, worker) = (service(&world, 0), service(&world, 1));
        world.take_effect(release, &Effect::Deploy(Direction::Forward, web.clone()));
        if moves_worker {
            world.take_effect(release, &Effect::Deploy(Direction::Forward, worker.clone()));
        }
        let id = world.roll_back("stable").unwrap();
        world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
        if moves_worker {
            let started = world.take_effect(id, &Effect::Deploy(Direction::Forward, worker.clone()));
            world.observe(Some(id), None, &[Input::Outcome(started)]).unwrap();
            while !world.subject(Some(id), None).rollback().unwrap().state.is_terminal() {
                world.wait(60);
                carries_out(&mut world, id);
            }
        } else {
            world.observe(Some(id), None, &[heard(&worker, refused())]).unwrap();
        }
        let ends = if moves_worker { RollbackState::Incomplete } else { RollbackState::Failed };
        assert_eq!(rollback_state(&world, id), ends);
        assert!(!promotion(&world, release).state.is_terminal(), "no tick has ended it yet");
        let left = &world.environment.left;
        assert_eq!(left[&web], format!("td of {}", digest(2)));
        assert_eq!(left[&worker], format!("td of {}", digest(1)));
    }
}

/// The rollback does not record the task definition that another caller deployed.
#[test]
fn refused_rollback_ignores_deployments_of_other_callers() {
    for preempts in [false, true] {
        let mut world = World::new(deployed(ONE, WEB));
        promoted(&mut world, 0, 1);
        if preempts {
            prepared(&mut world, 1, 2);
        }
        let web = service(&world, 0);
        world.deploy_by_hand(&web, digest(7));
        refused_rollback_of(&mut world, &[0]);
        assert_eq!(world.environment.left[&web], format!("td of {}", digest(1)));
    }
}

/// A rollback pre-empts the first release. The rollback ends, and the next release gets the slot,
/// before a tick checks the first release.
#[test]
fn reason_of_a_preempted_release_omits_the_next_release() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let release = prepared(&mut world, 1, 2);
    let id = world.roll_back("stable").unwrap();
    world.observe(Some(id), None, &[heard(&service(&world, 0), refused())]).unwrap();
    world.wait(1);
    let next = prepared(&mut world, 2, 3);
    assert_eq!(world.environment.slot.as_ref().map(|slot| slot.operation), Some(next));
    world.wait(60);
    world.tick(release);
    let reason = promotion(&world, release).reason.unwrap().to_string();
    assert!(reason.starts_with("pre-empted by a rollback, which has ended"), "{reason}");
    assert!(!reason.contains(&next.to_string()), "{reason}");
}

#[test]
fn running_rollback_shows_which_service_ecs_refused() {
    let mut world = World::new(deployed(ONE, BOTH));
    promoted(&mut world, 0, 1);
    promoted(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    let (web, worker) = (service(&world, 0), service(&world, 1));
    world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
    let started = world.take_effect(id, &Effect::Deploy(Direction::Forward, worker));
    world.observe(Some(id), None, &[Input::Outcome(started)]).unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::InProgress);
    let said = rollback_reason(&world, id).unwrap();
    assert!(said.starts_with("prod/web: AccessDeniedException"), "{said}");
    assert!(world.operations[&id].notified.is_empty(), "one notice, at the end");
    world.settle();
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert_eq!(rollback_reason(&world, id), Some(said));
    assert_eq!(world.operations[&id].notified, [Notice::Ended].into());
}

#[test]
fn rollback_is_incomplete_if_ecs_refuses_after_a_lost_response() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    promoted(&mut world, 1, 2);
    let id = world.roll_back("1").unwrap();
    let web = service(&world, 0);
    let unheard = Observation::Unheard { problem: "no connection".to_owned() };
    world.observe(Some(id), None, &[heard(&web, unheard)]).unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Requested);
    world.observe(Some(id), None, &[heard(&web, refused())]).unwrap();
    assert_eq!(rollback_state(&world, id), RollbackState::Incomplete);
    assert_eq!(world.environment.hold.as_ref().map(|hold| hold.by), Some(id));
}

#[test]
fn rollback_of_a_removed_environment_may_be_incomplete() {
    for is_lost in [true, false] {
        let mut world = World::new(deployed(ONE, WEB));
        promoted(&mut world, 0, 1);
        promoted(&mut world, 1, 2);
        let id = world.roll_back("1").unwrap();
        let web = service(&world, 0);
        if is_lost {
            let unheard = Observation::Unheard { problem: "no connection".to_owned() };
            world.observe(Some(id), None, &[heard(&web, unheard)]).unwrap();
        }
        world.configuration.application.environments[0].name =
            stablepin_rules::name::EnvironmentName::parse("other").unwrap();
        world.tick(id);
        let expected = if is_lost { RollbackState::Incomplete } else { RollbackState::Failed };
        assert_eq!(rollback_state(&world, id), expected);
    }
}

#[test]
fn revert_fails_after_ecs_refuses_it_twice() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    world.broken.insert(digest(2));
    let id = deployed_everywhere(&mut world, 1, 2);
    carries_out(&mut world, id);
    while promotion(&world, id).revert.is_none() {
        world.wait(5);
        world.tick(id);
        carries_out(&mut world, id);
    }
    world.flights.clear();
    let back = || Input::Outcome(Outcome::Service(Direction::Revert, service(&world, 0), refused()));
    let both = [back(), back()];
    world.observe(Some(id), None, &both[..1]).unwrap();
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.observe(Some(id), None, &both[1..]).unwrap();
    assert_eq!(state(&world, id), PromotionState::Failed);
    let said = promotion(&world, id).reason.unwrap().to_string();
    assert!(said.contains("Rolling back failed: prod/web: AccessDeniedException"), "{said}");
    assert!(world.environment.hold.is_some());
}

/// The promoter retries a failed notice separately, so the notice does not delay the revert's
/// deployment.
#[test]
fn failed_notice_does_not_delay_the_revert() {
    let mut world = World::new(deployed(ONE, WEB));
    promoted(&mut world, 0, 1);
    let id = deployed_everywhere(&mut world, 1, 2);
    let broken = Observation::Failed { reason: "it crashes".to_owned() };
    world.observe(Some(id), None, &[heard(&service(&world, 0), broken)]).unwrap();
    let failed_notice = Input::Outcome(Outcome::NotifyFailed("AuthorizationError".to_owned()));
    world.observe(Some(id), None, &[failed_notice]).unwrap();
    let operation = world.operations[&id].clone();
    assert_eq!((operation.failures, operation.problem, operation.notify_failures), (0, None, 1));
    let pending = pending_effects(world.now, &world.subject(Some(id), None), world.uuid());
    assert_eq!(pending, [Effect::Deploy(Direction::Revert, service(&world, 0))]);
    world.wait(60);
    world.settle();
    assert_eq!(world.operations[&id].notified, [Notice::GoingBack, Notice::Ended].into());
}

/// Stablepin restores the task definition families after a completed promotion, after a promotion
/// that ECS refused, and after a rollback.
#[test]
fn operation_restores_each_task_definition_family_once() {
    let restores = |world: &World, id| {
        let all = pending_effects(world.now, &world.subject(Some(id), None), uuid::Uuid::nil());
        all.into_iter().filter(|effect| matches!(effect, Effect::RestoreFamily(_))).count()
    };
    let mut world = World::new(deployed(ONE, BOTH));
    let id = baking(&mut world, 0, 1);
    assert_eq!(
        (restores(&world, id), world.operations[&id].families.len()),
        (0, 0),
        "the promotion has not ended"
    );
    world.settle();
    assert_eq!((state(&world, id), world.operations[&id].families.len()), (PromotionState::Completed, 0));

    let refused_one = prepared(&mut world, 1, 2);
    let both = [0, 1].map(|n| heard(&service(&world, n), refused()));
    for _ in 0..2 {
        world.observe(Some(refused_one), None, &both).unwrap();
    }
    assert_eq!(state(&world, refused_one), PromotionState::Failed);
    assert_eq!(restores(&world, refused_one), 2, "the registered revisions are unused");
    // ECS throttles the restore. The promoter retries the restore, and does not delay the notice.
    let throttled = Input::Outcome(Outcome::Problem("ThrottlingException".to_owned()));
    let notified = Input::Outcome(Outcome::Notified(Notice::Ended));
    world.observe(Some(refused_one), None, &[notified, throttled]).unwrap();
    assert!(world.operations[&refused_one].wake_at.is_some());
    world.wait(60);
    let first = Input::Outcome(Outcome::FamilyRestored(service(&world, 0)));
    world.observe(Some(refused_one), None, &[first]).unwrap();
    assert_eq!(restores(&world, refused_one), 1);
    world.settle();
    let operation = &world.operations[&refused_one];
    assert_eq!((operation.families.len(), operation.wake_at), (0, None));

    promoted(&mut world, 2, 3);
    let rollback = world.roll_back("1").unwrap();
    world.settle();
    assert_eq!(rollback_state(&world, rollback), RollbackState::Completed);
    assert_eq!(world.operations[&rollback].families.len(), 0);
    check(&world);
}

/// After the twelfth failure, the operation has no next check. A completed promotion with nothing
/// to restore has no next check either.
#[test]
fn restore_of_a_task_definition_family_stops_after_12_failures() {
    let mut world = World::new(deployed(ONE, WEB));
    let id = promoted(&mut world, 0, 1);
    world.observe(Some(id), None, &[Input::Nudge]).unwrap();
    assert_eq!(world.operations[&id].wake_at, None);
    let rollback = prepared(&mut world, 1, 2);
    let gone = Observation::Failed { reason: "gone".to_owned() };
    world.observe(Some(rollback), None, &[heard(&service(&world, 0), gone)]).unwrap();
    let notified = Input::Outcome(Outcome::Notified(Notice::Ended));
    world.observe(Some(rollback), None, &[notified]).unwrap();
    for _ in 0..12 {
        assert!(world.operations[&rollback].wake_at.is_some());
        let throttled = Input::Outcome(Outcome::Problem("ThrottlingException".to_owned()));
        world.observe(Some(rollback), None, &[throttled]).unwrap();
    }
    assert_eq!(world.operations[&rollback].wake_at, None);
}
