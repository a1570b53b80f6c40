//! Tests of references from operations to their images.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_aws::dynamodb::{CommitError, OperationKey};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::transition::Change;

use super::fixtures::{PROMOTION, condition_failed, digest, opens, operation, rollback, table, web};
use crate::wire::{Request, Wire, cancelled, cancelled_for, ok};

const ROLLBACK: &str = include_str!("../../../../rules/src/records/samples/rollback.json");

/// Returns the updates of image items in a transaction.
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
async fn only_a_new_operation_adds_a_reference() {
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
async fn image_with_too_many_references_is_not_reported_as_marked() {
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

#[tokio::test]
async fn commit_error_names_the_deletion_mark_instead_of_a_conflict() {
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
async fn table_finds_finished_and_missing_operations() {
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
async fn table_reads_a_hundred_operations_per_call() {
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
async fn release_of_last_reference_deletes_the_item() {
    let ended = BTreeSet::from([operation(1), rollback(2)]);
    let key = json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": format!("IMAGE#{}", digest(1))}});
    // The item has no reference and no mark after the update.
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
    // Another writer changed the item between the two calls.
    let wire = Wire::answering([ok(json!({"Attributes": key})), condition_failed()]);
    table(&wire).release(&web(), &digest(1), &ended).await.unwrap();
    // The item still has the reference of operation 3, or had no reference before the update.
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
