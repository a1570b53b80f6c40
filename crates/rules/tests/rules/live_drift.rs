//! Live drift: services that do not run the pin, because another caller deployed.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use stablepin_rules::application::Deploy;
use stablepin_rules::audit::Kind;
use stablepin_rules::effect::Effect;
use stablepin_rules::live_drift::{Deviation, LiveDrift};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Direction, Hold, HoldReason, Notice, Verdict, Work};
use stablepin_rules::transition::{Input, LiveSeen, ObservedService, is_known};
use uuid::Uuid;

use crate::world::{World, application, digest};
use crate::{ONE, asked, check, pinned};

/// Returns a world in which both services run pin 1, which is digest 1.
fn deployed() -> World {
    let mut application = application(ONE, "\"prod/web\", \"prod/worker\"");
    application.environments[0].deploy = Deploy::OnApproval;
    let mut world = World::new(application);
    pinned(&mut world, 0, 1);
    for _ in 0..3 {
        world.now += SignedDuration::from_mins(1);
        world.settle();
    }
    assert_eq!(world.environment.slot, None);
    world
}

/// Returns an observation of every service, at the environment's current version.
fn seen(world: &mut World) -> LiveSeen {
    let pin = world.environment.pin.as_ref().unwrap().digest.clone();
    let deviation = |running: &crate::world::Running| {
        (running.digest != pin).then(|| Deviation {
            task_definition: Some("arn:aws:ecs:eu-central-1:111122223333:task-definition/web:3".to_owned()),
            digest: Some(running.digest.clone()),
            registered_by: Some("arn:aws:iam::111122223333:user/ann".to_owned()),
        })
    };
    let observed = |running: &crate::world::Running| ObservedService {
        task_definition: Some(format!("td of {}", running.digest)),
        deviation: deviation(running),
    };
    let services = world.services.iter().map(|(name, running)| (name.clone(), observed(running))).collect();
    LiveSeen::new(world.id(), &world.environment, services)
}

fn look(world: &mut World) {
    let seen = seen(world);
    world.observe(None, None, &[Input::LiveSeen(seen)]).unwrap();
}

fn deploy_by_hand(world: &mut World, service: usize, n: u8) {
    let service = world.services.keys().nth(service).unwrap().clone();
    world.deploy_by_hand(&service, digest(n));
}

fn drift(world: &World) -> Option<&LiveDrift> {
    world.environment.live_drift.as_ref().filter(|drift| drift.is_open())
}

fn reports(world: &World) -> Vec<OperationId> {
    let is_report = |id: &&OperationId| matches!(world.operations[*id].work, Work::LiveDrift(_));
    world.operations.keys().filter(is_report).copied().collect()
}

/// Sends the pending notices, and returns the number of sent notices.
fn notices_sent(world: &mut World) -> usize {
    let mut sent = 0;
    for id in reports(world) {
        let notices = pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil());
        for effect in notices {
            assert_eq!(effect, Effect::Notify(Notice::LiveDrift));
            let outcome = world.take_effect(id, &effect);
            world.observe(Some(id), None, &[Input::Outcome(outcome)]).unwrap();
            sent += 1;
        }
        world.tick(id);
    }
    sent
}

fn audited(world: &World) -> Vec<String> {
    world.audited(Kind::LiveDrift).iter().map(|record| record.to.clone()).collect()
}

#[test]
fn live_drift_is_reported_once_and_ends_when_the_pin_runs() {
    let mut world = deployed();
    look(&mut world);
    assert_eq!(drift(&world), None, "our own deployment is no drift");
    assert_eq!(notices_sent(&mut world), 0);
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    look(&mut world);
    assert_eq!(drift(&world).unwrap().services.len(), 1);
    assert_eq!((notices_sent(&mut world), notices_sent(&mut world)), (1, 0));
    let record = world.audited(Kind::LiveDrift)[0].clone();
    let (seven, one) = (digest(7), digest(1));
    assert_eq!(
        record.reason,
        Some(format!(
            "prod/web runs {seven} (task definition web:3, registered by arn:aws:iam::111122223333:user/ann); pin 1 is {one}"
        ))
    );
    assert_eq!(record.digest, Some(one));
    world.now += SignedDuration::from_hours(5);
    look(&mut world);
    assert_eq!(notices_sent(&mut world), 0, "the same drift is not reported again");
    deploy_by_hand(&mut world, 0, 1);
    look(&mut world);
    assert_eq!(drift(&world), None);
    assert_eq!(notices_sent(&mut world), 0);
    assert_eq!(audited(&world), ["Detected", "Ended"]);
    assert!(reports(&world).iter().all(|id| world.operations[id].wake_at.is_none()));
}

#[test]
fn flapping_service_is_reported_at_most_once_an_hour() {
    let mut world = deployed();
    let mut notices = 0;
    for minute in 0..20 {
        deploy_by_hand(&mut world, 0, if minute % 2 == 0 { 7 } else { 1 });
        look(&mut world);
        world.now += SignedDuration::from_mins(1);
        notices += notices_sent(&mut world);
    }
    assert_eq!(notices, 1);
    assert_eq!(audited(&world).len(), 20, "every change is audited");
    // A drift that lasts longer than the hour causes a second notice.
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    let report = *reports(&world).last().unwrap();
    let wake = world.operations[&report].wake_at.unwrap();
    assert_eq!(notices_sent(&mut world), 0);
    world.now = wake;
    assert_eq!(notices_sent(&mut world), 1);
}

#[test]
fn drift_that_ends_before_its_notice_is_not_reported() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    deploy_by_hand(&mut world, 0, 1);
    look(&mut world);
    assert_eq!(notices_sent(&mut world), 0);
}

#[test]
fn deployment_during_a_rollout_is_no_drift() {
    let mut world = deployed();
    let next = asked(&mut world, 5, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    assert!(world.environment.slot.is_some());
    deploy_by_hand(&mut world, 0, 2);
    look(&mut world);
    assert_eq!(drift(&world), None);
}

/// The environment has changed since the observation, so a difference may be no drift.
#[test]
fn observation_of_an_older_environment_version_is_ignored() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 2);
    let late = seen(&mut world);
    world.environment.version += 1;
    world.observe(None, None, &[Input::LiveSeen(late)]).unwrap();
    assert_eq!(drift(&world), None);
}

#[test]
fn rollback_to_the_pin_ends_live_drift() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    world.roll_back("stable").unwrap();
    for _ in 0..3 {
        world.settle();
        world.now += SignedDuration::from_mins(1);
    }
    assert_eq!(drift(&world), None);
    assert_eq!(audited(&world), ["Detected", "Ended"]);
    check(&world);
}

#[test]
fn hold_and_freeze_do_not_suppress_drift_notices() {
    let mut world = deployed();
    let by = world.id();
    world.environment.hold =
        Some(Hold { since: world.now, reason: HoldReason::Rollback(PinNumber::FIRST), by });
    let order = |action| {
        let actor = stablepin_rules::audit::Actor::Principal { arn: "arn:aws:iam::1:user/ann".to_owned() };
        let reason = Some("a holiday".to_owned());
        Input::Commanded(stablepin_rules::transition::EnvironmentCommand { action, reason, actor })
    };
    world.observe(None, None, &[order(stablepin_rules::transition::EnvironmentAction::Freeze)]).unwrap();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    assert_eq!(notices_sent(&mut world), 1);
}

#[test]
fn second_drifted_service_joins_the_open_drift() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    let id = drift(&world).unwrap().id;
    deploy_by_hand(&mut world, 1, 8);
    // After an ECS event, the promoter reads only the service that the event names.
    let mut seen = seen(&mut world);
    seen.services.pop_first();
    world.observe(None, None, &[Input::LiveSeen(seen)]).unwrap();
    let both = drift(&world).unwrap();
    assert_eq!((both.id, both.services.len()), (id, 2));
    assert_eq!(notices_sent(&mut world), 1);
    assert_eq!(audited(&world), ["Detected", "Detected"]);
}

#[test]
fn service_that_drifts_after_the_first_notice_is_reported_too() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    assert_eq!(notices_sent(&mut world), 1);
    world.now += SignedDuration::from_hours(20);
    deploy_by_hand(&mut world, 1, 8);
    look(&mut world);
    assert_eq!(drift(&world).unwrap().services.len(), 2);
    assert_eq!((notices_sent(&mut world), notices_sent(&mut world)), (1, 0));
    // A service that runs the pin again causes no notice.
    deploy_by_hand(&mut world, 1, 1);
    look(&mut world);
    world.now += SignedDuration::from_hours(20);
    assert_eq!((notices_sent(&mut world), drift(&world).unwrap().services.len()), (0, 1));
    assert_eq!(audited(&world), ["Detected", "Detected", "Detected"]);
}

#[test]
fn rollouts_record_the_task_definition_of_each_service() {
    let mut world = deployed();
    let services: Vec<_> = world.services.keys().cloned().collect();
    assert_eq!(world.environment.left.keys().cloned().collect::<Vec<_>>(), services);
    let of = |world: &World| {
        world.operations.values().next().unwrap().rollout_to(Direction::Forward).unwrap().clone()
    };
    for one in of(&world).services {
        assert_eq!(world.environment.left[&one.service], one.started.unwrap().task_definition);
    }
    world.configuration.application.environments[0].services.pop();
    asked_and_pinned(&mut world);
    assert_eq!(world.environment.left.len(), 1, "a removed service is forgotten");
}

fn asked_and_pinned(world: &mut World) {
    let next = asked(world, 5, 2);
    world.vote(next, "lead", Verdict::Approve).unwrap();
    for _ in 0..3 {
        world.now += SignedDuration::from_mins(1);
        world.settle();
    }
}

#[test]
fn drift_names_a_deleted_service() {
    let mut world = deployed();
    let mut seen = seen(&mut world);
    let gone = Deviation { task_definition: None, digest: None, registered_by: None };
    let web = seen.services.keys().next().unwrap().clone();
    seen.services = BTreeMap::from([(web, Some(gone))]);
    world.observe(None, None, &[Input::LiveSeen(seen)]).unwrap();
    assert_eq!(drift(&world).unwrap().words(), ["prod/web no longer exists"]);
}

/// A team with `deploy = "never"` may deploy a build before the build is pinned. Such a deployment
/// is no drift.
#[test]
fn environment_with_deploy_never_has_no_live_drift() {
    let mut world = deployed();
    deploy_by_hand(&mut world, 0, 7);
    look(&mut world);
    world.configuration.application.environments[0].deploy = Deploy::Never;
    look(&mut world);
    assert_eq!(audited(&world), ["Detected", "Ended"]);
    look(&mut world);
    assert_eq!(drift(&world), None);
}

/// Makes a service run a digest, and records that an operation deployed the digest. A failed revert
/// has the same effect.
fn left(world: &mut World, service: usize, n: u8) {
    deploy_by_hand(world, service, n);
    let name = world.services.keys().nth(service).unwrap().clone();
    world.environment.left.insert(name, format!("td of {}", digest(n)));
    world.environment.version += 1;
}

#[test]
fn failed_release_that_a_pipeline_deploys_again_is_drift() {
    let mut world = deployed();
    left(&mut world, 0, 9);
    look(&mut world);
    assert_eq!(drift(&world), None, "the operation's notice has reported it");
    let seen_before = seen(&mut world);
    assert!(is_known(&world.environment, world.subject(None, None).policy(), &seen_before));

    // A person deploys the pin. Then a pipeline deploys the failed release again.
    deploy_by_hand(&mut world, 0, 1);
    let seen_pin = seen(&mut world);
    assert!(!is_known(&world.environment, world.subject(None, None).policy(), &seen_pin));
    look(&mut world);
    assert_eq!((drift(&world), world.environment.left.len()), (None, 1));
    deploy_by_hand(&mut world, 0, 9);
    look(&mut world);
    assert_eq!(drift(&world).unwrap().services.len(), 1);
    check(&world);
}

#[test]
fn failed_release_is_drift_if_deployed_again_during_a_drift() {
    let mut world = deployed();
    left(&mut world, 0, 9);
    for n in [7, 9] {
        deploy_by_hand(&mut world, 0, n);
        look(&mut world);
        assert_eq!(drift(&world).unwrap().services.values().next().unwrap().digest, Some(digest(n)));
    }
}

#[test]
fn stale_observation_removes_no_recorded_task_definition() {
    let mut world = deployed();
    left(&mut world, 0, 9);
    deploy_by_hand(&mut world, 0, 1);
    let late = seen(&mut world);
    left(&mut world, 0, 9);
    world.observe(None, None, &[Input::LiveSeen(late)]).unwrap();
    look(&mut world);
    assert_eq!((drift(&world), world.environment.left.len()), (None, 2));
}

#[test]
fn deleted_service_is_drift_and_keeps_its_task_definition() {
    let mut world = deployed();
    left(&mut world, 0, 9);
    let web = world.services.keys().next().unwrap().clone();
    let gone = Deviation { task_definition: None, digest: None, registered_by: None };
    let observed = ObservedService { task_definition: None, deviation: Some(gone) };
    let seen = LiveSeen::new(world.id(), &world.environment, BTreeMap::from([(web.clone(), observed)]));
    world.observe(None, None, &[Input::LiveSeen(seen)]).unwrap();
    assert!(drift(&world).is_some() && world.environment.left.contains_key(&web));
}
