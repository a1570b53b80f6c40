//! Checks a sample of every response, and the documentation page that describes the responses.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stablepin_messages::progress::StepState;
use stablepin_retention_rules::plan::Planned;
use stablepin_retention_rules::run::{Purpose, Run};
use stablepin_rules::application::{Application, CheckName, difference};
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::image::ImageTag;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::{Build, Configuration, NotPut, Operation, Pin, Subject};

use super::*;

const FILE: &str = r#"name = "web"
repository = "web"
builds = ["main"]
[[approver]]
name = "lead"
mail = "lead@example.com"
[[environment]]
name = "production"
stable_tag = "prod-stable"
approval = { required = 1, approvers = ["lead"] }
"#;

/// Reads the committed sample of a record.
macro_rules! record {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!("../../rules/src/records/samples/", $name, ".json")))
            .unwrap()
    };
}

/// Returns the name of a sample, the text of the response, and the committed text.
macro_rules! sample {
    ($name:literal, $answer:expr) => {
        ($name, read_back(&$answer), include_str!(concat!("../samples/", $name, ".json")))
    };
}

/// Returns the text of a response. Checks that a program can read the text back.
#[track_caller]
fn read_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(answer: &T) -> String {
    let text = serde_json::to_string_pretty(answer).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *answer);
    text
}

fn parsed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn production() -> EnvironmentName {
    EnvironmentName::parse("production").unwrap()
}

fn subject(operation: Option<Operation>) -> Subject {
    Subject {
        configuration: Configuration { application: Application::parse(FILE, None).unwrap(), version: 1 },
        name: production(),
        environment: record!("environment"),
        build: None,
        operation,
    }
}

fn run() -> Run {
    let stored =
        json!({ "key": "retention/web/web/plan.json", "version": "3sL4kqtJlcpXroDTDmJ", "sha256": "0a" });
    parsed(json!({
        "id": "0199184a-0100-7000-8000-000000000001", "application": "web",
        "purpose": { "type": "apply", "plan_of": "0199184a-0000-7000-8000-000000000001" },
        "by": { "type": "principal", "arn": "arn:aws:iam::111122223333:role/owner" },
        "reason": "looked at it", "begun_at": "2026-11-21T02:00:00Z", "ended_at": "2026-11-21T02:10:00Z",
        "share": 20, "version": 7,
        "repositories": { "web": {
            "state": "Done", "images": 40, "by_rule": { "pin": 1, "young": 33 }, "to_remove": 5, "later": 1,
            "deleted": 4, "archived": 0, "untagged": 1, "restored": 0, "skipped": 1,
            "freed_bytes": 123_456_789, "freed_is_exact": true, "errors": { "ImageReferencedByManifestList": 1 },
            "warnings": ["a manifest could not be read"], "waived": ["batch"], "problem": null,
            "plan": stored, "report": stored, "updated_at": "2026-11-21T02:10:00Z",
        } },
    }))
}

fn image(fate: Value) -> Planned {
    let mut image = json!({
        "digest": format!("sha256:{}", "a1".repeat(32)), "tags": ["production-20250717-143052-a1b2c3d4"],
        "time": "2025-07-17T14:30:52Z", "size_bytes": 12_345_678, "rule": "old",
        "why": "older than 90 days", "after": [format!("sha256:{}", "b2".repeat(32))],
    });
    image.as_object_mut().unwrap().extend(fate.as_object().unwrap().clone());
    parsed(image)
}

fn refused_tag() -> NotPut {
    NotPut::Refused { reason: "KmsException".to_owned(), at: "2025-07-17T15:00:00Z".parse().unwrap() }
}

fn samples() -> Vec<(&'static str, String, &'static str)> {
    let (promotion, rollback): (Operation, Operation) = (record!("promotion"), record!("rollback"));
    let decided = subject(Some(promotion.clone()));
    let mut begun = subject(Some(rollback.clone())).rollback().unwrap().clone();
    begun.rollout.services.truncate(1);
    let step = StepAnswer {
        name: "Deployed".to_owned(),
        state: StepState::Now,
        detail: "1 of 2 services".to_owned(),
    };
    let environment = EnvironmentAnswer::from(&decided);
    let (application, mail) = (environment.application.clone(), "lead@example.com");
    let build = BuildAnswer::from(&record!("build") as &Build);
    let images = [
        image(json!({ "action": "delete", "wave": 1 })),
        image(json!({ "action": "untag", "untag": ["production-20250717-143052-a1b2c3d4"] })),
    ];
    let at = "2026-11-21T16:00:00Z".parse().unwrap();
    let by = "arn:aws:iam::111122223333:role/owner".to_owned();
    vec![
        sample!("promotion", PromotionAnswer::new(&production(), &promotion).unwrap()),
        sample!(
            "decided-promotion",
            DecidedPromotion { steps: vec![step.clone()], ..DecidedPromotion::new(&decided).unwrap() }
        ),
        sample!(
            "decision-status",
            DecisionStatus {
                title: "Approved, and pinned".to_owned(),
                text: "It is pin 7.".to_owned(),
                over: true,
                steps: vec![step],
            }
        ),
        sample!(
            "requested-promotion",
            RequestedPromotion {
                application: application.clone(),
                environment: production(),
                promotion: Some(promotion.id()),
            }
        ),
        sample!(
            "reported-check",
            ReportedCheck {
                application: application.clone(),
                digest: images[0].digest.clone(),
                name: CheckName::parse("staging-tests").unwrap(),
                recorded: RecordedAnswer::New,
                required_by: vec![production()],
                promotions: ReportedPromotion::new(&decided).into_iter().collect(),
            }
        ),
        sample!(
            "named-build",
            NamedBuild {
                application: application.clone(),
                tag: Some(ImageTag::parse("main-4f2a9c1").unwrap()),
                digest: images[0].digest.clone(),
                promotions: ReportedPromotion::new(&decided).into_iter().collect(),
            }
        ),
        sample!(
            "ignored-pushes",
            parsed::<IgnoredPushes>(json!({ "ignored_pushes": [{
                "repository": "web", "tag": "feature-x", "digest": images[0].digest, "at": at,
                "reason": "no pattern of the application's `builds` names the tag",
            }] }))
        ),
        sample!("rollback", RollbackAnswer::new(&production(), &rollback).unwrap()),
        sample!(
            "started-rollback",
            StartedRollback::new(&begun, "/v1/applications/web/rollbacks/0198…".to_owned())
        ),
        sample!("rollback-plan", RollbackPlan::new(&begun)),
        sample!("environment", environment),
        sample!("refused-tag", WhyTaken::from(&refused_tag())),
        sample!("pin", PinAnswer::from(&record!("pin") as &Pin)),
        sample!(
            "audit",
            AuditPage {
                month: "2025-07".to_owned(),
                audit: vec![(&record!("audit") as &AuditRecord).into()],
                next: Some("0198184a-0100-7000-8000-000000000001".to_owned()),
            }
        ),
        sample!("builds", BuildPage { builds: vec![build], next: None }),
        sample!("run", RunAnswer { summary: "4 images deleted".to_owned(), ..RunAnswer::from(&run()) }),
        sample!(
            "images",
            ImagePage {
                repository: "web".to_owned().try_into().unwrap(),
                at,
                rules: [(images[0].rule, 2)].into(),
                images: images.iter().map(Into::into).collect(),
                next: Some(images[1].digest.clone()),
            }
        ),
        sample!(
            "application",
            ApplicationAnswer { name: application.clone(), version: 2, at, by, text: FILE.to_owned() }
        ),
        sample!(
            "changed-application",
            ChangedApplication {
                name: application,
                version: 2,
                changes: difference(Some(FILE), &FILE.replace("required = 1", "required = 0")),
            }
        ),
        sample!(
            "subscription",
            parsed::<SubscriptionAnswer>(json!({
                "approver": "lead", "mail": mail, "state": "missing", "topic": null, "next": "PUT …/subscription",
            }))
        ),
        sample!(
            "health",
            HealthAnswer {
                status: HealthStatus::Degraded,
                findings: vec![FindingAnswer {
                    about: "web".to_owned(),
                    findings: ["lead is not subscribed".to_owned()].into(),
                    since: at,
                }],
            }
        ),
        sample!(
            "console-link",
            ConsoleLinkAnswer { url: "https://…/console?t=…".to_owned(), expires_at: at }
        ),
    ]
}

/// The samples also prove that a response contains only the fields that its type lists.
#[test]
fn responses_match_their_samples() {
    for (name, written, sample) in samples() {
        assert_eq!(written, sample.trim_end(), "samples/{name}.json: programs read this form");
    }
}

#[test]
fn page_responses_contain_a_list_and_a_cursor() {
    let next = || Some("a".to_owned());
    let pages = [
        ("applications", json!(ApplicationPage { applications: Vec::new(), next: next() })),
        ("builds", json!(BuildPage { builds: Vec::new(), next: next() })),
        ("promotions", json!(PromotionPage { promotions: Vec::new(), next: next() })),
        ("pins", json!(PinPage { pins: Vec::new(), next: next() })),
        ("rollbacks", json!(RollbackPage { rollbacks: Vec::new(), next: next() })),
        ("runs", json!(RunPage { runs: Vec::new(), next: next() })),
    ];
    for (list, page) in pages {
        assert_eq!(page, json!({ list: [], "next": "a" }));
    }
}

/// The fields with a map as value. The keys of a map are data, not names of fields.
const MAPS: [&str; 10] = [
    "asked",
    "checks",
    "unreachable",
    "votes",
    "revisions",
    "repositories",
    "by_rule",
    "errors",
    "rules",
    "services",
];

/// Adds the names of all fields to `found`.
fn members(value: &Value, is_map: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| members(item, false, found)),
        Value::Object(object) => {
            for (name, value) in object {
                if !is_map {
                    found.insert(name.clone());
                }
                members(value, !is_map && MAPS.contains(&name.as_str()), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the names in the first column of the page's tables of fields.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../../docs/api/answers.md");
    let tables = page.split("\n\n").filter(|part| part.starts_with("| member"));
    let cells = tables.flat_map(|table| table.lines().skip(2)).filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn answers_page_describes_every_field() {
    let mut found =
        BTreeSet::from(["promotions", "pins", "rollbacks", "runs", "applications"].map(str::to_owned));
    for (_, written, _) in samples() {
        members(&serde_json::from_str(&written).unwrap(), false, &mut found);
    }
    members(&json!(Purpose::Undo { of: run().id }), false, &mut found);
    assert_eq!(documented(), found);
}
