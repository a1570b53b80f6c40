//! The events that start the Lambda function of retention.

use jiff::Timestamp;
use serde_json::Value;
use stablepin_http::{Event, Problem, Request};
use stablepin_reconciler::clock::now;

use crate::Message;

pub enum RetentionTrigger {
    /// The nightly event of the schedule. All repositories of all applications are due. The
    /// scheduled time identifies the night.
    Night(Timestamp),
    /// A queue message for one repository of one run. The template sets a batch size of 1.
    Work(Message),
    /// A signed HTTP request.
    Request(Box<Request>),
}

/// An event that retention does not handle: an unknown event, or an invalid request.
pub enum UnreadableTrigger {
    Event(String),
    /// The response to an invalid request.
    Request(Problem),
}

impl RetentionTrigger {
    pub fn read(event: Value) -> Result<Self, UnreadableTrigger> {
        if let Some(records) = event.get("Records").and_then(Value::as_array) {
            let body = records.first().and_then(|record| record.get("body")).and_then(Value::as_str);
            let message = serde_json::from_str(body.unwrap_or_default());
            return message
                .map(Self::Work)
                .map_err(|error| UnreadableTrigger::Event(format!("a message of the queue: {error}")));
        }
        if event.get("detail-type").and_then(Value::as_str) == Some("Retention") {
            let scheduled = event.get("time").and_then(Value::as_str).and_then(|at| at.parse().ok());
            return Ok(Self::Night(scheduled.unwrap_or_else(now)));
        }
        let event: Event =
            serde_json::from_value(event).map_err(|error| UnreadableTrigger::Event(error.to_string()))?;
        Request::read(event)
            .map(|request| Self::Request(Box::new(request)))
            .map_err(UnreadableTrigger::Request)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retention_reads_only_events_of_the_template() {
        let night = json!({"source": "stablepin.schedule", "detail-type": "Retention", "detail": {}});
        assert!(matches!(RetentionTrigger::read(night), Ok(RetentionTrigger::Night(_))));
        let night = json!({"detail-type": "Retention", "time": "2026-11-21T02:00:00Z"});
        let Ok(RetentionTrigger::Night(at)) = RetentionTrigger::read(night) else {
            panic!("it is not a night")
        };
        assert_eq!(at.to_string(), "2026-11-21T02:00:00Z");
        let body =
            r#"{"application":"web","run":"019b0000-0000-7000-8000-000000000000","repository":"prod/web"}"#;
        let message = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        let Ok(RetentionTrigger::Work(work)) = RetentionTrigger::read(message(body)) else {
            panic!("it is not a work message")
        };
        assert_eq!(work.repository.as_str(), "prod/web");
        for broken in ["", "{}", r#"{"application":"../x","run":"1","repository":"web"}"#] {
            assert!(
                matches!(RetentionTrigger::read(message(broken)), Err(UnreadableTrigger::Event(_))),
                "{broken}"
            );
        }
    }
}
