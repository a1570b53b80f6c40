use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::build_tag::BuildTag;
use crate::commit8::Commit8;
use crate::name::EnvironmentName;
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::records::{Slot, SlotKind};

fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

fn commit(n: u8) -> String {
    format!("{n:02x}").repeat(20)
}

fn number(n: u64) -> PinNumber {
    PinNumber::new(n).unwrap()
}

fn stable() -> ImageTag {
    ImageTag::parse("prod-stable").unwrap()
}

/// Returns the pin with number `n` and the given build.
fn pin(n: u64, build: u8) -> Pin {
    let environment = EnvironmentName::parse("production").unwrap();
    let at = jiff::Timestamp::from_second(1_752_762_652 + i64::from(build)).unwrap();
    Pin {
        number: number(n),
        digest: digest(build),
        build_tag: BuildTag::new(environment, at, Commit8::of_digest(&digest(build))),
        commit: Some(commit(build)),
        by: OperationId::new(Uuid::from_u128(u128::from(n))),
        at,
        platforms: Vec::new(),
        size_bytes: None,
        revisions: Default::default(),
    }
}

fn history(builds: &[u8]) -> (Environment, Vec<Pin>) {
    let pins: Vec<Pin> = (1..).zip(builds).map(|(n, build)| pin(n, *build)).collect();
    (Environment { pin: pins.last().cloned(), ..Environment::untouched() }, pins)
}

fn to(environment: &Environment, pins: &[Pin], live: &[u8], to: &str) -> Result<(u64, ImageDigest), Refusal> {
    let live = live.iter().map(|n| digest(*n)).collect();
    let target = resolve(&To::parse(to), environment, pins, &live, &stable())?;
    Ok((target.pin.get(), target.digest))
}

#[test]
fn rollback_target_can_be_named_in_several_forms() {
    let (environment, pins) = history(&[0xa1, 0xb2, 0xc3]);
    let resolved = |text: &str| to(&environment, &pins, &[0xc3], text);
    let second = Ok((2, digest(0xb2)));
    assert_eq!(resolved("stable"), Ok((3, digest(0xc3))));
    assert_eq!(resolved("previous"), second);
    assert_eq!(resolved("2"), second);
    assert_eq!(resolved("000002"), second);
    assert_eq!(resolved(digest(0xb2).as_str()), second);
    assert_eq!(resolved(&pins[1].build_tag.to_string()), second);
    assert_eq!(resolved("prod-stable-000002"), second);
    assert_eq!(resolved(&commit(0xb2)), second);
    assert_eq!(resolved("b2b2b2b"), second, "Git's short form");
    assert_eq!(resolved("B2B2B2B2"), second);
}

#[test]
fn rollback_to_a_build_that_was_never_pinned_is_refused() {
    let (environment, pins) = history(&[0xa1, 0xb2]);
    for never in [
        digest(0xc3).to_string(),
        commit(0xc3),
        "b2b2b2".into(),
        "prod-stable".into(),
        "main".into(),
        "".into(),
    ] {
        let refused = to(&environment, &pins, &[], &never);
        assert_eq!(refused, Err(Refusal::NeverPinned { to: never }));
    }
    assert_eq!(
        to(&environment, &pins, &[], "3"),
        Err(Refusal::UnknownPin { number: number(3), newest: number(2) })
    );
    let nothing = Environment::untouched();
    assert_eq!(to(&nothing, &[], &[], "stable"), Err(Refusal::NothingPinned));
}

#[test]
fn previous_skips_live_and_rolled_back_digests() {
    let (mut environment, pins) = history(&[1, 2, 3]);
    assert_eq!(
        to(&environment, &pins, &[9], "previous"),
        Ok((3, digest(3))),
        "the pin counts as previous if it is not live"
    );
    assert_eq!(to(&environment, &pins, &[3], "previous"), Ok((2, digest(2))));
    environment.rolled_back_from.push(digest(2));
    assert_eq!(to(&environment, &pins, &[3], "previous"), Ok((1, digest(1))));
    assert_eq!(to(&environment, &pins, &[1, 3], "previous"), Err(Refusal::NoPrevious));
}

#[test]
fn older_pin_with_the_current_digest_means_the_current_pin() {
    let (environment, pins) = history(&[1, 2, 1]);
    assert_eq!(to(&environment, &pins, &[], "1"), Ok((3, digest(1))));
    assert_eq!(to(&environment, &pins, &[], "prod-stable-000001"), Ok((3, digest(1))));
}

#[test]
fn pin_newer_than_current_pin_is_ignored() {
    let (environment, mut pins) = history(&[1, 2]);
    pins.push(pin(3, 3));
    assert_eq!(to(&environment, &pins, &[2], "previous"), Ok((1, digest(1))));
    assert!(to(&environment, &pins, &[], digest(3).as_str()).is_err());
}

fn rollout(running: &[u8], described: Option<u8>) -> ServiceRollout {
    use crate::application::ServiceName;
    use crate::records::Live;
    let before = Live {
        task_definition: String::new(),
        deployment: String::new(),
        digests: running.iter().map(|n| digest(*n)).collect(),
        described: described.map(digest),
    };
    ServiceRollout::waiting(ServiceName::parse("prod/web").unwrap(), before)
}

/// Tests a deployment from pin 2 to pin 3 that crashes halfway. Some tasks still run pin 2, and
/// `previous` must mean pin 2.
#[test]
fn previous_means_the_old_pin_while_a_deployment_crashes() {
    let (environment, pins) = history(&[1, 2, 3]);
    let intended = intended(&[rollout(&[2], Some(3)), rollout(&[2, 3], Some(3))], Some(&digest(3)));
    let target = resolve(&To::Previous, &environment, &pins, &intended, &stable()).unwrap();
    assert_eq!(target.digest, digest(2));
}

#[test]
fn running_digest_counts_if_task_definition_has_no_digest() {
    let pinned = digest(1);
    let intended = |services: &[ServiceRollout]| intended(services, Some(&pinned));
    assert_eq!(intended(&[rollout(&[2], None), rollout(&[4], Some(3))]), [2, 3].map(digest).into());
    assert_eq!(intended(&[rollout(&[], None)]), [digest(1)].into());
    assert_eq!(intended(&[]), [digest(1)].into());
}

#[test]
fn seven_digits_may_mean_a_pin_or_a_commit() {
    let (environment, mut pins) = history(&[1, 2]);
    pins[0].commit = Some("1234567890".repeat(4));
    assert_eq!(to(&environment, &pins, &[2], "1234567"), Ok((1, digest(1))));
    assert_eq!(to(&environment, &pins, &[2], "0000001"), Ok((1, digest(1))), "pin numbers win over commits");
    let unknown = Err(Refusal::UnknownPin { number: number(7_654_321), newest: number(2) });
    assert_eq!(to(&environment, &pins, &[2], "7654321"), unknown);
}

#[test]
fn short_commit_matches_full_commit() {
    let (environment, mut pins) = history(&[0xa1, 0xb2]);
    pins[0].commit = Some("a1a1a1a".to_owned());
    assert_eq!(
        to(&environment, &pins, &[0xb2], &commit(0xa1)),
        Ok((1, digest(0xa1))),
        "the stored commit is short, the requested one is full"
    );
}

#[test]
fn commit_of_two_builds_is_refused_as_ambiguous() {
    let (environment, mut pins) = history(&[0xa1, 0xb2, 0xc3]);
    pins[1].commit = Some(commit(0xa1));
    let refused = to(&environment, &pins, &[0xc3], "a1a1a1a1");
    let candidates = vec![number(1), number(2)];
    assert_eq!(refused, Err(Refusal::Ambiguous { to: "a1a1a1a1".to_owned(), candidates }));
    assert_eq!(to(&environment, &pins, &[0xc3], "1"), Ok((1, digest(0xa1))), "a pin number is not ambiguous");
}

/// A promotion may write its pin between the reads of the environment and of the pins.
#[test]
fn pin_after_the_current_pin_makes_no_commit_ambiguous() {
    let (mut environment, mut pins) = history(&[0xa1, 0xb2, 0xc3]);
    environment.pin = Some(pins[1].clone());
    pins[2].commit = Some(commit(0xa1));
    assert_eq!(to(&environment, &pins, &[0xb2], "a1a1a1a1"), Ok((1, digest(0xa1))));
}

#[test]
fn second_rollback_is_refused_while_a_rollback_runs() {
    let (mut environment, pins) = history(&[1]);
    let id = OperationId::new(Uuid::from_u128(9));
    environment.slot = Some(Slot {
        operation: id,
        kind: SlotKind::Rollback,
        digest: digest(1),
        since: jiff::Timestamp::UNIX_EPOCH,
        moving_until: None,
    });
    for name in ["stable", "previous", "7", "main"] {
        assert_eq!(to(&environment, &pins, &[1], name), Err(Refusal::RollbackRunning { id }), "{name}");
    }
}

#[test]
fn live_digest_is_the_pinned_digest_if_nothing_else_is_known() {
    let pinned = digest(1);
    let live = |services: &[ServiceRollout]| live(services, Some(&pinned));
    assert_eq!(live(&[rollout(&[2], Some(3)), rollout(&[4], None)]), [2, 3, 4].map(digest).into());
    assert_eq!(live(&[rollout(&[], None)]), [digest(1)].into());
    assert_eq!(live(&[]), [digest(1)].into());
    assert_eq!(super::live(&[], None), BTreeSet::new());
}

proptest! {
    #[test]
    fn target_is_always_a_pin_of_the_history(
        builds in prop::collection::vec(1..6_u8, 1..12),
        live in prop::collection::btree_set(1..7_u8, 0..4),
        left in prop::collection::btree_set(1..7_u8, 0..4),
        named in 0..9_u8,
        form in 0..7_usize,
    ) {
        let (mut environment, pins) = history(&builds);
        environment.rolled_back_from = left.iter().map(|n| digest(*n)).collect();
        let text = match form {
            0 => "stable".to_owned(),
            1 => "previous".to_owned(),
            2 => named.to_string(),
            3 => digest(named).to_string(),
            4 => commit(named),
            5 => pin(1, named).build_tag.to_string(),
            _ => crate::build_tag::numbered(&stable(), number(u64::from(named) + 1)).to_string(),
        };
        let live: Vec<u8> = live.into_iter().collect();
        let current = environment.pin.clone().unwrap();
        match to(&environment, &pins, &live, &text) {
            Ok((found, what)) => {
                prop_assert!(pins.iter().any(|pin| pin.number.get() == found && pin.digest == what));
                prop_assert_eq!(what == current.digest, found == current.number.get(),
                    "the pinned digest resolves to the current pin");
                if form == 1 {
                    prop_assert!(!live.iter().any(|n| digest(*n) == what));
                    prop_assert!(!environment.rolled_back_from.contains(&what));
                    let skipped = |n: &u8| live.contains(n) || left.contains(n);
                    let newest = builds.iter().rev().find(|n| !skipped(n));
                    prop_assert_eq!(newest.map(|n| digest(*n)), Some(what.clone()));
                }
                if matches!(form, 3..=5) {
                    prop_assert_eq!(what, digest(named));
                }
            }
            Err(Refusal::NeverPinned { .. }) if matches!(form, 3..=5) => {
                prop_assert!(!builds.contains(&named));
            }
            Err(Refusal::NoPrevious) => {
                prop_assert_eq!(form, 1);
                prop_assert!(builds.iter().all(|n| live.contains(n) || left.contains(n)));
            }
            Err(Refusal::UnknownPin { number, newest }) => {
                prop_assert!(number > newest);
            }
            // `0` is not a pin number, so the parser treats it as a name.
            Err(Refusal::NeverPinned { .. }) => prop_assert!(named == 0 || usize::from(named) >= builds.len()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn any_text_names_a_pin_or_is_refused(text in any::<String>()) {
        let (environment, pins) = history(&[1, 2, 3]);
        if let Ok((found, what)) = to(&environment, &pins, &[3], &text) {
            prop_assert!(pins.iter().any(|pin| pin.number.get() == found && pin.digest == what));
        }
    }
}
