use insta::assert_snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::image::ImageTag;
use crate::records::NotPut;

fn digest() -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", "a1".repeat(32))).unwrap()
}

fn pin() -> PinNumber {
    PinNumber::new(7).unwrap()
}

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

fn taken() -> TakenTag {
    let why = NotPut::Taken { on: digest(), by: Some("arn:aws:iam::111122223333:user/anna".to_owned()) };
    TakenTag { pin: pin(), tag: ImageTag::parse("prod-stable-000007").unwrap(), why }
}

fn left(moved: &[&str], is_whole: bool, is_late: bool) -> LeftBehind {
    let moved = moved.iter().map(|name| ServiceName::parse(name).unwrap()).collect();
    LeftBehind { digest: digest(), moved, is_whole, is_late }
}

fn failures() -> Vec<RolloutFailure> {
    vec![
        RolloutFailure::Reported("prod/web: tasks failed to start".to_owned()),
        RolloutFailure::Superseded("prod/web: ecs-svc/2 replaced ours".to_owned()),
        RolloutFailure::NothingProven,
        RolloutFailure::NotBegun(Some("ECS could not be asked: throttled".to_owned())),
        RolloutFailure::NotBegun(None),
        RolloutFailure::EnvironmentRemoved,
    ]
}

fn reported() -> RolloutFailure {
    failures().swap_remove(0)
}

/// Returns the reasons' texts, after storing each reason as JSON and reading it again.
fn words<T: Serialize + DeserializeOwned + PartialEq + Display + fmt::Debug>(reasons: Vec<T>) -> String {
    let text = |reason: T| {
        let stored = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<T>(&stored).unwrap(), reason);
        reason.to_string().replace(&digest().to_string(), "sha256:a1")
    };
    reasons.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

#[test]
fn promotion_reasons_print_as_expected() {
    let said = || Some("breaks the login".to_owned());
    let hold = HoldReason::Rollback(pin());
    let expired = |waited_for| PromotionReason::Expired(waited_for);
    let rollback = OperationId::parse("0198184a-0200-7000-8000-000000000001");
    assert_snapshot!(words(vec![
        PromotionReason::Pinned { pin: pin(), without: Vec::new() },
        PromotionReason::Pinned { pin: pin(), without: vec![taken()] },
        PromotionReason::Rejected { by: lead(), reason: said() },
        PromotionReason::Withdrawn { by: Actor::Stablepin, reason: None },
        PromotionReason::Superseded(pin()),
        expired(Blocker::Decision),
        expired(Blocker::Freeze("sale".to_owned())),
        expired(Blocker::Hold(hold.clone())),
        PromotionReason::PartOfIndex(ContainingIndex {
                digest: digest(),
                tag: ImageTag::parse("main").unwrap(),
                pushed_at: "2025-07-17T14:30:52Z".parse().unwrap(),
            }),
        PromotionReason::EnvironmentRemoved,
        PromotionReason::Preempted { rollback, hold: None },
        PromotionReason::Preempted { rollback: None, hold: Some(hold) },
        PromotionReason::Preempted { rollback: None, hold: None },
    ]), @"
    pinned as pin 7
    pinned as pin 7; ECR did not accept the tag prod-stable-000007 of pin 7: it is on sha256:a1, put there by arn:aws:iam::111122223333:user/anna, and the repository does not let it move
    rejected by lead: breaks the login
    withdrawn by stablepin
    superseded: a later build became pin 7
    expired: nobody decided in time
    expired: approved, but the environment is frozen (sale)
    expired: approved, but the environment is held (rollback to pin 7)
    part of an image index: main (sha256:a1), pushed at 2025-07-17 14:30 UTC, contains it and is promoted instead
    the environment was removed from the configuration
    pre-empted by rollback 0198184a-0200-7000-8000-000000000001: its record says what happens to the services
    pre-empted by a rollback, which has ended. The environment is held: rollback to pin 7
    pre-empted by a rollback, which has ended: its record says what happened to the services
    ");
}

#[test]
fn reason_of_a_failed_promotion_describes_the_services() {
    let aftermaths = [
        Aftermath::Untouched,
        Aftermath::Unchanged,
        Aftermath::NotMoved,
        Aftermath::NoWayBack,
        Aftermath::RevertedByEcs(Some(pin())),
        Aftermath::RevertedByEcs(None),
        Aftermath::Reverted,
        Aftermath::RevertedUnproven,
        Aftermath::RevertFailed(reported()),
    ];
    let failed = |aftermath| PromotionReason::Failed { failure: reported(), aftermath };
    assert_snapshot!(words(aftermaths.map(failed).to_vec()), @"
    Stablepin changed nothing: prod/web: tasks failed to start
    prod/web: tasks failed to start
    prod/web: tasks failed to start. No service was moved
    prod/web: tasks failed to start. There is no earlier image to roll back to
    prod/web: tasks failed to start. ECS rolled back to pin 7
    prod/web: tasks failed to start. ECS rolled back to what ran before
    prod/web: tasks failed to start. Every service was rolled back
    prod/web: tasks failed to start. Every service was rolled back, but no task runs that could prove it
    prod/web: tasks failed to start. Rolling back failed: prod/web: tasks failed to start
    ");
    let other = [Aftermath::NotMoved, Aftermath::Reverted];
    let failed = |aftermath| PromotionReason::Failed { failure: failures().swap_remove(1), aftermath };
    assert_snapshot!(words(other.map(failed).to_vec()), @"
    prod/web: ecs-svc/2 replaced ours. Stablepin did not change what runs there now. No other service was moved
    prod/web: ecs-svc/2 replaced ours. Stablepin did not change what runs there now. Every other service was rolled back
    ");
}

#[test]
fn rollback_and_hold_reasons_print_as_expected() {
    assert_snapshot!(words(failures()), @"
    prod/web: tasks failed to start
    prod/web: ecs-svc/2 replaced ours. Stablepin did not change what runs there now
    not proven: the desired count of every service is 0, so no task runs that could prove it
    the rollout could not start in time: ECS could not be asked: throttled
    the rollout could not start in time: the reason is not known
    the environment was removed from the configuration before the rollout ended
    ");
    let proven = |services, pin, is_partial, without| RollbackReason::Proven {
        services,
        digest: digest(),
        pin,
        is_partial,
        without,
    };
    let untouched = |left| RollbackReason::NothingTouched { failure: reported(), left };
    assert_snapshot!(words(vec![
        proven(0, Some(pin()), false, None),
        proven(1, None, true, None),
        proven(2, Some(pin()), false, Some(taken())),
        RollbackReason::Failed(reported()),
        untouched(None),
        untouched(Some(left(&[], true, true))),
        untouched(Some(left(&[], false, false))),
        untouched(Some(left(&["prod/web", "prod/worker"], true, false))),
    ]), @"
    no services; pinned at sha256:a1, pin 7
    1 service proven at sha256:a1; the pin stays, because not every service of the environment was named
    2 services proven at sha256:a1, pin 7; ECR did not accept the tag prod-stable-000007 of pin 7: it is on sha256:a1, put there by arn:aws:iam::111122223333:user/anna, and the repository does not let it move
    prod/web: tasks failed to start
    Stablepin changed nothing: prod/web: tasks failed to start
    Stablepin changed nothing: prod/web: tasks failed to start. No service was found at sha256:a1, which the pre-empted promotion was deploying; a call of that promotion may have moved others since
    Stablepin changed nothing: prod/web: tasks failed to start. None of the named services was found at sha256:a1, which the pre-empted promotion was deploying. It may have moved services that this rollback does not name
    Stablepin changed nothing: prod/web: tasks failed to start. The pre-empted promotion had moved prod/web, prod/worker to sha256:a1, and that was not undone
    ");
    assert_snapshot!(words(vec![
        HoldReason::Rollback(pin()),
        HoldReason::RollbackRefused { pin: pin(), left: left(&["prod/web"], true, false) },
        HoldReason::ReleaseFailed(reported()),
    ]), @"
    rollback to pin 7
    rollback to pin 7 changed nothing. The pre-empted promotion had moved prod/web to sha256:a1, and that was not undone
    prod/web: tasks failed to start
    ");
}
