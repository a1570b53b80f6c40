//! Retention's requests to the table: references, marks, and the lock of a repository.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_aws::dynamodb::{CommitError, Mark, OperationKey, Table};
use stablepin_rules::application::Application;
use stablepin_rules::caller::Caller;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Configuration, Environment, Operation, Subject};
use stablepin_rules::retention::run::RunId;
use stablepin_rules::transition::Change;
use uuid::Uuid;

use crate::wire::{Answer, Request, Wire, cancelled, cancelled_for, error, ok};

const PROMOTION: &str = include_str!("../../../rules/src/records/samples/promotion.json");
const ROLLBACK: &str = include_str!("../../../rules/src/records/samples/rollback.json");

fn table(wire: &Wire) -> Table {
    Table::new(&wire.session(), "stablepin".to_owned())
}

fn web() -> ApplicationName {
    ApplicationName::parse("web").unwrap()
}

fn repository() -> RepositoryName {
    RepositoryName::parse("team/web").unwrap()
}

fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

fn operation(n: u8) -> OperationKey {
    OperationKey::Promotion(
        OperationId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap(),
    )
}

fn rollback(n: u8) -> OperationKey {
    OperationKey::Rollback(OperationId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap())
}

fn run(n: u8) -> RunId {
    RunId::parse(&format!("0199184a-{n:02x}00-7000-8000-000000000001")).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn condition_failed() -> Answer {
    error(400, "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException")
}

fn in_transaction() -> Answer {
    error(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException")
}

/// A subject, and the change that opens an operation.
fn opens(operation: &str) -> (Subject, Change) {
    let file = r#"
name = "web"
repository = "web"
builds = ["main"]
[[approver]]
name = "lead"
mail = "lead@example.com"
[[environment]]
name = "production"
stable_tag = "prod-stable"
deploy = "never"
approval = { required = 1, approvers = ["lead"] }
"#;
    let before = Subject {
        configuration: Configuration { application: Application::parse(file, None).unwrap(), version: 1 },
        name: EnvironmentName::parse("production").unwrap(),
        environment: Environment::untouched(),
        build: None,
        operation: None,
    };
    let operation: Operation = serde_json::from_str(operation).unwrap();
    let after = Subject { operation: Some(operation), ..before.clone() };
    let change =
        Change { after, pin: None, intents: Vec::new(), opened: None, token: None, audit: Vec::new() };
    (before, change)
}

/// The updates of images' items in a transaction.
fn references(request: &Request) -> Vec<Value> {
    let body = request.json();
    let items = body["TransactItems"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["Update"].clone())
        .filter(|update| update["Key"]["sk"]["S"].is_string())
        .collect()
}

#[tokio::test]
async fn only_opening_adds_a_reference_to_the_image() {
    let promoted = "0198184a-0100-7000-8000-000000000001";
    for (sample, sk, digest, most) in [
        (PROMOTION, format!("PROMOTION#{promoted}"), digest(0xa1), "1000"),
        (ROLLBACK, "ROLLBACK#0198184a-0200-7000-8000-000000000001".to_owned(), digest(0xa1), "2000"),
    ] {
        let (before, change) = opens(sample);
        let wire = Wire::answering([ok(json!({})), ok(json!({}))]);
        let opened = table(&wire).commit(&before, &change).await.unwrap();
        let [reference] = &references(&wire.requests()[0])[..] else { panic!("{:?}", wire.requests()) };
        let target = opened.rollback().map_or(digest, |rollback| rollback.target.digest.clone());
        assert_eq!(
            reference["Key"],
            json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": format!("IMAGE#{target}")}})
        );
        assert_eq!(reference["UpdateExpression"], "ADD needed_by :operation");
        assert_eq!(
            reference["ConditionExpression"],
            "attribute_not_exists(marked_by) AND (attribute_not_exists(needed_by) OR size(needed_by) < :most)"
        );
        let values = json!({":operation": {"SS": [sk]}, ":most": {"N": most}});
        assert_eq!(reference["ExpressionAttributeValues"], values);
        let mut later = Change { after: opened.clone(), ..change };
        later.after.operation.as_mut().unwrap().failures = 3;
        table(&wire).commit(&opened, &later).await.unwrap();
        assert!(references(&wire.requests()[1]).is_empty(), "a later change adds no reference");
    }
}

#[tokio::test]
async fn crowded_image_is_not_reported_as_marked() {
    let (before, change) = opens(PROMOTION);
    let failed = |item: Value| {
        let reasons = json!([
            {"Code": "None"}, {"Code": "None"}, {"Code": "None"},
            {"Code": "ConditionalCheckFailed", "Item": item}
        ]);
        cancelled_for(&reasons)
    };
    let wire = Wire::answering([failed(json!({"needed_by": {"SS": ["PROMOTION#1"]}}))]);
    let crowded = table(&wire).commit(&before, &change).await.unwrap_err();
    assert!(matches!(&crowded, CommitError::Crowded(of) if *of == digest(0xa1)), "{crowded:?}");
    let wire = Wire::answering([failed(json!({"marked_by": {"S": "run"}}))]);
    let marked = table(&wire).commit(&before, &change).await.unwrap_err();
    assert!(matches!(marked, CommitError::Marked(_)), "{marked:?}");
}

/// Such an item was stored before the limit existed.
#[tokio::test]
async fn stored_pushers_are_read_up_to_the_limit() {
    let arns =
        |count: usize| (0..count).map(|n| format!("arn:aws:iam::111122223333:user/u{n}")).collect::<Vec<_>>();
    for (stored, read) in [(50, 50), (51, 51), (2400, 51)] {
        let item = json!({
            "pk": {"S": "APP#web"}, "sk": {"S": format!("PUSHERS#{}", digest(0xa1))},
            "pushers": {"SS": arns(stored)}
        });
        let wire = Wire::answering([ok(json!({"Responses": {"stablepin": [item]}, "UnprocessedKeys": {}}))]);
        let pushers = table(&wire).pushers(&web(), &digest(0xa1)).await.unwrap();
        assert_eq!((pushers.len(), pushers.contains("*")), (read, stored > 50));
    }
}

#[tokio::test]
async fn intents_are_kept_if_the_environment_changed() {
    let (mut before, _) = opens(PROMOTION);
    before.environment.version = 7;
    let wire = Wire::answering([ok(json!({})), cancelled(&["ConditionalCheckFailed", "None"])]);
    let stable = ImageTag::parse("prod-stable").unwrap();
    let old = [digest(1), digest(2)];
    assert!(table(&wire).forget_intents(&before, &repository(), &stable, &old).await.unwrap());
    assert!(!table(&wire).forget_intents(&before, &repository(), &stable, &old).await.unwrap());
    let items = wire.requests()[0].json()["TransactItems"].clone();
    assert_eq!(items[0]["ConditionCheck"]["Key"]["sk"]["S"], "ENV#production");
    assert_eq!(items[0]["ConditionCheck"]["ExpressionAttributeValues"], json!({":version": {"N": "7"}}));
    assert_eq!(items[1]["Update"]["Key"]["sk"]["S"], "TAG#team/web#prod-stable");
    assert_eq!(items[1]["Update"]["UpdateExpression"], "DELETE intents :digests");
    let digests = json!({":digests": {"SS": [digest(1).to_string(), digest(2).to_string()]}});
    assert_eq!(items[1]["Update"]["ExpressionAttributeValues"], digests);
}

#[tokio::test]
async fn mark_is_reported_before_a_lost_race() {
    let (before, change) = opens(PROMOTION);
    // The reasons belong to the configuration, the environment, the operation and the image.
    let failed = "ConditionalCheckFailed";
    for reasons in [["None", "None", "None", failed], [failed, failed, failed, failed]] {
        let wire = Wire::answering([cancelled(&reasons)]);
        let marked = table(&wire).commit(&before, &change).await.unwrap_err();
        assert!(matches!(&marked, CommitError::Marked(of) if *of == digest(0xa1)), "{marked:?}");
    }
    for reasons in [["None", failed, "None", "None"], ["None", "None", "None", "TransactionConflict"]] {
        let wire = Wire::answering([cancelled(&reasons)]);
        let lost = table(&wire).commit(&before, &change).await.unwrap_err();
        assert!(matches!(lost, CommitError::Lost), "the caller must decide again: {lost:?}");
    }
}

#[tokio::test]
async fn marks_are_read_consistently_over_all_pages() {
    let key = |n: u8| json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": format!("IMAGE#{}", digest(n))}});
    let mut needed = key(1);
    needed["needed_by"] = json!({"SS": [operation(1).to_string(), rollback(2).to_string()]});
    let mut marked = key(2);
    marked["marked_by"] = json!({"S": run(1).to_string()});
    marked["marked_at"] = json!({"S": "2026-11-21T02:00:00Z"});
    let wire = Wire::answering([
        ok(json!({"Items": [needed], "LastEvaluatedKey": key(1)})),
        ok(json!({"Items": [marked]})),
    ]);
    assert_eq!(
        table(&wire).marks(&web()).await.unwrap(),
        [
            Mark {
                digest: digest(1),
                needed_by: BTreeSet::from([operation(1), rollback(2)]),
                marked_by: None
            },
            Mark { digest: digest(2), needed_by: BTreeSet::new(), marked_by: Some(run(1)) },
        ]
    );
    let asked = wire.requests().iter().map(Request::json).collect::<Vec<_>>();
    assert_eq!(asked[0]["ConsistentRead"], true);
    assert_eq!(
        asked[0]["ExpressionAttributeValues"],
        json!({":pk": {"S": "IMAGES#web"}, ":prefix": {"S": "IMAGE#"}})
    );
    assert_eq!((asked[0].get("Limit"), &asked[1]["ExclusiveStartKey"]), (None, &key(1)));
}

#[tokio::test]
async fn unreadable_mark_is_an_error() {
    for (attribute, value) in [
        ("needed_by", json!({"SS": ["PROMOTION#something"]})),
        ("needed_by", json!({"S": "PROMOTION#0198184a-0100-7000-8000-000000000001"})),
        ("marked_by", json!({"S": "somebody"})),
        ("marked_by", json!({"N": "1"})),
    ] {
        let mut item = json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": format!("IMAGE#{}", digest(1))}});
        item[attribute] = value;
        let wire = Wire::answering([ok(json!({"Items": [item]}))]);
        let failed = table(&wire).marks(&web()).await.unwrap_err();
        assert!(failed.to_string().contains(digest(1).as_str()), "{failed}");
    }
}

#[tokio::test]
async fn finished_and_missing_operations_have_ended() {
    let there = |operation: OperationKey| json!({"pk": {"S": "APP#web"}, "sk": {"S": operation.to_string()}});
    let mut unfinished = there(operation(1));
    unfinished["wake"] = json!({"S": "WAKE"});
    let answer = json!({"Responses": {"stablepin": [unfinished, there(operation(2))]}});
    let wire = Wire::answering([ok(answer)]);
    let asked = [operation(1), operation(2), rollback(3), rollback(3)];
    let ended = table(&wire).ended(&web(), &asked).await.unwrap();
    assert_eq!(ended, BTreeSet::from([operation(2), rollback(3)]));
    let request = &wire.request().json()["RequestItems"]["stablepin"];
    assert_eq!(
        (&request["ConsistentRead"], &request["ProjectionExpression"]),
        (&json!(true), &json!("pk, sk, wake"))
    );
    assert_eq!(request["Keys"].as_array().unwrap().len(), 3, "DynamoDB refuses duplicate keys");
}

#[tokio::test]
async fn operations_are_read_a_hundred_per_call() {
    let operations: Vec<OperationKey> = (0..250_u32)
        .map(|n| {
            let id = format!("0198184a-{n:04x}-7000-8000-000000000001");
            OperationKey::Promotion(OperationId::parse(&id).unwrap())
        })
        .collect();
    let wire = Wire::answering((0..3).map(|_| ok(json!({}))));
    assert_eq!(table(&wire).ended(&web(), &operations).await.unwrap().len(), 250);
    let sizes: Vec<usize> = wire
        .requests()
        .iter()
        .map(|request| request.json()["RequestItems"]["stablepin"]["Keys"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 100, 50]);
    let none = Wire::answering([]);
    assert!(table(&none).ended(&web(), &[]).await.unwrap().is_empty() && none.requests().is_empty());
}

#[tokio::test]
async fn release_deletes_the_item_with_the_last_reference() {
    let ended = BTreeSet::from([operation(1), rollback(2)]);
    let key = json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": format!("IMAGE#{}", digest(1))}});
    // No reference and no mark is left.
    let wire = Wire::answering([ok(json!({"Attributes": key})), ok(json!({}))]);
    table(&wire).release(&web(), &digest(1), &ended).await.unwrap();
    assert_eq!(wire.operations(), ["UpdateItem", "DeleteItem"]);
    let [update, delete] = [0, 1].map(|n| wire.requests()[n].json());
    assert_eq!((&update["Key"], &delete["Key"]), (&key, &key));
    assert_eq!(update["UpdateExpression"], "DELETE needed_by :ended");
    assert_eq!(
        update["ExpressionAttributeValues"],
        json!({":ended": {"SS": [operation(1).to_string(), rollback(2).to_string()]}})
    );
    assert_eq!(
        delete["ConditionExpression"], "attribute_not_exists(needed_by) AND attribute_not_exists(marked_by)",
        "a reference added meanwhile must stay"
    );
    // Another writer changed the item first.
    let wire = Wire::answering([ok(json!({"Attributes": key})), condition_failed()]);
    table(&wire).release(&web(), &digest(1), &ended).await.unwrap();
    // Another reference is left, or the item has none.
    let mut left = key.clone();
    left["needed_by"] = json!({"SS": [operation(3).to_string()]});
    for answer in [ok(json!({"Attributes": left})), condition_failed()] {
        let wire = Wire::answering([answer]);
        table(&wire).release(&web(), &digest(1), &ended).await.unwrap();
        assert_eq!(wire.operations(), ["UpdateItem"]);
    }
    let none = Wire::answering([]);
    table(&none).release(&web(), &digest(1), &BTreeSet::new()).await.unwrap();
    assert!(none.requests().is_empty(), "DynamoDB has no empty sets");
}

#[tokio::test]
async fn image_is_marked_in_one_conditional_update() {
    let now = at("2026-11-21T02:00:00Z");
    let wire = Wire::answering([ok(json!({"Attributes": {}}))]);
    assert!(table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap());
    let update = wire.request().json();
    assert_eq!(
        update["UpdateExpression"],
        "SET marked_by = :run, marked_at = if_not_exists(marked_at, :now)"
    );
    assert_eq!(
        update["ConditionExpression"],
        "attribute_not_exists(needed_by) AND (attribute_not_exists(marked_by) OR marked_by = :run)"
    );
    assert_eq!(update["ExpressionAttributeValues"][":run"]["S"], run(1).to_string());
    let wire = Wire::answering([condition_failed()]);
    assert!(
        !table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap(),
        "an operation needs it, or another run has marked it"
    );
    let wire = Wire::answering([error(400, "AccessDeniedException")]);
    let failed = table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap_err();
    assert!(!failed.is_retryable());
}

#[tokio::test]
async fn transaction_conflict_is_retried() {
    let now = at("2026-11-21T02:00:00Z");
    let wire = Wire::answering([in_transaction(), in_transaction(), condition_failed()]);
    assert!(!table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap());
    assert_eq!(wire.requests().len(), 3);
    let wire = Wire::answering([in_transaction(), ok(json!({}))]);
    table(&wire).unmark(&web(), &digest(1)).await.unwrap();
    let wire = Wire::answering((0..6).map(|_| in_transaction()));
    let failed = table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap_err();
    assert!(failed.is_retryable() && failed.to_string().contains("IMAGE#"), "{failed}");
}

#[tokio::test]
async fn unmark_deletes_an_item_without_references() {
    let wire = Wire::answering([ok(json!({}))]);
    table(&wire).unmark(&web(), &digest(1)).await.unwrap();
    assert_eq!(wire.operations(), ["DeleteItem"]);
    assert_eq!(wire.request().json()["ConditionExpression"], "attribute_not_exists(needed_by)");
    for answer in [ok(json!({"Attributes": {}})), condition_failed()] {
        let wire = Wire::answering([condition_failed(), answer]);
        table(&wire).unmark(&web(), &digest(1)).await.unwrap();
        assert_eq!(wire.operations(), ["DeleteItem", "UpdateItem"]);
        let update = wire.requests()[1].json();
        assert_eq!(update["UpdateExpression"], "REMOVE marked_by, marked_at");
        assert_eq!(update["ConditionExpression"], "attribute_exists(marked_by)");
    }
}

/// A build as the table stores it.
fn build(tagged: bool, version: u64) -> Value {
    json!({
        "pk": {"S": "APP#web"},
        "sk": {"S": format!("BUILD#{}", digest(1))},
        "version": {"N": version.to_string()},
        "record": {"M": {
            "digest": {"S": digest(1).to_string()},
            "repository": {"S": "team/web"},
            "build_tag": {"S": "production-20250717-143052-a1b2c3d4"},
            "tagged": {"BOOL": tagged},
            "names_taken": {"N": "0"},
            "commit": {"NULL": true},
            "pushed_tag": {"S": "main"},
            "pushed_at": {"S": "2025-07-17T14:30:52Z"},
            "media_type": {"S": "application/vnd.oci.image.manifest.v1+json"},
            "size_bytes": {"NULL": true},
            "platforms": {"L": []},
            "version": {"N": version.to_string()},
        }},
    })
}

#[tokio::test]
async fn build_of_a_deleted_image_loses_its_tag() {
    let failed = cancelled(&["ConditionalCheckFailed"]);
    let wire = Wire::answering([
        ok(json!({"Responses": {"stablepin": [build(true, 2)]}})),
        failed,
        ok(json!({"Responses": {"stablepin": [build(true, 3)]}})),
        ok(json!({})),
        ok(json!({})),
    ]);
    table(&wire).was_deleted(&web(), &digest(1)).await.unwrap();
    assert_eq!(
        wire.operations(),
        ["BatchGetItem", "TransactWriteItems", "BatchGetItem", "TransactWriteItems", "DeleteItem"],
        "a lost race reads the build again; the mark goes last"
    );
    let put = &wire.requests()[3].json()["TransactItems"][0]["Put"];
    assert_eq!(put["Item"], build(false, 4));
    assert_eq!(put["ExpressionAttributeValues"], json!({":version": {"N": "3"}}));
    for read in [json!({}), json!({"Responses": {"stablepin": [build(false, 2)]}})] {
        let wire = Wire::answering([ok(read), ok(json!({}))]);
        table(&wire).was_deleted(&web(), &digest(1)).await.unwrap();
        assert_eq!(wire.operations(), ["BatchGetItem", "DeleteItem"], "there is no tagged build to write");
    }
}

#[tokio::test]
async fn live_digests_are_read_from_rollbacks() {
    let ran = |digests: Value, described: Value| {
        json!({"M": {
            "service": {"S": "prod/web"},
            "before": {"M": {
                "task_definition": {"S": "web:1"}, "deployment": {"S": "ecs-svc/1"},
                "digests": digests, "described": described,
            }},
            "started": {"NULL": true}, "progress": {"M": {"state": {"S": "waiting"}}},
            "if_moved": {"BOOL": false}, "again": {"BOOL": false}, "seen": {"NULL": true},
        }})
    };
    let of = |n: u8| json!({"S": digest(n).to_string()});
    let services = [
        ran(json!({"L": [of(1)]}), of(1)),
        ran(json!({"L": []}), of(2)),
        ran(json!({"L": []}), json!({"NULL": true})),
    ];
    let rollback = json!({
        "pk": {"S": "APP#web"},
        "sk": {"S": "ROLLBACK#0198184a-0100-7000-8000-000000000001"},
        "record": {"M": {
            "environment": {"S": "old-staging"},
            "operation": {"M": {
                "work": {"M": {"Rollback": {"M": {
                    "id": {"S": "0198184a-0100-7000-8000-000000000001"},
                    "target": {"M": {
                        "pin": {"N": "1"}, "digest": of(9), "commit": {"NULL": true},
                        "build_tag": {"S": "production-20250717-143052-a1b2c3d4"},
                        "platforms": {"L": []}, "revisions": {"M": {}},
                    }},
                    "to": {"S": "stable"}, "asked_by": {"M": {"type": {"S": "push"}}},
                    "ask_reason": {"NULL": true}, "requested_at": {"S": "2025-07-17T15:00:00Z"},
                    "state": {"S": "Completed"}, "reason": {"NULL": true},
                    "destination": {"M": {"type": {"S": "digest"}, "digest": of(9)}},
                    "services": {"L": services}, "deadline": {"S": "2025-07-17T15:30:00Z"},
                    "bake": {"NULL": true}, "preempted": {"NULL": true}, "backup": {"NULL": true},
                    "pin": {"NULL": true},
                }}}},
                "wake_at": {"NULL": true}, "lease": {"NULL": true}, "failures": {"N": "0"},
                "problem": {"NULL": true}, "notified": {"L": []}, "version": {"N": "3"},
            }},
        }},
    });
    let wire = Wire::answering([ok(json!({"Items": [rollback]}))]);
    let live = table(&wire).was_live(&web()).await.unwrap();
    let listed: Vec<_> =
        live.iter().map(|one| (one.environment.as_str(), one.at.to_string(), &one.digest)).collect();
    let at = || "2025-07-17T15:00:00Z".to_owned();
    assert_eq!(listed, [("old-staging", at(), &digest(1)), ("old-staging", at(), &digest(2))]);
    assert_eq!(wire.request().json()["ExpressionAttributeValues"][":prefix"]["S"], "ROLLBACK#");
}

#[tokio::test]
async fn pins_and_records_of_all_environments_are_read() {
    let pin = json!({
        "pk": {"S": "APP#web"},
        "sk": {"S": "PIN#old-staging#000007"},
        "record": {"M": {
            "number": {"N": "7"},
            "digest": {"S": digest(1).to_string()},
            "build_tag": {"S": "production-20250717-143052-a1b2c3d4"},
            "commit": {"NULL": true},
            "by": {"S": "0198184a-0100-7000-8000-000000000001"},
            "at": {"S": "2025-07-17T15:00:00Z"},
            "platforms": {"L": []},
            "revisions": {"M": {}},
        }},
    });
    let wire = Wire::answering([ok(json!({"Items": [pin]}))]);
    let pins = table(&wire).pins_of_all(&web()).await.unwrap();
    let listed: Vec<_> = pins.iter().map(|(name, number, of)| (name.as_str(), number.get(), of)).collect();
    assert_eq!(listed, [("old-staging", 7, &digest(1))]);
    assert_eq!(wire.request().json()["ExpressionAttributeValues"][":prefix"]["S"], "PIN#");

    let environment = json!({
        "pk": {"S": "APP#web"},
        "sk": {"S": "ENV#old-staging"},
        "record": {"M": {
            "pin": {"NULL": true}, "applied": {"NULL": true}, "watermark": {"NULL": true},
            "latest": {"NULL": true}, "slot": {"NULL": true}, "hold": {"NULL": true},
            "freeze": {"NULL": true}, "current": {"NULL": true},
            "rolled_back_from": {"L": []}, "version": {"N": "3"},
        }},
    });
    let wire = Wire::answering([ok(json!({"Items": [environment]}))]);
    let environments = table(&wire).environments_of(&web()).await.unwrap();
    let listed: Vec<_> = environments.iter().map(|(name, one)| (name.as_str(), one.version)).collect();
    assert_eq!(listed, [("old-staging", 3)]);
    assert_eq!(wire.request().json()["ExpressionAttributeValues"][":prefix"]["S"], "ENV#");
}

#[tokio::test]
async fn tags_are_read_for_one_repository() {
    let tag = |name: &str, attribute: &str, value: Value| {
        let mut item = json!({"pk": {"S": "APP#web"}, "sk": {"S": format!("TAG#team/web#{name}")}});
        item[attribute] = value;
        item
    };
    let wire = Wire::answering([ok(json!({"Items": [
        tag("main", "followed", json!({"S": digest(1).to_string()})),
        tag("prod-stable", "intents", json!({"SS": [digest(1).to_string(), digest(2).to_string()]})),
    ]}))]);
    let tags = table(&wire).tags_of(&web(), &repository()).await.unwrap();
    let intents: BTreeMap<String, BTreeSet<ImageDigest>> =
        tags.into_iter().map(|(tag, of): (ImageTag, _)| (tag.to_string(), of.intents)).collect();
    let stable = ("prod-stable".to_owned(), BTreeSet::from([digest(1), digest(2)]));
    assert_eq!(intents, BTreeMap::from([("main".to_owned(), BTreeSet::new()), stable]));
    assert_eq!(wire.request().json()["ExpressionAttributeValues"][":prefix"]["S"], "TAG#team/web#");
}

#[tokio::test]
async fn foreign_tag_is_stored_with_an_expiry_and_read() {
    let hotfix = ImageTag::parse("hotfix").unwrap();
    let tagged_at = at("2026-11-30T10:00:00Z");
    let key = json!({"pk": {"S": "APP#web"}, "sk": {"S": "TAGGED#team/web#hotfix"}});
    let item = json!({
        "pk": key["pk"], "sk": key["sk"], "tagged": {"S": digest(1).to_string()},
        "tagged_at": {"S": "2026-11-30T10:00:00.000000000Z"},
    });
    let wire = Wire::answering([ok(json!({})), condition_failed(), ok(json!({"Items": [item]}))]);
    let table = table(&wire);
    for _ in 0..2 {
        let kept = SignedDuration::from_hours(24);
        table.was_tagged(&web(), &repository(), &hotfix, &digest(1), tagged_at, kept).await.unwrap();
    }
    let asked = wire.requests()[0].json();
    assert_eq!(asked["Key"], key);
    assert_eq!(asked["ExpressionAttributeValues"][":ttl"], json!({"N": "1796119200"}));
    assert_eq!(asked["ConditionExpression"], "attribute_not_exists(tagged_at) OR tagged_at <= :at");
    let found = table.tagged_of(&web(), &repository()).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(hotfix, (digest(1), tagged_at))]);
}

/// The sweep reports pushes days later, and CloudTrail reports calls weeks later. Both records
/// count from the report.
#[tokio::test]
async fn late_report_is_kept_from_its_arrival() {
    let wire = Wire::answering((0..4).map(|_| ok(json!({}))));
    let table = table(&wire);
    let tag = ImageTag::parse("main").unwrap();
    let now = Timestamp::now();
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    for at in [now - days(40), now + days(1)] {
        let index = ContainingIndex { digest: digest(1), tag: tag.clone(), pushed_at: at };
        table.put_containing_index(&web(), &digest(2), &index).await.unwrap();
        let caller = Caller { arn: "arn:aws:iam::111122223333:user/ann".to_owned(), at };
        table.put_caller(&web(), &repository(), &tag, &digest(1), &caller).await.unwrap();
    }
    let kept = |request: &Request| {
        let ttl = request.json()["Item"]["ttl"]["N"].as_str().unwrap().parse().unwrap();
        Timestamp::from_second(ttl).unwrap() - now
    };
    let kept: Vec<i64> = wire.requests().iter().map(|one| kept(one).get_seconds()).collect();
    let wanted = [days(2), days(30), days(3), days(31)];
    for (kept, wanted) in kept.into_iter().zip(wanted) {
        assert!((0..60).contains(&(kept - wanted.as_secs() + 1)), "{kept}");
    }
}

#[tokio::test]
async fn repository_lock_has_one_holder() {
    let (holder, now) = (Uuid::from_u128(7), at("2026-11-21T02:00:00.5Z"));
    let until = at("2026-11-21T02:15:00Z");
    let wire = Wire::answering([ok(json!({"Attributes": {}})), condition_failed()]);
    for taken in [true, false] {
        let answer = table(&wire).take_repository(&web(), &repository(), run(1), holder, now, until).await;
        assert_eq!(answer.unwrap(), taken);
    }
    let take = wire.requests()[0].json();
    assert_eq!(take["Key"], json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": "RETENTION#team/web"}}));
    assert_eq!(
        take["ConditionExpression"],
        "attribute_not_exists(pk) OR #until <= :now OR #holder = :holder"
    );
    assert_eq!(
        take["ExpressionAttributeNames"],
        json!({"#run": "run", "#holder": "holder", "#until": "until"})
    );
    let values = &take["ExpressionAttributeValues"];
    assert_eq!(values[":now"], json!({"N": "1795226400500"}));
    assert_eq!(values[":until"], json!({"N": "1795227300000"}));
    assert_eq!(values[":holder"], json!({"S": holder.to_string()}));

    let wire = Wire::answering([ok(json!({})), condition_failed()]);
    for _ in 0..2 {
        table(&wire).give_repository_back(&web(), &repository(), holder).await.unwrap();
    }
    assert_eq!(wire.operations(), ["DeleteItem", "DeleteItem"]);
    assert_eq!(wire.requests()[0].json()["ConditionExpression"], "#holder = :holder");
}
