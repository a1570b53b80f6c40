//! Tests of the records of tags, of pushers, and of image indexes that contain an image.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_rules::caller::Caller;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, ImageTag};

use super::fixtures::{PROMOTION, at, condition_failed, digest, opens, repository, table, web};
use crate::wire::{Request, Wire, cancelled, ok};

/// An old item may have more pushers than the limit: older versions had no limit.
#[tokio::test]
async fn table_reads_pushers_up_to_the_limit() {
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
async fn table_keeps_intents_if_the_environment_has_changed() {
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
async fn table_reads_the_tags_of_one_repository() {
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
async fn table_stores_foreign_tag_with_an_expiry() {
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

/// The sweep may report a push days late, and CloudTrail may report a call weeks late. The table
/// keeps the record for a fixed time after the report arrives.
#[tokio::test]
async fn late_report_is_kept_for_a_fixed_time_after_its_arrival() {
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
