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
        RolloutFailure::Superseded("prod/web: ecs-svc/2 took the place of ours".to_owned()),
        RolloutFailure::NothingProven,
        RolloutFailure::NotBegun(Some("ECS could not be asked: throttled".to_owned())),
        RolloutFailure::NotBegun(None),
        RolloutFailure::EnvironmentRemoved,
    ]
}

fn reported() -> RolloutFailure {
    failures().swap_remove(0)
}

/// Returns the reasons' texts. Each reason is first stored as JSON and read again.
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
    pinned as pin 7; the tag prod-stable-000007 of pin 7 could not be put: it is on sha256:a1, put there by arn:aws:iam::111122223333:user/anna, and the repository does not let it move
    rejected by lead: breaks the login
    withdrawn by stablepin
    superseded: a later build became pin 7
    expired: nobody decided in time
    expired: approved, but the environment is frozen (sale)
    expired: approved, but the environment is held (rollback to pin 7)
    part of an image index: main (sha256:a1), pushed at 2025-07-17 14:30 UTC, contains it and is asked for instead
    the environment left the configuration
    pre-empted by rollback 0198184a-0200-7000-8000-000000000001: its record says what becomes of the services
    pre-empted by a rollback, which has ended. The environment is held: rollback to pin 7
    pre-empted by a rollback, which has ended: its record says what became of the services
    ");
}

#[test]
fn failed_promotion_reason_describes_its_services() {
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
    nothing was touched: prod/web: tasks failed to start
    prod/web: tasks failed to start
    prod/web: tasks failed to start. No service was moved
    prod/web: tasks failed to start. There is nothing else to go back to
    prod/web: tasks failed to start. ECS went back by itself, to pin 7
    prod/web: tasks failed to start. ECS went back by itself, to what ran before
    prod/web: tasks failed to start. Every service is back
    prod/web: tasks failed to start. Every service is back, but nothing runs that could prove it
    prod/web: tasks failed to start. Going back did not work: prod/web: tasks failed to start
    ");
    let other = [Aftermath::NotMoved, Aftermath::Reverted];
    let failed = |aftermath| PromotionReason::Failed { failure: failures().swap_remove(1), aftermath };
    assert_snapshot!(words(other.map(failed).to_vec()), @"
    prod/web: ecs-svc/2 took the place of ours. What runs there now is not ours: it was not touched. No other service was moved
    prod/web: ecs-svc/2 took the place of ours. What runs there now is not ours: it was not touched. Every other service is back
    ");
}

#[test]
fn rollback_and_hold_reasons_print_as_expected() {
    assert_snapshot!(words(failures()), @"
    prod/web: tasks failed to start
    prod/web: ecs-svc/2 took the place of ours. What runs there now is not ours: it was not touched
    nothing proven: the desired count is 0 everywhere, so nothing runs that could prove it
    it could not begin in time: ECS could not be asked: throttled
    it could not begin in time: nobody knows why
    the environment left the configuration before the rollout ended
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
    no services here; pinned at sha256:a1, pin 7
    1 service proven at sha256:a1; the pin stays, because not every service of the environment was named
    2 services proven at sha256:a1, pin 7; the tag prod-stable-000007 of pin 7 could not be put: it is on sha256:a1, put there by arn:aws:iam::111122223333:user/anna, and the repository does not let it move
    prod/web: tasks failed to start
    nothing was touched: prod/web: tasks failed to start
    nothing was touched: prod/web: tasks failed to start. No service was found at sha256:a1, which the pre-empted promotion was to bring; a call of that promotion may have moved others since
    nothing was touched: prod/web: tasks failed to start. None of the named services was found at sha256:a1, which the pre-empted promotion was to bring. It may have moved services that this rollback does not name
    nothing was touched: prod/web: tasks failed to start. The pre-empted promotion had moved prod/web, prod/worker to sha256:a1, and that stays
    ");
    assert_snapshot!(words(vec![
        HoldReason::Rollback(pin()),
        HoldReason::RollbackRefused { pin: pin(), left: left(&["prod/web"], true, false) },
        HoldReason::ReleaseFailed(reported()),
    ]), @"
    rollback to pin 7
    rollback to pin 7 touched nothing. The pre-empted promotion had moved prod/web to sha256:a1, and that stays
    prod/web: tasks failed to start
    ");
}
