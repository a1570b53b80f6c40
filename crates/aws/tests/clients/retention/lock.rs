//! Tests of the lock of an application's images.

use serde_json::json;
use uuid::Uuid;

use super::fixtures::{at, condition_failed, run, table, web};
use crate::wire::{Wire, ok};

#[tokio::test]
async fn lock_of_images_has_one_holder() {
    let (holder, now) = (Uuid::from_u128(7), at("2026-11-21T02:00:00.5Z"));
    let until = at("2026-11-21T02:15:00Z");
    let wire = Wire::answering([ok(json!({"Attributes": {}})), condition_failed()]);
    for taken in [true, false] {
        let answer = table(&wire).lock_images(&web(), run(1), holder, now, until).await;
        assert_eq!(answer.unwrap(), taken);
    }
    let take = wire.requests()[0].json();
    assert_eq!(take["Key"], json!({"pk": {"S": "IMAGES#web"}, "sk": {"S": "RETENTION"}}));
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
        table(&wire).unlock_images(&web(), holder).await.unwrap();
    }
    assert_eq!(wire.operations(), ["DeleteItem", "DeleteItem"]);
    assert_eq!(wire.requests()[0].json()["ConditionExpression"], "#holder = :holder");
}
