//! One event, as `PutEvents` takes it.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

/// EventBridge adds version, id, account, time and region.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub source: &'static str,
    pub detail_type: &'static str,
    pub resources: Vec<String>,
    pub at: Timestamp,
    pub detail: Value,
}

impl Event {
    /// `Time` is set as a publisher should; MiniStack replaces it with the time of the call.
    pub(crate) fn entry(&self) -> Value {
        json!({
            "Source": self.source,
            "DetailType": self.detail_type,
            "Resources": self.resources,
            "Time": self.at.as_second(),
            "Detail": self.detail.to_string(),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |name: &str| self.detail[name].as_str().unwrap_or_default();
        match self.source {
            super::ecr::SOURCE => {
                let tag = Some(word("image-tag")).filter(|tag| !tag.is_empty()).unwrap_or("(untagged)");
                let what = (word("action-type"), word("repository-name"), word("image-digest"));
                write!(f, "{}: {} {}:{tag} {}", self.detail_type, what.0, what.1, what.2)
            }
            _ => write!(
                f,
                "{}: {} {} {}",
                self.detail_type,
                word("eventName"),
                self.resources.first().map_or("", String::as_str),
                word("reason")
            ),
        }
    }
}

#[cfg(test)]
pub(super) mod sample {
    use super::*;

    /// The event as a rule's target would get it.
    fn envelope(event: &Event) -> Value {
        json!({
            "version": "0",
            "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
            "detail-type": event.detail_type,
            "source": event.source,
            "account": "000000000000",
            "time": event.at.to_string(),
            "region": "us-east-1",
            "resources": event.resources,
            "detail": event.detail,
        })
    }

    /// Asserts that `event` has exactly the keys of AWS's sample, with values of the same types,
    /// and the same values where AWS has a fixed word.
    pub(in super::super) fn assert_shaped_like(event: &Event, sample: &str, fixed: &[&str]) {
        let sample: Value = serde_json::from_str(sample).unwrap();
        let ours = envelope(event);
        assert_eq!(shape(&ours), shape(&sample), "{ours:#}");
        assert_eq!(ours["detail-type"], sample["detail-type"]);
        for name in fixed {
            assert_eq!(ours["detail"][name], sample["detail"][name], "{name}");
        }
    }

    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
            }
            Value::Array(values) => values.iter().map(shape).collect(),
            Value::String(_) => "string".into(),
            Value::Number(_) => "number".into(),
            Value::Bool(_) => "boolean".into(),
            Value::Null => "null".into(),
        }
    }
}
