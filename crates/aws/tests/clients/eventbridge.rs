use serde_json::{Value, json};
use stablepin_aws::eventbridge::{Entry, EventBridge};

use crate::wire::{Wire, chain, error, ok};

fn entries(count: usize, bytes: usize) -> Vec<Entry> {
    let entry = |n: usize| Entry {
        detail_type: "Pin Change".to_owned(),
        detail: json!({"id": n, "reason": "x".repeat(bytes)}).to_string(),
        time: "2025-07-17T14:30:52Z".parse().unwrap(),
    };
    (0..count).map(entry).collect()
}

fn taken(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"EventId": n.to_string()})).collect()
}

fn lengths(wire: &Wire) -> Vec<usize> {
    wire.requests().iter().map(|request| request.json()["Entries"].as_array().unwrap().len()).collect()
}

#[tokio::test]
async fn client_puts_ten_events_per_call() {
    let wire = Wire::answering([
        ok(json!({"FailedEntryCount": 0, "Entries": taken(10)})),
        ok(json!({"FailedEntryCount": 0, "Entries": taken(2)})),
    ]);
    EventBridge::new(&wire.session()).put("stablepin", &entries(12, 0)).await.unwrap();
    assert_eq!(lengths(&wire), [10, 2]);
    assert_eq!(
        wire.requests()[1].json()["Entries"][0],
        json!({
            "EventBusName": "stablepin",
            "Source": "stablepin",
            "DetailType": "Pin Change",
            "Detail": r#"{"id":10,"reason":""}"#,
            "Time": 1_752_762_652,
        })
    );
}

#[tokio::test]
async fn client_puts_fewer_large_events_per_call() {
    let wire = Wire::answering([1, 1, 1].map(|n| ok(json!({"FailedEntryCount": 0, "Entries": taken(n)}))));
    EventBridge::new(&wire.session()).put("stablepin", &entries(3, 200 * 1024)).await.unwrap();
    assert_eq!(lengths(&wire), [1, 1, 1]);
}

#[tokio::test]
async fn client_makes_no_call_for_an_empty_list_of_events() {
    let wire = Wire::answering([]);
    EventBridge::new(&wire.session()).put("stablepin", &[]).await.unwrap();
    assert_eq!(wire.requests().len(), 0);
}

#[tokio::test]
async fn error_names_the_rejected_events() {
    let mut first = taken(10);
    first[3] = json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "slower"});
    let mut second = taken(2);
    second[1] = json!({"ErrorCode": "InternalFailure", "ErrorMessage": "oh"});
    let wire = Wire::answering([
        ok(json!({"FailedEntryCount": 1, "Entries": first})),
        ok(json!({"FailedEntryCount": 1, "Entries": second})),
    ]);
    let failed = EventBridge::new(&wire.session()).put("stablepin", &entries(12, 0)).await.unwrap_err();
    assert_eq!(
        chain(&failed),
        "could not put 2 of 12 events on stablepin (PutEvents): \
         number 3, ThrottlingException: slower; number 11, InternalFailure: oh"
    );
    assert!(failed.is_retryable());

    let wire = Wire::answering([ok(json!({
        "FailedEntryCount": 1,
        "Entries": [{"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no"}],
    }))]);
    let failed = EventBridge::new(&wire.session()).put("stablepin", &entries(1, 0)).await.unwrap_err();
    assert!(!failed.is_retryable());
    assert!(chain(&failed).ends_with("number 0, NotAuthorizedForSourceException: no"), "{failed}");
}

#[tokio::test]
async fn error_names_the_first_event_of_the_failed_call() {
    let wire = Wire::answering([
        ok(json!({"FailedEntryCount": 0, "Entries": taken(10)})),
        error(400, "ThrottlingException"),
    ]);
    let failed = EventBridge::new(&wire.session()).put("stablepin", &entries(12, 0)).await.unwrap_err();
    assert_eq!(
        chain(&failed),
        "could not put the events from number 10 on to stablepin (PutEvents): \
         ThrottlingException: told by the test (HTTP 400, request 7f2f)"
    );
    assert!(failed.is_retryable());
}
