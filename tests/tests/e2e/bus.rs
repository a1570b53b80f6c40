//! What others hear of: the audit trail on the stack's bus.

use serde_json::{Value, json};
use stablepin_tests::{App, Plan, stack, until};
use xtask::image::Spec;
use xtask::inbox;

/// A queue that gets the application's events, as a subscriber's own rule would send them.
#[track_caller]
fn subscribe(app: &App) -> String {
    let name = format!("bus-{}", app.plan.name);
    let queue = app.aws.sqs("CreateQueue", &json!({ "QueueName": name })).expect("a queue");
    let url = queue["QueueUrl"].as_str().expect("its URL").to_owned();
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    let pattern = json!({ "source": ["stablepin"], "detail": { "application": [app.plan.name] } });
    let rule = json!({ "Name": name, "EventBusName": stack().bus(), "EventPattern": pattern.to_string() });
    let rule = app.aws.events("PutRule", &rule).expect("a rule");
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" },
            "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": { "ArnEquals": { "aws:SourceArn": rule["RuleArn"] } },
        }],
    });
    let set = json!({ "QueueUrl": url, "Attributes": { "Policy": policy.to_string() } });
    app.aws.sqs("SetQueueAttributes", &set).expect("the rule may send to the queue");
    let target =
        json!({ "Rule": name, "EventBusName": stack().bus(), "Targets": [{ "Id": "queue", "Arn": arn }] });
    app.aws.events("PutTargets", &target).expect("a target");
    url
}

#[test]
fn every_change_is_told_on_the_bus_once_it_is_committed() {
    let app = Plan::new("bus").with_repository();
    let queue = subscribe(&app);
    assert_eq!(app.put(&app.plan.toml()).status, 201);
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let (status, answer) = app.rollback(&json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s" }));
    assert_eq!(status, 202, "{answer}");
    app.rolled_back(answer["id"].as_str().expect("an id"));

    let audit = app.audit();
    let events = until("an event for each audit record", || {
        let bodies = inbox::bodies(&app.aws, &queue).expect("the queue answers");
        let events: Vec<Value> =
            bodies.iter().map(|body| serde_json::from_str(body).expect("an event")).collect();
        // A subscriber may see one twice, and not always in order.
        let told = |record: &Value| events.iter().any(|event| same(event, record));
        audit.iter().all(told).then_some(events)
    });
    for event in &events {
        assert_eq!(
            (&event["source"], &event["detail-type"]),
            (&"stablepin".into(), &event["detail"]["kind"])
        );
        assert!(audit.iter().any(|record| same(event, record)), "told, and not in the audit trail: {event}");
        assert!(!event.to_string().contains("?t="), "no link is in an event");
    }
    let pin =
        events.iter().find(|event| event["detail-type"] == "Pin Change" && event["detail"]["to"] == "3");
    let pin = &pin.expect("the rollback's pin")["detail"];
    assert_eq!(
        (&pin["from"], &pin["digest"], &pin["environment"]),
        (&"2".into(), &json!(first), &"production".into())
    );
    assert_eq!((&pin["actor"]["type"], &pin["version"]), (&"principal".into(), &1.into()));
}

fn same(event: &Value, record: &Value) -> bool {
    ["kind", "id", "from", "to", "digest", "reason", "at"]
        .iter()
        .all(|name| event["detail"][name] == record[name])
}
