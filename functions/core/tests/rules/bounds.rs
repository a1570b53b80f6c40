//! What outside events can lengthen ends at its bound, and what was beyond it makes nothing less safe.

use stablepin_core::application::{FourEyes, Principal};
use stablepin_core::caller::{Caller, MORE_PUSHERS, MOST_PUSHERS};
use stablepin_core::effect::{Effect, Outcome, owed};
use stablepin_core::one_line::LONGEST_TEXT;
use stablepin_core::records::{OperationId, PromotionState, Verdict};
use stablepin_core::refusal::Refusal;
use stablepin_core::step::{Observed, may_decide};

use crate::world::{World, application, approver, start};
use crate::{ONE, TWO, asked, state};

/// A build whose approvers have principals, under four eyes.
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
    world.observe(Some(id), None, &[Observed::Called(Caller { arn, at: start() })]).unwrap();
}

#[test]
fn rule_5_so_many_pushers_that_nobody_is_told_apart_leave_nobody_to_decide() {
    for four_eyes in [FourEyes::On, FourEyes::Strict] {
        let (mut world, id) = watched(four_eyes);
        for n in 0..MOST_PUSHERS {
            pushed_by(&mut world, id, &format!("pipeline-{n}"));
        }
        world.vote(id, "lead", Verdict::Approve).unwrap();
        // One more, and it may have been any of them.
        pushed_by(&mut world, id, "approver-0");
        let subject = world.subject(Some(id), None);
        let pushers = &subject.promotion().unwrap().pushers;
        assert!(pushers.contains(MORE_PUSHERS) && pushers.len() == MOST_PUSHERS + 1);
        let refused = may_decide(world.now, &subject, &approver("second"), None);
        assert_eq!(refused, Err(Refusal::TooManyPushers));
        world.configuration.application.environments[0].approval.required = 1;
        world.observe(Some(id), None, &[Observed::Tick]).unwrap();
        world.settle();
        assert_eq!(state(&world, id), PromotionState::Pending, "the vote before it counts no more");
        assert_eq!(world.pins, []);
    }
}

#[test]
fn pushers_beyond_the_bound_hinder_nobody_without_four_eyes() {
    let (mut world, id) = watched(FourEyes::Off);
    for n in 0..MOST_PUSHERS * 3 {
        pushed_by(&mut world, id, &format!("pipeline-{n}"));
    }
    let audited = world.audit.len();
    pushed_by(&mut world, id, "another");
    assert_eq!(world.audit.len(), audited, "and is audited no more");
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.vote(id, "second", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn push_that_joins_a_question_brings_no_more_pushers_than_may_be() {
    let (mut world, id) = watched(FourEyes::On);
    let mut again = world.opening(1, 1);
    again.pushers = (0..2400).map(|n| format!("arn:aws:iam::111122223333:user/pipeline-{n}")).collect();
    let before = world.read(None, Some(&again.occurrence.digest));
    let change =
        stablepin_core::step::step(world.now, &before, &[Observed::Opened(Box::new(again))]).unwrap();
    world.commit(&before, change);
    let pushers = world.subject(Some(id), None).promotion().unwrap().pushers.clone();
    assert!(pushers.len() == MOST_PUSHERS + 1 && pushers.contains(MORE_PUSHERS));
}

#[test]
fn storm_of_pushes_leaves_short_lists() {
    let mut world = World::new(application(ONE, ""));
    for n in 1..=200 {
        world.push(i64::from(n), n).unwrap();
    }
    world.settle();
    assert!(world.environment.waiting.len() <= 20, "{}", world.environment.waiting.len());
    assert!(world.environment.asked.len() <= 25, "{}", world.environment.asked.len());
}

#[test]
fn words_of_others_are_cut() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    let long = "é".repeat(LONGEST_TEXT * 20);
    world.observe(Some(id), None, &[Observed::Outcome(Outcome::Problem(long))]).unwrap();
    let problem = world.operations[&id].problem.clone().unwrap();
    assert_eq!((problem.chars().count(), problem.ends_with('…')), (LONGEST_TEXT + 1, true));
    let just = "é".repeat(LONGEST_TEXT);
    world.observe(Some(id), None, &[Observed::Outcome(Outcome::Problem(just.clone()))]).unwrap();
    assert_eq!(world.operations[&id].problem, Some(just), "at the bound, all of it");
    let holder = world.uuid();
    let due = owed(world.now, &world.subject(Some(id), None), holder);
    assert!(!due.iter().any(|effect| matches!(effect, Effect::TagBuild(_))), "it goes on: {due:?}");
}
