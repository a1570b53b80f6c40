use serde_json::{Value, json};
use stablepin_aws::sqs::Sqs;

use crate::wire::{Wire, chain, error, ok};

const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/sweep";

fn taken(count: usize) -> Value {
    let each = |n: usize| json!({"Id": n.to_string(), "MessageId": n.to_string(), "MD5OfMessageBody": ""});
    json!({"Successful": (0..count).map(each).collect::<Vec<_>>(), "Failed": []})
}

fn messages(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("message {n}")).collect()
}

#[tokio::test]
async fn client_sends_ten_messages_per_call_with_spread_delays() {
    let wire = Wire::answering([ok(taken(10)), ok(taken(5))]);
    Sqs::new(&wire.session()).send_spread(QUEUE, &messages(15), 900).await.unwrap();
    let sent: Vec<(String, i64)> = wire
        .requests()
        .iter()
        .flat_map(|request| request.json()["Entries"].as_array().unwrap().clone())
        .map(|entry| {
            (entry["MessageBody"].as_str().unwrap().to_owned(), entry["DelaySeconds"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(sent.len(), 15);
    assert_eq!((&sent[0], &sent[1]), (&("message 0".to_owned(), 0), &("message 1".to_owned(), 60)));
    assert_eq!(sent[14], ("message 14".to_owned(), 840));
    assert_eq!(wire.requests()[0].json()["QueueUrl"], QUEUE);
}

#[tokio::test]
async fn delays_are_spread_over_at_most_900_seconds() {
    let wire = Wire::answering([ok(taken(2))]);
    Sqs::new(&wire.session()).send_spread(QUEUE, &messages(2), 3600).await.unwrap();
    assert_eq!(wire.requests()[0].json()["Entries"][1]["DelaySeconds"], 450);
}

#[tokio::test]
async fn rejected_message_is_an_error() {
    let failed = json!({"Successful": [], "Failed": [{
        "Id": "0", "Code": "InternalError", "Message": "later", "SenderFault": false,
    }]});
    let wire = Wire::answering([ok(failed)]);
    let failed = Sqs::new(&wire.session()).send_spread(QUEUE, &messages(1), 0).await.unwrap_err();
    assert!(failed.is_retryable());
    let text =
        format!("could not send to {QUEUE} (SendMessageBatch): it did not take 1 of 1 messages: later");
    assert_eq!(chain(&failed), text);
}

#[tokio::test]
async fn client_makes_no_call_for_an_empty_list_of_messages() {
    let wire = Wire::answering([error(400, "com.amazonaws.sqs#QueueDoesNotExist")]);
    Sqs::new(&wire.session()).send_spread(QUEUE, &[], 900).await.unwrap();
    assert_eq!(wire.requests().len(), 0);
    let failed = Sqs::new(&wire.session()).send_spread(QUEUE, &messages(1), 900).await.unwrap_err();
    assert!(failed.to_string().ends_with("(SendMessageBatch)") && !failed.is_retryable());
}
