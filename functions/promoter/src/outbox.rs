//! Publishes each audit record to the event bus at least once, in order. The audit records in the
//! table are the outbox, so every committed record is published.

use serde_json::{Value, json};
use stablepin_aws::call::CallError;
use stablepin_aws::eventbridge::{Entry, EventBridge};
use stablepin_reconciler::errors::chain;
use stablepin_rules::audit::AuditRecord;

/// The stack's event bus.
#[derive(Debug, Clone)]
pub struct EventBus {
    pub client: EventBridge,
    pub name: String,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the event bus did not accept the records")]
    EventBus(#[from] CallError),
    #[error("an audit record is not readable")]
    Unreadable(#[source] serde_json::Error),
}

/// The most entries of one `PutEvents` call.
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
const PER_CALL: usize = 10;

impl EventBus {
    /// Publishes all readable records, or returns an error. After an error, the table's stream
    /// delivers the whole batch again, so a subscriber may receive a record twice.
    pub async fn publish(&self, records: &[Value]) -> Result<usize, OutboxError> {
        let mut entries = Vec::new();
        for record in records {
            match entry(record) {
                Ok(entry) => entries.extend(entry),
                // A retry would not help and would delay the other records. The unreadable record
                // is kept in the table.
                Err(error) => tracing::error!("an audit record is not published: {}", chain(&error)),
            }
        }
        for chunk in entries.chunks(PER_CALL) {
            self.client.put(&self.name, chunk).await?;
        }
        Ok(entries.len())
    }
}

/// Converts an audit record to an event. Returns `None` for any other item of the table.
fn entry(record: &Value) -> Result<Option<Entry>, OutboxError> {
    let image = record.pointer("/dynamodb/NewImage");
    let key = image.and_then(|image| image.pointer("/pk/S")).and_then(Value::as_str).unwrap_or_default();
    let Some(stored) = image.and_then(|image| image.get("record")).filter(|_| key.starts_with("AUDIT#"))
    else {
        return Ok(None);
    };
    let audit: AuditRecord = serde_json::from_value(plain(stored)).map_err(OutboxError::Unreadable)?;
    let detail = json!({
        "version": audit.version,
        "application": audit.application,
        "environment": audit.environment,
        "kind": audit.kind,
        "id": audit.id,
        "digest": audit.digest,
        "from": audit.from,
        "to": audit.to,
        "reason": audit.reason,
        "actor": audit.actor,
        "run": audit.run,
        "at": audit.at,
    });
    Ok(Some(Entry {
        detail_type: audit.kind.detail_type().to_owned(),
        detail: detail.to_string(),
        time: audit.at,
    }))
}

/// Converts DynamoDB's typed JSON, such as `{"S": "web"}`, to plain JSON.
fn plain(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("M", Value::Object(members)) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        ("L", Value::Array(items)) => Value::Array(items.iter().map(plain).collect()),
        ("N", Value::String(number)) => serde_json::from_str(number).unwrap_or(Value::Null),
        ("NULL", _) => Value::Null,
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbox_converts_an_audit_record_to_an_event() {
        let record = json!({
            "eventName": "INSERT",
            "dynamodb": {"SequenceNumber": "1", "NewImage": {
                "pk": {"S": "AUDIT#web#2026-11"}, "sk": {"S": "019b"}, "version": {"N": "1"},
                "record": {"M": {
                    "version": {"N": "1"}, "kind": {"S": "Pin Change"}, "application": {"S": "web"},
                    "environment": {"S": "production"}, "id": {"NULL": true}, "digest": {"NULL": true},
                    "from": {"S": "1"}, "to": {"S": "2"}, "reason": {"NULL": true},
                    "actor": {"M": {"type": {"S": "link"}, "approver": {"S": "lead"}}},
                    "at": {"S": "2026-11-21T10:00:00Z"},
                }},
            }},
        });
        let entry = entry(&record).unwrap().unwrap();
        assert_eq!(entry.detail_type, "Pin Change");
        let detail: Value = serde_json::from_str(&entry.detail).unwrap();
        assert_eq!(detail["actor"], json!({"type": "link", "approver": "lead"}));
        assert_eq!(detail["to"], "2");
    }

    #[test]
    fn outbox_publishes_only_audit_records() {
        let record = json!({"dynamodb": {"NewImage": {"pk": {"S": "APP#web"}, "record": {"M": {}}}}});
        assert!(matches!(entry(&record), Ok(None)));
        let record =
            json!({"dynamodb": {"NewImage": {"pk": {"S": "AUDIT#web#2026-11"}, "record": {"M": {}}}}});
        assert!(matches!(entry(&record), Err(OutboxError::Unreadable(_))));
    }
}
