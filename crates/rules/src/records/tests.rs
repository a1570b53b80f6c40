//! Tests that later versions can read stored records. Each record has a committed sample. The
//! sample must equal today's output and must parse to the same record. A new field needs a default
//! value and a new sample. Never rename or remove a field: stored records would be unreadable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::*;
use crate::application::{CheckName, ServiceName};
use crate::audit::{Actor, AuditRecord, Kind};
use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::link::Link;
use crate::live_drift::{Deviation, LiveDrift};
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::pipeline_run::{PipelineRun, RunSource};
use crate::subscription_status::SubscriptionStatus;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

fn id(n: u8) -> OperationId {
    OperationId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap()
}

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

fn hash() -> TokenHash {
    TokenHash("0f".repeat(32))
}

fn tag(text: &str) -> ImageTag {
    ImageTag::parse(text).unwrap()
}

fn build() -> Build {
    Build {
        digest: digest(0xa1),
        repository: RepositoryName::parse("web").unwrap(),
        build_tag: BuildTag::parse("production-20250717-143052-a1b2c3d4").unwrap(),
        tagged: true,
        names_taken: 0,
        run: Some(pipeline_run()),
        commit: Some("a1b2c3d4e5f60718293a4b5c6d7e8f9012345678".to_owned()),
        pushed_tag: tag("main"),
        pushed_at: at("2025-07-17T14:30:52Z"),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size_bytes: Some(12_345_678),
        platforms: vec!["linux/amd64".to_owned()],
        version: 2,
    }
}

fn tests() -> CheckName {
    CheckName::parse("staging-tests").unwrap()
}

fn pipeline() -> String {
    "arn:aws:sts::111122223333:assumed-role/pipeline/build-42".to_owned()
}

fn link() -> Option<Link> {
    Some(Link::parse("https://github.com/acme/web/actions/runs/42").unwrap())
}

fn pipeline_run() -> PipelineRun {
    PipelineRun {
        repository: Some("acme/web".to_owned()),
        workflow: Some("release.yml".to_owned()),
        id: Some("42".to_owned()),
        link: link(),
        started_by: Some("anna".to_owned()),
        source: RunSource::Request,
        named_by: Some(pipeline()),
    }
}

fn checks() -> Checks {
    let mut checks = Checks::default();
    let check = Check {
        result: CheckResult::Passed,
        at: at("2025-07-17T14:29:00Z"),
        link: link(),
        seconds: Some(93),
        by: Actor::Principal { arn: pipeline() },
    };
    checks.record(tests(), check, &BTreeSet::new());
    checks
}

fn pin() -> Pin {
    Pin {
        number: PinNumber::new(7).unwrap(),
        digest: digest(0xa1),
        build_tag: build().build_tag,
        commit: build().commit,
        by: id(1),
        at: at("2025-07-17T15:00:00Z"),
        size_bytes: Some(12_345_678),
        platforms: vec!["linux/amd64".to_owned()],
        revisions: BTreeMap::from([(service("prod/web"), task_definition(41))]),
    }
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn task_definition(revision: u8) -> String {
    format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/web:{revision}")
}

fn environment() -> Environment {
    let occurrence = Occurrence { at: at("2025-07-17T14:30:52Z"), digest: digest(0xa1) };
    Environment {
        pin: Some(pin()),
        applied: Some(PinNumber::new(7).unwrap()),
        tag_taken: Some(taken()),
        watermark: Some(occurrence.clone()),
        latest: Some(Latest {
            occurrence,
            promotion: id(1),
            open: false,
            fresh_until: at("2025-07-17T14:41:00Z"),
        }),
        asked: vec![Question { at: at("2025-07-17T14:30:54.5Z"), promotion: id(1) }],
        waiting: BTreeSet::from([Waiting {
            occurrence: Occurrence { at: at("2025-07-17T14:31:52Z"), digest: digest(0xb2) },
            promotion: id(3),
        }]),
        slot: Some(Slot {
            operation: id(2),
            kind: SlotKind::Rollback,
            digest: digest(0xb2),
            since: at("2025-07-17T16:00:00Z"),
            moving_until: Some(at("2025-07-17T16:00:40Z")),
        }),
        hold: Some(Hold {
            since: at("2025-07-17T16:00:00Z"),
            reason: HoldReason::Rollback(PinNumber::new(6).unwrap()),
            by: id(2),
        }),
        freeze: Some(Freeze {
            since: at("2025-07-17T16:10:00Z"),
            reason: "sale".to_owned(),
            by: Actor::Principal { arn: "arn:aws:iam::111122223333:role/operator".to_owned() },
        }),
        current: Some(Current { digest: digest(0xa1), by: id(1), tagged: true }),
        latest_tag: Some(digest(0xa1)),
        rolled_back_from: vec![digest(0xa1)],
        live_drift: Some(LiveDrift {
            id: id(4),
            since: at("2025-07-17T16:20:00Z"),
            services: BTreeMap::from([(
                service("prod/web"),
                Deviation {
                    task_definition: Some(task_definition(39)),
                    digest: Some(digest(0xb2)),
                    registered_by: Some("arn:aws:iam::111122223333:role/terraform".to_owned()),
                },
            )]),
            ended_at: Some(at("2025-07-17T16:40:00Z")),
            notified_at: Some(at("2025-07-17T16:20:02Z")),
        }),
        left: BTreeMap::from([(service("prod/web"), task_definition(41))]),
        version: 12,
    }
}

fn taken() -> TakenTag {
    TakenTag {
        pin: PinNumber::new(7).unwrap(),
        tag: tag("prod-stable-000007"),
        why: NotPut::Taken { on: digest(0xb2), by: Some("arn:aws:iam::111122223333:user/anna".to_owned()) },
    }
}

fn promotion() -> Operation {
    let vote = |verdict| Vote {
        verdict,
        reason: Some("tested on staging".to_owned()),
        at: at("2025-07-17T15:00:00Z"),
        actor: Actor::Link { approver: lead() },
        facts: Some("fa".repeat(32)),
    };
    let promotion = Promotion {
        id: id(1),
        digest: digest(0xa1),
        build: build(),
        occurrence: Occurrence { at: at("2025-07-17T14:30:52Z"), digest: digest(0xa1) },
        state: PromotionState::Completed,
        reason: Some(PromotionReason::Pinned { pin: PinNumber::new(7).unwrap(), without: vec![taken()] }),
        opened_at: at("2025-07-17T14:30:54.5Z"),
        asked_by: Some(Actor::Principal { arn: "arn:aws:iam::111122223333:role/release".to_owned() }),
        pushers: BTreeSet::from(["arn:aws:sts::111122223333:assumed-role/pipeline/build-42".to_owned()]),
        pushed_tag: Some(ImageTag::parse("main").unwrap()),
        expires_at: at("2025-07-20T14:30:54.5Z"),
        validated: Some(Validated { at: at("2025-07-17T14:30:55Z"), configuration: 3 }),
        checks: checks(),
        complete_by: Some(at("2025-07-17T15:00:54Z")),
        checks_read_at: Some(at("2025-07-17T14:30:56Z")),
        earlier: Some(EarlierPin {
            environment: EnvironmentName::parse("staging").unwrap(),
            pinned_at: Some(at("2025-07-17T14:10:00Z")),
            read_at: at("2025-07-17T14:30:56Z"),
        }),
        pin_changed_at: Some(at("2025-07-17T14:10:01Z")),
        waits_for: vec!["the check staging-tests".to_owned()],
        ready_at: Some(at("2025-07-17T14:30:57Z")),
        ask_at: Some(at("2025-07-17T14:35:54.5Z")),
        asked: BTreeMap::from([(
            lead(),
            ApprovalRequest {
                token: hash(),
                at: at("2025-07-17T14:30:55Z"),
                burnt: false,
                before: 1,
                mail: Some("lead@example.com".to_owned()),
            },
        )]),
        votes: BTreeMap::from([(lead(), vote(Verdict::Approve))]),
        vote_confirmations: BTreeSet::from([lead()]),
        unreachable: Some(BTreeMap::from([(lead(), SubscriptionStatus::Pending)])),
        mail_refused: Some(RefusedMail {
            approvers: BTreeSet::from([lead()]),
            reason: "AuthorizationError: not authorized to perform: SNS:Publish".to_owned(),
            at: at("2025-07-17T14:31:54Z"),
        }),
        build_tag_refused: Some(RefusedBuildTag {
            times: 1,
            reason: "KmsException: the key is disabled".to_owned(),
            at: at("2025-07-17T14:30:56Z"),
        }),
        copy: Some(ImageCopy {
            to: RepositoryName::parse("prod/web").unwrap(),
            progress: CopyProgress { layers: 7, layers_done: 6, bytes: 123_456_789, bytes_done: 120_000_000 },
            advanced_at: at("2025-07-17T15:00:30Z"),
            tries: 1,
            refusals: 1,
            done_at: Some(at("2025-07-17T15:00:40Z")),
        }),
        rollout: Some(Rollout {
            destination: Destination::Digest { digest: digest(0xa1) },
            services: vec![rollout(
                "prod/web",
                Progress::Proven { tasks: 2, at: at("2025-07-17T15:10:00Z") },
            )],
            deadline: at("2025-07-17T15:30:00Z"),
            bake: Some(Bake {
                until: at("2025-07-17T15:15:00Z"),
                probed_at: Some(at("2025-07-17T15:10:01Z")),
                failed: Some("https://web.example.com/health answered 500".to_owned()),
            }),
            rebaked: 1,
        }),
        failure: Some(RolloutFailure::Reported("https://web.example.com/health answered 500".to_owned())),
        revert: Some(Rollout::begun(Destination::Before, Vec::new(), at("2025-07-17T15:40:00Z"))),
        pin: Some(PinNumber::new(7).unwrap()),
    };
    Operation {
        work: Work::Promotion(promotion),
        wake_at: None,
        lease: None,
        notify_failures: 1,
        notify_at: Some(at("2025-07-17T15:01:00Z")),
        failures: 0,
        problem: None,
        tag_taken: Some(taken()),
        notified: BTreeSet::from([Notice::GoingBack, Notice::Ended]),
        families: BTreeSet::from([service("prod/web")]),
        version: 5,
    }
}

fn rollout(name: &str, progress: Progress) -> ServiceRollout {
    let before = Live {
        task_definition: task_definition(41),
        deployment: "ecs-svc/1111111111111111111".to_owned(),
        digests: BTreeSet::from([digest(0xa1)]),
        described: Some(digest(0xa1)),
    };
    let started = Started {
        deployment: "ecs-svc/2222222222222222222".to_owned(),
        service_deployment: Some(
            "arn:aws:ecs:eu-central-1:111122223333:service-deployment/prod/web/NCWGC2ZR".to_owned(),
        ),
        task_definition: task_definition(42),
        health_checked: true,
        at: at("2025-07-17T16:00:05Z"),
    };
    ServiceRollout {
        started: (progress != Progress::Waiting).then_some(started),
        progress,
        seen: Some("1 of 2 tasks running".to_owned()),
        pause: Some(Pause { since: at("2025-07-17T15:04:00Z"), seen: at("2025-07-17T15:05:00Z") }),
        paused_for: SignedDuration::from_mins(3),
        refused: 1,
        unheard: true,
        unused: Some(task_definition(43)),
        ..ServiceRollout::waiting(service(name), before)
    }
}

fn rollback() -> Operation {
    let reason = || "ECS deployment circuit breaker: task failed to start.".to_owned();
    let rollback = Rollback {
        id: id(2),
        target: Target {
            pin: PinNumber::new(6).unwrap(),
            digest: digest(0xb2),
            build_tag: BuildTag::parse("production-20250716-101500-b2b2b2b2").unwrap(),
            commit: None,
            size_bytes: None,
            platforms: vec!["linux/amd64".to_owned()],
            revisions: BTreeMap::from([(service("prod/web"), task_definition(40))]),
        },
        to: "previous".to_owned(),
        asked_by: Actor::Principal { arn: "arn:aws:iam::111122223333:role/operator".to_owned() },
        ask_reason: Some("500s since 15:40".to_owned()),
        requested_at: at("2025-07-17T16:00:00Z"),
        state: RollbackState::InProgress,
        reason: None,
        rollout: Rollout::begun(
            Destination::Digest { digest: digest(0xb2) },
            vec![
                rollout("prod/a", Progress::Waiting),
                rollout("prod/b", Progress::Deployed),
                rollout("prod/c", Progress::Proven { tasks: 2, at: at("2025-07-17T16:01:00Z") }),
                rollout("prod/d", Progress::Unproven { at: at("2025-07-17T16:01:00Z") }),
                rollout(
                    "prod/e",
                    Progress::Returning { reason: reason(), until: at("2025-07-17T16:15:00Z") },
                ),
                rollout("prod/f", Progress::Returned { reason: reason(), digest: Some(digest(0xa1)) }),
                rollout("prod/g", Progress::Superseded { reason: "deployment ecs-svc/3".to_owned() }),
                rollout("prod/h", Progress::Failed { reason: reason() }),
            ],
            at("2025-07-17T16:30:00Z"),
        ),
        held_before: Some(Hold {
            since: at("2025-07-16T10:00:00Z"),
            reason: HoldReason::RollbackRefused {
                pin: PinNumber::new(5).unwrap(),
                left: LeftBehind {
                    digest: digest(0xc3),
                    moved: vec![service("prod/web")],
                    is_whole: true,
                    is_late: false,
                },
            },
            by: id(3),
        }),
        preempted: Some(digest(0xc3)),
        preempted_until: Some(at("2025-07-17T16:02:00Z")),
        backup: Some(Backup {
            tag: tag("production-rollback-20250717-160000"),
            digest: digest(0xa1),
            tried: true,
        }),
        pin: None,
    };
    Operation {
        work: Work::Rollback(rollback),
        wake_at: Some(at("2025-07-17T16:00:15Z")),
        lease: Some(Lease { holder: Uuid::from_u128(7), until: at("2025-07-17T16:00:40Z") }),
        notify_failures: 0,
        notify_at: None,
        failures: 1,
        problem: Some("ECS could not be asked (DescribeServices): throttled".to_owned()),
        tag_taken: None,
        notified: BTreeSet::new(),
        families: BTreeSet::new(),
        version: 9,
    }
}

fn token() -> Token {
    Token {
        hash: hash(),
        application: ApplicationName::parse("web").unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        promotion: id(1),
        digest: digest(0xa1),
        approver: lead(),
        expires_at: at("2025-07-20T14:30:54.5Z"),
        used_at: Some(at("2025-07-17T15:00:00.123456789Z")),
        code: CodeHash("0c".repeat(32)),
        wrong_codes: 1,
    }
}

fn console_link() -> ConsoleLink {
    let by = "arn:aws:iam::111122223333:user/lead".to_owned();
    ConsoleLink { hash: hash(), by, expires_at: at("2026-11-21T16:00:00Z") }
}

fn audit() -> AuditRecord {
    AuditRecord {
        version: AuditRecord::VERSION,
        kind: Kind::Pin,
        application: ApplicationName::parse("web").unwrap(),
        environment: Some(EnvironmentName::parse("production").unwrap()),
        id: Some(id(1).to_string()),
        digest: Some(digest(0xa1)),
        from: Some("6".to_owned()),
        to: "7".to_owned(),
        reason: Some("tested on staging".to_owned()),
        actor: Actor::Link { approver: lead() },
        facts: Some("fa".repeat(32)),
        run: Some(pipeline_run()),
        at: at("2025-07-17T15:00:00Z"),
    }
}

fn check_sample<T: Serialize + DeserializeOwned + PartialEq + Debug>(record: &T, sample: &str) {
    let written = serde_json::to_string_pretty(record).unwrap();
    assert_eq!(written, sample.trim_end(), "the shape has changed: stored records must stay readable");
    assert_eq!(serde_json::from_str::<T>(sample).unwrap(), *record);
}

#[test]
fn records_match_their_samples() {
    check_sample(&build(), include_str!("samples/build.json"));
    check_sample(&pin(), include_str!("samples/pin.json"));
    check_sample(&environment(), include_str!("samples/environment.json"));
    check_sample(&promotion(), include_str!("samples/promotion.json"));
    check_sample(&rollback(), include_str!("samples/rollback.json"));
    check_sample(&token(), include_str!("samples/token.json"));
    check_sample(&console_link(), include_str!("samples/console_link.json"));
    check_sample(&audit(), include_str!("samples/audit.json"));
}

#[test]
fn full_list_of_rolled_back_digests_drops_its_oldest_entry() {
    let of = |n: usize| ImageDigest::parse(&format!("sha256:{n:064x}")).unwrap();
    let mut environment = Environment::untouched();
    (0..MOST_LEFT).for_each(|n| environment.exclude_from_previous(of(n)));
    environment.exclude_from_previous(of(0));
    assert_eq!(
        (environment.rolled_back_from.len(), environment.rolled_back_from.last()),
        (MOST_LEFT, Some(&of(0)))
    );
    environment.exclude_from_previous(of(MOST_LEFT));
    assert_eq!(environment.rolled_back_from.len(), MOST_LEFT);
    assert!(!environment.rolled_back_from.contains(&of(1)), "the oldest is forgotten");
    assert!(environment.rolled_back_from.contains(&of(0)) && environment.rolled_back_from.contains(&of(2)));
}

#[test]
fn new_environment_round_trips_through_json() {
    let untouched = Environment::untouched();
    let written = serde_json::to_string(&untouched).unwrap();
    assert_eq!(serde_json::from_str::<Environment>(&written).unwrap(), untouched);
}

fn written<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn states_serialize_as_their_printed_names() {
    for state in [
        PromotionState::Pending,
        PromotionState::InProgress,
        PromotionState::Completed,
        PromotionState::Failed,
        PromotionState::RolledBack,
        PromotionState::Cancelled,
    ] {
        assert_eq!(written(&state), format!("{:?}", state.as_str()));
    }
    for state in [
        RollbackState::Requested,
        RollbackState::InProgress,
        RollbackState::Completed,
        RollbackState::Incomplete,
        RollbackState::Failed,
    ] {
        assert_eq!(written(&state), format!("{:?}", state.as_str()));
    }
    for kind in [
        Kind::Promotion,
        Kind::Rollback,
        Kind::Pin,
        Kind::Drift,
        Kind::LiveDrift,
        Kind::Environment,
        Kind::Configuration,
        Kind::Retention,
        Kind::ImageNamed,
    ] {
        assert_eq!(written(&kind), format!("{:?}", kind.detail_type()));
    }
    assert_eq!(written(&Verdict::Approve), r#""approve""#);
    assert_eq!(written(&Verdict::Reject), r#""reject""#);
    assert_eq!(written(&Actor::Push), r#"{"type":"push"}"#);
    assert_eq!(written(&Actor::Stablepin), r#"{"type":"stablepin"}"#);
}

#[test]
fn operation_id_parser_accepts_only_one_spelling() {
    let text = "0198184a-0100-7000-8000-00000000000f";
    assert_eq!(OperationId::parse(text).unwrap().to_string(), text);
    for other in [
        "",
        "0198184A-0100-7000-8000-00000000000F",
        "0198184a01007000800000000000000f",
        "{0198184a-0100-7000-8000-00000000000f}",
        "../etc",
    ] {
        assert_eq!(OperationId::parse(other), None, "{other}");
    }
}
