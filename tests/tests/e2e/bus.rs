//! Audit records as events on the stack's EventBridge bus.

use serde_json::{Value, json};
use stablepin_tests::event::Listener;
use stablepin_tests::{Plan, stack, until};
use xtask::image::Spec;

#[test]
fn event_bus_receives_an_event_for_each_audit_record() {
    let app = Plan::new("bus").with_repository();
    let pattern = json!({ "source": ["stablepin"], "detail": { "application": [app.plan.name] } });
    let events = Listener::new(&app.aws, &format!("bus-{}", app.plan.name), stack().bus(), &pattern);
    assert_eq!(app.put(&app.plan.toml()).status, 201);
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let (status, answer) = app.rollback(&json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s" }));
    assert_eq!(status, 202, "{answer}");
    app.rolled_back(answer["id"].as_str().expect("an id"));

    let audit = app.audit();
    let events = until("an event for each audit record", || {
        let events = events.all();
        // A subscriber may receive an event twice, and out of order.
        let is_published = |record: &Value| events.iter().any(|event| same(event, record));
        audit.iter().all(is_published).then_some(events)
    });
    for event in &events {
        assert_eq!(
            (&event["source"], &event["detail-type"]),
            (&"stablepin".into(), &event["detail"]["kind"])
        );
        assert!(
            audit.iter().any(|record| same(event, record)),
            "the audit trail has no record of this event: {event}"
        );
        assert!(!event.to_string().contains("?t="), "an event contains no link");
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
