//! Tests of the lists of an application's builds and of an environment's rollbacks.

use serde_json::{Value, json};
use stablepin_aws::dynamodb::Cursor;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::Build;
use stablepin_rules::transition::Change;

use crate::retention::fixtures::{opens, table, web};
use crate::wire::{Wire, ok};

const ROLLBACK: &str = include_str!("../../../rules/src/records/samples/rollback.json");
const BUILD: &str = include_str!("../../../rules/src/records/samples/build.json");

/// Commits a change and returns the items that the commit writes.
async fn put(operation: &str, change: impl Fn(&mut Change)) -> Vec<Value> {
    let (before, mut opened) = opens(operation);
    change(&mut opened);
    let wire = Wire::answering([ok(json!({}))]);
    table(&wire).commit(&before, &opened).await.unwrap();
    let body = wire.request().json();
    let puts = body["TransactItems"].as_array().unwrap().iter().map(|write| write["Put"]["Item"].clone());
    puts.filter(|item| !item.is_null()).collect()
}

fn of_kind(items: &[Value], kind: &str) -> Value {
    let is_it = |item: &&Value| item["sk"]["S"].as_str().is_some_and(|sk| sk.starts_with(kind));
    items.iter().find(is_it).unwrap().clone()
}

fn id(n: u8) -> String {
    format!("0198184a-0200-7000-8000-00000000000{n}")
}

/// Returns a copy of a rollback's item with another id and another environment.
fn numbered(item: &Value, n: u8, environment: &str) -> Value {
    let mut item = item.clone();
    item["sk"]["S"] = json!(format!("ROLLBACK#{}", id(n)));
    item["record"]["M"]["environment"]["S"] = json!(environment);
    item["record"]["M"]["operation"]["M"]["work"]["M"]["Rollback"]["M"]["id"]["S"] = json!(id(n));
    item
}

#[tokio::test]
async fn rollback_list_excludes_rollbacks_of_other_environments() {
    let item = of_kind(&put(ROLLBACK, |_| {}).await, "ROLLBACK#");
    let of = |n: u8, environment: &str| numbered(&item, n, environment);
    let key = |n: u8| json!({ "pk": item["pk"], "sk": of(n, "production")["sk"] });
    let wire = Wire::answering([
        ok(
            json!({ "Items": [of(6, "staging"), of(5, "production"), of(4, "production"), of(3, "production")] }),
        ),
        ok(json!({ "Items": [of(3, "staging")], "LastEvaluatedKey": key(3) })),
        ok(json!({ "Items": [of(2, "production")], "LastEvaluatedKey": key(2) })),
        ok(json!({ "Items": [of(1, "staging")] })),
    ]);
    let (table, production) = (table(&wire), EnvironmentName::parse("production").unwrap());
    let cursor = |n: u8| Some(Cursor(format!("ROLLBACK#{}", id(n))));
    let mut after = None;
    for (expected, next) in [(vec![id(5), id(4)], cursor(4)), (vec![id(2)], cursor(2)), (Vec::new(), None)] {
        let page = table.rollbacks(&web(), &production, 2, after).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|operation| operation.id().to_string()).collect();
        assert_eq!((ids, &page.next), (expected, &next));
        after = page.next;
    }

    let asked: Vec<Value> = wire.requests().iter().map(|request| request.json()).collect();
    assert_eq!(asked[0]["ScanIndexForward"], false);
    assert_eq!(asked[0]["ExpressionAttributeValues"][":prefix"]["S"], "ROLLBACK#");
    let begun: Vec<_> = asked.iter().skip(1).map(|ask| ask["ExclusiveStartKey"].clone()).collect();
    assert_eq!(begun, [key(4), key(3), key(2)]);
}

#[tokio::test]
async fn commit_lists_a_new_build_by_its_push_time() {
    let build = Build { version: 0, ..serde_json::from_str(BUILD).unwrap() };
    let items = put(ROLLBACK, |change| change.after.build = Some(build.clone())).await;
    let (built, stored) = (of_kind(&items, "BUILT#"), of_kind(&items, "BUILD#"));
    let sort_key = format!("BUILT#2025-07-17T14:30:52Z#{}", build.digest);
    assert_eq!((&built["pk"], &built["sk"]["S"]), (&stored["pk"], &json!(sort_key)));

    let last = json!({ "pk": built["pk"], "sk": built["sk"] });
    let wire = Wire::answering([
        ok(json!({ "Items": [built], "LastEvaluatedKey": last })),
        ok(json!({ "Responses": { "stablepin": [stored] } })),
        ok(json!({ "Items": [] })),
    ]);
    let page = table(&wire).builds(&web(), 1, None).await.unwrap();
    let stored = Build { version: 1, ..build };
    assert_eq!((page.items, page.next.clone()), (vec![stored], Some(Cursor(sort_key.clone()))));
    let page = table(&wire).builds(&web(), 1, page.next).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
    let asked: Vec<Value> = wire.requests().iter().map(|request| request.json()).collect();
    assert_eq!((&asked[0]["ScanIndexForward"], &asked[0]["Limit"]), (&json!(false), &json!(1)));
    assert_eq!(asked[2]["ExclusiveStartKey"]["sk"]["S"], sort_key);
    assert_eq!(asked.len(), 3, "an empty page reads no build");
}

#[tokio::test]
async fn commit_does_not_list_a_known_build_again() {
    let build: Build = serde_json::from_str(BUILD).unwrap();
    let (mut before, mut change) = opens(ROLLBACK);
    before.build = Some(build.clone());
    change.after.build = Some(Build { tagged: !build.tagged, ..build });
    let wire = Wire::answering([ok(json!({}))]);
    table(&wire).commit(&before, &change).await.unwrap();
    assert!(!wire.request().body.contains("BUILT#"));
}
