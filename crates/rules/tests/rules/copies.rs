//! Tests of the copy of an approved image to the environment's own repository.

use jiff::SignedDuration;
use stablepin_rules::application::Application;
use stablepin_rules::audit::Actor;
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{CopyProgress, Freeze, ImageCopy, Promotion, PromotionState, Verdict};
use stablepin_rules::transition::Input;

use crate::fixtures::{ONE, asked, state};
use crate::world::effects::COPIED;
use crate::world::{World, application, deployed};

fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).unwrap()
}

/// Returns a world in which production has a repository of its own.
fn with_own_repository() -> World {
    own_repository(application(ONE, ""))
}

/// Returns a world in which Stablepin also deploys the image from that repository.
fn deployed_from_own_repository() -> World {
    own_repository(deployed(ONE, "\"prod/web\""))
}

fn own_repository(mut configured: Application) -> World {
    configured.environments[0].repository = repository("prod/web");
    World::new(configured)
}

fn promotion(world: &World, id: OperationId) -> Promotion {
    world.subject(Some(id), None).promotion().unwrap().clone()
}

/// Returns the reason with which the promotion ended.
fn reason(world: &World, id: OperationId) -> String {
    promotion(world, id).reason.unwrap().to_string()
}

fn copy(world: &World, id: OperationId) -> ImageCopy {
    promotion(world, id).copy.unwrap()
}

/// Opens a promotion, and approves it while no effect is carried out.
fn approved(world: &mut World) -> OperationId {
    let id = asked(world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    assert_eq!(state(world, id), PromotionState::InProgress);
    id
}

fn report(world: &mut World, id: OperationId, progress: CopyProgress) {
    observe(world, id, Outcome::Copying { to: repository("prod/web"), progress });
}

fn observe(world: &mut World, id: OperationId, outcome: Outcome) {
    world.observe(Some(id), None, &[Input::Outcome(outcome)]).unwrap();
}

fn failed_try(world: &mut World, id: OperationId, is_refusal: bool) {
    let problem = "the registry is busy".to_owned();
    observe(
        world,
        id,
        Outcome::CopyFailed {
            to: repository("prod/web"),
            progress: CopyProgress::default(),
            problem,
            is_refusal,
        },
    );
    world.wait(16 * 60);
}

#[test]
fn approved_image_is_copied_before_it_is_pinned() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    assert_eq!(copy(&world, id).to, repository("prod/web"));
    assert!(world.pins.is_empty(), "nothing was copied yet");
    world.settle();
    let ended = promotion(&world, id);
    assert_eq!((ended.state, world.pins.len()), (PromotionState::Completed, 1));
    assert_eq!(ended.copy.unwrap().progress, COPIED);
    let said = world.audit.iter().filter_map(|record| record.reason.as_deref());
    assert!(
        said.clone().any(|reason| reason == "copied to prod/web: 3 layers, 30.0 MB"),
        "{:?}",
        world.audit
    );
}

#[test]
fn services_are_deployed_after_the_copy() {
    let mut world = deployed_from_own_repository();
    let id = approved(&mut world);
    let waiting = promotion(&world, id);
    assert_eq!((waiting.rollout, waiting.pin), (None, None));
    world.settle();
    assert!(promotion(&world, id).rollout.is_some());
}

#[test]
fn image_in_the_applications_repository_is_not_copied() {
    let mut world = World::new(application(ONE, ""));
    let id = asked(&mut world, 0, 1);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    assert_eq!((promotion(&world, id).copy, world.pins.len()), (None, 1));
}

#[test]
fn copy_succeeds_at_the_third_try() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    failed_try(&mut world, id, false);
    failed_try(&mut world, id, false);
    assert_eq!(copy(&world, id).tries, 2);
    world.settle();
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn copy_fails_after_three_tries() {
    let mut world = deployed_from_own_repository();
    let id = approved(&mut world);
    (0..3).for_each(|_| failed_try(&mut world, id, false));
    let ended = promotion(&world, id);
    assert_eq!(ended.state, PromotionState::Failed);
    let reason = reason(&world, id);
    assert!(
        reason.contains("max retries: the copy to prod/web failed 3 times: the registry is busy"),
        "{reason}"
    );
    assert!(world.environment.slot.is_none() && world.environment.hold.is_none());
    assert!(world.pins.is_empty());
}

/// The first refusal may mean that a new permission is not yet effective.
#[test]
fn copy_fails_at_the_second_refusal() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    failed_try(&mut world, id, true);
    assert_eq!(state(&world, id), PromotionState::InProgress);
    failed_try(&mut world, id, true);
    let reason = reason(&world, id);
    assert!(reason.contains("registry error: the image could not be copied to prod/web"), "{reason}");
}

#[test]
fn refusal_after_a_transient_failure_does_not_end_the_copy() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    failed_try(&mut world, id, false);
    failed_try(&mut world, id, true);
    assert_eq!(state(&world, id), PromotionState::InProgress);
    failed_try(&mut world, id, true);
    let reason = reason(&world, id);
    assert!(reason.contains("registry error"), "{reason}");
}

#[test]
fn freeze_during_a_copy_ends_the_promotion_before_deployment() {
    for mut world in [with_own_repository(), deployed_from_own_repository()] {
        let id = approved(&mut world);
        let by = Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() };
        world.environment.freeze = Some(Freeze { since: world.now, reason: "sale".to_owned(), by });
        world.settle();
        let ended = promotion(&world, id);
        assert_eq!((ended.state, ended.rollout, ended.pin), (PromotionState::Failed, None, None));
        let reason = ended.reason.unwrap().to_string();
        assert!(reason.contains("frozen during the copy (sale)"), "{reason}");
        assert!(world.environment.slot.is_none() && world.environment.hold.is_none());
    }
}

#[test]
fn file_without_an_own_repository_ends_a_copy_without_a_timeout() {
    let mut world = deployed_from_own_repository();
    let id = approved(&mut world);
    for n in 1..=60 {
        world.wait(60);
        report(&mut world, id, CopyProgress { bytes_done: n, layers_done: 0, ..COPIED });
    }
    world.configuration.application.environments[0].repository = repository("web");
    world.configuration.version += 1;
    world.tick(id);
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.settle();
    assert!(promotion(&world, id).rollout.is_some());
}

#[test]
fn layer_that_arrives_ends_a_series_of_failed_tries() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    failed_try(&mut world, id, false);
    failed_try(&mut world, id, false);
    report(&mut world, id, CopyProgress { layers_done: 1, ..COPIED });
    assert_eq!(copy(&world, id).tries, 0);
    failed_try(&mut world, id, false);
    assert_eq!(state(&world, id), PromotionState::InProgress);
}

/// Each try first reads the manifests, and reports no layers meanwhile.
#[test]
fn report_without_counted_layers_is_no_progress() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    let before = CopyProgress { layers_done: 1, ..COPIED };
    report(&mut world, id, before);
    failed_try(&mut world, id, false);
    report(&mut world, id, CopyProgress::default());
    report(&mut world, id, before);
    assert_eq!((copy(&world, id).tries, copy(&world, id).progress), (1, before));
}

#[test]
fn copy_fails_if_it_makes_no_progress() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    let began = world.now;
    let progress = CopyProgress { layers_done: 1, bytes_done: 20_000_000, ..COPIED };
    while state(&world, id) == PromotionState::InProgress {
        world.wait(60);
        report(&mut world, id, progress);
        world.tick(id);
        assert!(world.now < began + SignedDuration::from_hours(2));
    }
    let reason = reason(&world, id);
    assert!(reason.contains("no progress for 45 minutes, 1 of 3 layers have arrived"), "{reason}");
}

/// Other copies may take all invocations.
#[test]
fn copy_that_no_invocation_begins_fails_after_six_hours() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    let began = world.now;
    while state(&world, id) == PromotionState::InProgress {
        world.wait(60);
        world.tick(id);
        assert!(world.now < began + SignedDuration::from_hours(7));
    }
    assert!(world.now >= began + SignedDuration::from_hours(6));
    let reason = reason(&world, id);
    assert!(reason.contains("did not begin within 6 hours"), "{reason}");
}

/// The wait for an invocation does not count as time without progress.
#[test]
fn copy_that_begins_late_has_its_time_without_progress() {
    let nothing_sent = CopyProgress { layers_done: 0, bytes_done: 0, ..COPIED };
    for first_try_fails in [false, true] {
        let mut world = with_own_repository();
        let id = approved(&mut world);
        world.wait(5 * 3600);
        world.tick(id);
        let began = world.now;
        match first_try_fails {
            true => failed_try(&mut world, id, false),
            false => report(&mut world, id, nothing_sent),
        }
        world.now = began + SignedDuration::from_mins(44);
        world.tick(id);
        assert_eq!(state(&world, id), PromotionState::InProgress);
        world.wait(60);
        world.tick(id);
        assert!(reason(&world, id).contains("no progress for 45 minutes"));
    }
}

#[test]
fn long_copy_does_not_use_up_the_deployment_timeout() {
    let mut world = deployed_from_own_repository();
    let id = approved(&mut world);
    for n in 1..=240 {
        world.wait(60);
        report(&mut world, id, CopyProgress { bytes_done: n, layers_done: 0, ..COPIED });
        world.tick(id);
    }
    assert_eq!(state(&world, id), PromotionState::InProgress);
    world.settle();
    assert!(promotion(&world, id).rollout.is_some());
}

#[test]
fn changed_repository_begins_another_copy() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    report(&mut world, id, CopyProgress { layers_done: 2, ..COPIED });
    world.configuration.application.environments[0].repository = repository("prod/api");
    world.configuration.version += 1;
    world.tick(id);
    assert_eq!(copy(&world, id).to, repository("prod/api"));
    // The copy to the former repository is complete only now.
    observe(&mut world, id, Outcome::Copied { to: repository("prod/web"), progress: COPIED });
    assert_eq!(copy(&world, id).progress, CopyProgress::default());
    assert!(world.pins.is_empty());
    world.settle();
    assert_eq!(copy(&world, id).to, repository("prod/api"));
    assert_eq!(state(&world, id), PromotionState::Completed);
}

#[test]
fn end_of_the_promotion_makes_a_late_copy_harmless() {
    let mut world = with_own_repository();
    let id = approved(&mut world);
    (0..3).for_each(|_| failed_try(&mut world, id, false));
    let before = promotion(&world, id);
    observe(&mut world, id, Outcome::Copied { to: repository("prod/web"), progress: COPIED });
    assert_eq!(promotion(&world, id), before);
    assert!(world.pins.is_empty());
}
