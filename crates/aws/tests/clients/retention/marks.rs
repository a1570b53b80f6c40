//! Tests of marks on images that retention deletes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_aws::dynamodb::Mark;

use super::fixtures::{at, condition_failed, digest, in_transaction, operation, rollback, run, table, web};
use crate::wire::{Request, Wire, cancelled, chain, error, ok};

#[tokio::test]
async fn table_reads_all_pages_of_marks_consistently() {
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
async fn table_marks_image_in_one_conditional_update() {
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
async fn table_retries_after_a_transaction_conflict() {
    let now = at("2026-11-21T02:00:00Z");
    let wire = Wire::answering([in_transaction(), in_transaction(), condition_failed()]);
    assert!(!table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap());
    assert_eq!(wire.requests().len(), 3);
    let wire = Wire::answering([in_transaction(), ok(json!({}))]);
    table(&wire).unmark(&web(), &digest(1)).await.unwrap();
    let wire = Wire::answering((0..6).map(|_| in_transaction()));
    let failed = table(&wire).mark_for_deletion(&web(), &digest(1), run(1), now).await.unwrap_err();
    assert!(failed.is_retryable() && chain(&failed).contains("IMAGE#"), "{failed}");
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
            "run": {"NULL": true},
            "platforms": {"L": []},
            "version": {"N": version.to_string()},
        }},
    })
}

#[tokio::test]
async fn build_of_a_deleted_image_becomes_untagged() {
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
        "a lost race reads the build again, and the mark is removed last"
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
