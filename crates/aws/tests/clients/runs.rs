//! Tests of retention's runs in the table.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_aws::dynamodb::{CommitError, Cursor, Table};
use stablepin_retention_rules::run::{DEFAULT_SHARE, Purpose, Run, RunId, RunProgress, RunRequest};
use stablepin_rules::audit::{Actor, AuditRecord};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

use crate::wire::{Wire, cancelled, chain, error, ok};

fn table(wire: &Wire) -> Table {
    Table::new(&wire.session(), "stablepin".to_owned())
}

fn web() -> ApplicationName {
    ApplicationName::parse("web").unwrap()
}

fn repository() -> RepositoryName {
    RepositoryName::parse("web").unwrap()
}

const ID: &str = "0199184a-0100-7000-8000-000000000001";

fn begun() -> (Run, AuditRecord) {
    let asked = RunRequest {
        purpose: Purpose::Apply { plan_of: None },
        by: Actor::Stablepin,
        reason: None,
        share: DEFAULT_SHARE,
        repositories: BTreeSet::from([repository()]),
    };
    let now = "2026-11-21T02:00:00Z".parse().unwrap();
    Run::begin(RunId::parse(ID).unwrap(), web(), asked, now)
}

#[tokio::test]
async fn written_run_has_an_audit_record_and_is_readable() {
    let (run, record) = begun();
    let wire = Wire::answering([ok(json!({}))]);
    let written = table(&wire).put_run(&run, &record).await.unwrap();
    assert_eq!(written, Run { version: 1, ..run });
    let body = wire.request().json();
    let [put, audit] = &body["TransactItems"].as_array().unwrap()[..] else { panic!("{body}") };
    let put = &put["Put"];
    assert_eq!(put["ConditionExpression"], "attribute_not_exists(pk)");
    assert_eq!(put["Item"]["sk"]["S"], format!("RUN#{ID}"));
    let audit = &audit["Put"]["Item"];
    assert_eq!(audit["pk"]["S"], "AUDIT#web#2026-11");
    assert_eq!(audit["detail_type"]["S"], "Retention Run State Change");

    let item = &put["Item"];
    let wire = Wire::answering([
        ok(json!({"Responses": {"stablepin": [item]}})),
        ok(json!({})),
        ok(json!({"Items": [item], "LastEvaluatedKey": {"pk": item["pk"], "sk": item["sk"]}})),
        ok(json!({"Items": []})),
    ]);
    assert_eq!(table(&wire).run(&web(), written.id).await.unwrap(), Some(written.clone()));
    assert_eq!(table(&wire).run(&web(), written.id).await.unwrap(), None);
    let page = table(&wire).runs(&web(), 50, None).await.unwrap();
    assert_eq!((page.items, page.next.clone()), (vec![written], Some(Cursor(format!("RUN#{ID}")))));
    assert!(table(&wire).runs(&web(), 50, page.next).await.unwrap().items.is_empty());
    let asked: Vec<Value> = wire.requests().iter().skip(2).map(|request| request.json()).collect();
    assert_eq!((&asked[0]["ScanIndexForward"], &asked[0]["Limit"]), (&json!(false), &json!(50)));
    assert_eq!(asked[1]["ExclusiveStartKey"]["sk"]["S"], format!("RUN#{ID}"));
}

#[tokio::test]
async fn table_updates_run_only_at_expected_version() {
    let before = Run { version: 3, ..begun().0 };
    let now = "2026-11-21T02:01:00Z".parse().unwrap();
    let (after, audit) = before.after(now, &repository(), &RunProgress::Planning);
    let wire = Wire::answering([ok(json!({})), cancelled(&["ConditionalCheckFailed", "None"])]);
    let written = table(&wire).update_run(&before, &after, &audit).await.unwrap();
    assert_eq!(written.version, 4);
    let body = wire.requests()[0].json();
    assert_eq!(body["TransactItems"][0]["Put"]["ExpressionAttributeValues"], json!({":version": {"N": "3"}}));
    assert_eq!(body["TransactItems"][0]["Put"]["Item"]["version"], json!({"N": "4"}));
    assert_eq!(body["TransactItems"].as_array().unwrap().len(), 2);
    let lost = table(&wire).update_run(&before, &after, &audit).await.unwrap_err();
    assert!(matches!(lost, CommitError::Lost), "{lost:?}");
}

#[tokio::test]
async fn throttled_or_refused_write_is_not_a_lost_race() {
    let (run, audit) = begun();
    for (answer, retryable) in [
        (cancelled(&["None", "ThrottlingError"]), true),
        (cancelled(&["ProvisionedThroughputExceeded", "None"]), true),
        (cancelled(&["ValidationError", "None"]), false),
        (error(400, "ProvisionedThroughputExceededException"), true),
        (error(500, "InternalServerError"), true),
        (error(400, "AccessDeniedException"), false),
        (error(400, "ResourceNotFoundException"), false),
        (error(400, "ValidationException"), false),
    ] {
        let wire = Wire::answering([answer.clone()]);
        let CommitError::Table(failed) = table(&wire).put_run(&run, &audit).await.unwrap_err() else {
            panic!("{answer:?} does not report a race")
        };
        assert_eq!(failed.is_retryable(), retryable, "{}", chain(&failed));
        assert!(chain(&failed).starts_with("could not write to the table "), "{}", chain(&failed));
    }
}
