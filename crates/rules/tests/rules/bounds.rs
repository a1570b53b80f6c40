//! Limits of stored lists and texts that pushes and failures make longer. No limit weakens a rule.

use std::collections::BTreeMap;

use stablepin_rules::application::{FourEyes, Principal, ServiceName};
use stablepin_rules::caller::{Caller, MORE_PUSHERS, MOST_PUSHERS};
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::live_drift::Deviation;
use stablepin_rules::one_line::LONGEST_TEXT;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Direction, Hold, HoldReason, LeftBehind, Live, NotPut, Progress, PromotionState, Rollout, Started,
    TakenTag, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, LiveSeen, is_known, may_decide};

use crate::world::{World, application, approver, deployed, digest, start};
use crate::{ONE, TWO, asked, pinned, state};

/// Opens a promotion under a four-eyes setting. Each approver has one principal.
fn watched(four_eyes: FourEyes) -> (World, OperationId) {
    let mut world = World::new(application(TWO, ""));
    let configured = &mut world.configuration.application;
    for (index, approver) in configured.approvers.iter_mut().enumerate() {
        let arn = format!("arn:aws:iam::111122223333:role/approver-{index}");
        approver.principals = vec![Principal::parse(&arn).unwrap()];
    }
    configured.environments[0].approval.four_eyes = four_eyes;
    let id = asked(&mut world, 0, 1);
    (world, id)
}

fn pushed_by(world: &mut World, id: OperationId, role: &str) {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/session");
    world.observe(Some(id), None, &[Input::Attributed(Caller { arn, at: start() })]).unwrap();
}

#[test]
fn rule_5_too_many_pushers_block_every_vote() {
    for four_eyes in [FourEyes::On, FourEyes::Strict] {
        let (mut world, id) = watched(four_eyes);
        for n in 0..MOST_PUSHERS {
            pushed_by(&mut world, id, &format!("pipeline-{n}"));
        }
        world.vote(id, "lead", Verdict::Approve).unwrap();
        // This pusher exceeds the limit, so the list no longer names every pusher.
        pushed_by(&mut world, id, "approver-0");
        let subject = world.subject(Some(id), None);
        let pushers = &subject.promotion().unwrap().pushers;
        assert!(pushers.contains(MORE_PUSHERS) && pushers.len() == MOST_PUSHERS + 1);
        let refused = may_decide(world.now, &subject, &approver("second"), None);
        assert_eq!(refused, Err(Refusal::TooManyPushers));
        world.configuration.application.environments[0].approval.required = 1;
        world.observe(Some(id), None, &[Input::Tick]).unwrap();
        world.settle();
        assert_eq!(state(&world, id), PromotionState::Pending, "the earlier vote must not count");
        assert_eq!(world.pins, []);
    }
}

#[test]
fn pushers_do_not_block_votes_if_the_four_eyes_rule_is_off() {
    let (mut world, id) = watched(FourEyes::Off);
    for n in 0..MOST_PUSHERS * 3 {
        pushed_by(&mut world, id, &format!("pipeline-{n}"));
    }
    let audited = world.audit.len();
    pushed_by(&mut world, id, "another");
    assert_eq!(world.audit.len(), audited, "further pushers are not audited");
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn repeated_push_does_not_exceed_the_limit_of_pushers() {
    let (mut world, id) = watched(FourEyes::On);
    let mut again = world.opening(1, 1);
    again.pushers = (0..2400).map(|n| format!("arn:aws:iam::111122223333:user/pipeline-{n}")).collect();
    let before = world.read(None, Some(&again.occurrence.digest));
    let change =
        stablepin_rules::transition::transition(world.now, &before, &[Input::Opened(Box::new(again))])
            .unwrap();
    world.commit(&before, change);
    let pushers = world.subject(Some(id), None).promotion().unwrap().pushers.clone();
    assert!(pushers.len() == MOST_PUSHERS + 1 && pushers.contains(MORE_PUSHERS));
}

#[test]
fn push_burst_keeps_waiting_and_asked_lists_within_limits() {
    let mut world = World::new(application(ONE, ""));
    for n in 1..=200 {
        world.push(i64::from(n), n).unwrap();
    }
    world.settle();
    assert!(world.environment.waiting.len() <= 20, "{}", world.environment.waiting.len());
    assert!(world.environment.asked.len() <= 25, "{}", world.environment.asked.len());
}

#[test]
fn problem_text_is_cut_at_its_limit() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    let long = "é".repeat(LONGEST_TEXT * 20);
    world.observe(Some(id), None, &[Input::Outcome(Outcome::Problem(long))]).unwrap();
    let problem = world.operations[&id].problem.clone().unwrap();
    assert_eq!((problem.chars().count(), problem.ends_with("… (cut)")), (LONGEST_TEXT, true));
    let just = "é".repeat(LONGEST_TEXT);
    world.observe(Some(id), None, &[Input::Outcome(Outcome::Problem(just.clone()))]).unwrap();
    assert_eq!(world.operations[&id].problem, Some(just), "text at the bound is not cut");
    let holder = world.uuid();
    let due = pending_effects(world.now, &world.subject(Some(id), None), holder);
    assert!(!due.iter().any(|effect| matches!(effect, Effect::TagBuild(_))), "the effect must wait: {due:?}");
}

/// The maximum size of a DynamoDB item, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const ITEM: usize = 400_000;

/// The most services in an application file: 80 names, minus the repository and the stable tag.
const SERVICES: usize = 78;

fn most_services() -> Vec<ServiceName> {
    let name = |n| format!("{}/{}-{n:02}", "c".repeat(50), "s".repeat(48));
    (0..SERVICES).map(|n| ServiceName::parse(&name(n)).unwrap()).collect()
}

fn with_most_services() -> World {
    let quoted: Vec<String> = most_services().iter().map(|name| format!("\"{name}\"")).collect();
    World::new(deployed(ONE, &quoted.join(", ")))
}

fn long_arn(kind: &str, n: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:111122223333:{kind}/{}{n:03}:1000", "x".repeat(250))
}

/// Returns the state of a service. Its tasks run `digests` different digests.
fn live(n: usize, digests: usize) -> Live {
    let of = |n: usize| ImageDigest::parse(&format!("sha256:{n:064x}")).unwrap();
    Live {
        task_definition: long_arn("task-definition", n),
        deployment: "ecs-svc/1234567890123456789".to_owned(),
        digests: (0..digests).map(of).collect(),
        described: Some(digest(7)),
    }
}

fn hears(world: &mut World, id: OperationId, direction: Direction, seen: &dyn Fn(usize) -> Observation) {
    let heard = |(n, service)| Input::Outcome(Outcome::Service(direction, service, seen(n)));
    let all: Vec<Input> = most_services().into_iter().enumerate().map(heard).collect();
    world.observe(Some(id), None, &all).unwrap();
}

fn size(record: &impl serde::Serialize) -> usize {
    serde_json::to_string(record).unwrap().len()
}

#[test]
fn promotion_with_long_texts_fits_a_dynamodb_item() {
    let mut world = with_most_services();
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    let all = most_services().into_iter().enumerate().map(|(n, service)| (service, live(n, 5000))).collect();
    world.observe(Some(id), None, &[Input::Outcome(Outcome::Prepared(all))]).unwrap();
    let words = |n: usize| format!("task {n} failed: {}", "é".repeat(20_000));
    let started = |n: usize| {
        Observation::Deployed(Started {
            deployment: "ecs-svc/1234567890123456789".to_owned(),
            service_deployment: Some(long_arn("service-deployment", n)),
            task_definition: long_arn("task-definition", n),
            health_checked: true,
            at: start(),
        })
    };
    let mut rollout = Rollout::begun(stablepin_rules::records::Destination::Before, Vec::new(), world.now);
    for direction in [Direction::Forward, Direction::Revert] {
        hears(&mut world, id, direction, &started);
        hears(&mut world, id, direction, &|n| Observation::Going { seen: words(n), paused: false });
        hears(&mut world, id, direction, &|n| Observation::Failed { reason: words(n) });
        rollout = world.operations[&id].rollout_to(direction).unwrap().clone();
    }
    let bytes = size(&world.operations[&id]);
    // The bytes of fifty votes, each with a reason.
    let votes = 50 * 1000;
    assert!(bytes + votes < ITEM, "{bytes} bytes");
    assert_eq!(state(&world, id), PromotionState::Failed);
    for (n, one) in rollout.services.iter().enumerate() {
        let Progress::Failed { reason } = &one.progress else { panic!("{:?}", one.progress) };
        assert!(
            reason.starts_with(&format!("task {n} failed: é")),
            "each service has its own reason: {reason}"
        );
        assert!(reason.ends_with("é… (cut)") && one.seen.as_ref().unwrap().ends_with("… (cut)"));
    }
}

#[test]
fn longest_reason_is_not_cut_if_there_is_only_one_service() {
    let mut world = World::new(deployed(ONE, "\"prod/web\""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.begin(id);
    world.land(0, true);
    let service = world.services.keys().next().unwrap().clone();
    let words = "x".repeat(LONGEST_TEXT);
    let refused = Observation::Unused { reason: words.clone(), revision: "td:1".to_owned() };
    let heard = Outcome::Service(Direction::Forward, service, refused);
    world.observe(Some(id), None, &[Input::Outcome(heard)]).unwrap();
    let there = world.operations[&id].rollout_to(Direction::Forward).unwrap();
    assert_eq!(there.services[0].progress, Progress::Failed { reason: words });
}

#[test]
fn rollback_records_at_most_two_running_digests_of_a_service() {
    for running in [2, 3, 5000] {
        let mut world = World::new(application(ONE, "\"prod/web\""));
        pinned(&mut world, 0, 1);
        let mut request = world.rollback_request("stable").unwrap();
        request.services[0].before = live(0, running);
        let id = request.id;
        world.observe(None, None, &[Input::RollbackRequested(Box::new(request))]).unwrap();
        let rollback = world.subject(Some(id), None).rollback().unwrap().clone();
        assert_eq!(rollback.rollout.services[0].before.digests.len(), 2);
        assert_eq!(rollback.backup, None, "several digests were live");
    }
}

#[test]
fn reason_of_a_refused_tag_is_cut_at_its_limit() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    let pin = world.environment.pin.as_ref().unwrap().number;
    let why = NotPut::Refused { reason: "é".repeat(LONGEST_TEXT * 20), at: world.now };
    let taken = Outcome::StableTaken(TakenTag { pin, tag: world.stable_tag(), why });
    for _ in 0..2 {
        world.observe(Some(id), None, &[Input::Outcome(taken.clone())]).unwrap();
    }
    let kept = world.environment.tag_taken.clone().unwrap();
    let NotPut::Refused { reason, .. } = &kept.why else { panic!("{kept:?}") };
    assert!(reason.chars().count() == LONGEST_TEXT && reason.ends_with("… (cut)"));
    assert_eq!(world.operations[&id].tag_taken, Some(kept));
}

#[test]
fn drift_of_many_services_fits_a_dynamodb_item() {
    let mut world = with_most_services();
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    let deviation = |n: usize| Deviation {
        task_definition: Some(long_arn("task-definition", n)),
        digest: Some(digest(9)),
        registered_by: Some(format!("arn:aws:iam::111122223333:user/{}", "p".repeat(2000))),
    };
    let services: BTreeMap<_, _> =
        most_services().into_iter().enumerate().map(|(n, service)| (service, Some(deviation(n)))).collect();
    let seen = LiveSeen {
        id: world.id(),
        environment_version: world.environment.version,
        services,
        moved_on: Default::default(),
    };
    world.observe(None, None, &[Input::LiveSeen(seen.clone())]).unwrap();
    let drift = world.environment.live_drift.clone().unwrap();
    assert_eq!(drift.services.len(), SERVICES);
    let long = |one: &Deviation| one.registered_by.as_ref().is_some_and(|by| by.len() > 510);
    assert!(!drift.services.values().any(long));
    assert!(
        is_known(&world.environment, world.subject(None, None).policy(), &seen),
        "the same drift must be known"
    );
    // The hold names the services that a pre-empted promotion has changed.
    let left = LeftBehind { digest: digest(9), moved: most_services(), is_whole: true, is_late: true };
    let reason = HoldReason::RollbackRefused { pin: PinNumber::FIRST, left };
    let by = world.id();
    world.environment.hold = Some(Hold { since: world.now, reason, by });
    // The bytes of the environment's other lists of digests, each at its limit.
    let left = 1000 * (digest(1).to_string().len() + 3);
    assert!(size(&world.environment) + left < ITEM, "{} bytes", size(&world.environment));
}
