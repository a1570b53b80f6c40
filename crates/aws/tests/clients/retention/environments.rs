//! Tests of reading the rollbacks, pins and records of all environments.

use serde_json::{Value, json};

use super::fixtures::{digest, table, web};
use crate::wire::{Wire, ok};

#[tokio::test]
async fn table_reads_digests_that_were_live_before_rollbacks() {
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
                    "rollout": {"M": {
                        "destination": {"M": {"type": {"S": "digest"}, "digest": of(9)}},
                        "services": {"L": services}, "deadline": {"S": "2025-07-17T15:30:00Z"},
                        "bake": {"NULL": true},
                    }},
                    "preempted": {"NULL": true}, "backup": {"NULL": true},
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
async fn table_reads_pins_and_records_of_all_environments() {
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
