//! The events that start the promoter.

use jiff::Timestamp;
use serde_json::Value;
use stablepin_aws::dynamodb::{Key, OperationKey};
use stablepin_reconciler::StackLocation;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;

/// An event that starts the promoter.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// The event that the schedule sends every minute.
    Tick,
    /// The event that the schedule sends every hour. The promoter sweeps every application.
    Hour,
    /// An application's file has changed. With the new file, an open promotion may have enough
    /// approvals, or may need new approval requests.
    Configured { application: ApplicationName },
    /// The scheduled event to check who is subscribed to secret links.
    Subscribers,
    /// A queue message to sweep this application. The template sets a batch size of 1.
    Sweep(ApplicationName),
    /// A promotion or a rollback has changed its state, for example after an approval.
    Operation(Key),
    /// A message of a tick about a promotion whose image must be copied. A copy takes longer than a
    /// tick may take.
    Copy(Key),
    /// A pipeline named an image that no event announced.
    ImageNamed { application: ApplicationName, digest: ImageDigest, at: Timestamp },
    /// An environment has a new pin.
    Pinned { application: ApplicationName, environment: EnvironmentName },
    /// A promotion or a rollback has ended. The promoter sends the operation's notices and checks
    /// for deployments by other callers. Both tasks had to wait for the end.
    Ended(Key),
    /// A deployment event of ECS.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>
    Deployment { service_arn: String },
    /// New items from the table's stream.
    Audit(Vec<Value>),
}

/// The final states of an operation that changes services.
const ENDS: [&str; 4] = ["Completed", "Incomplete", "Failed", "RolledBack"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event that the promoter does not know: {0}. The template sends only events that it knows")]
pub struct Unreadable(String);

/// Returns whether an event from an event bus comes from another account or region. Events of the
/// schedule, the queue and the stream name no account and no region, so these events are never
/// foreign.
pub fn is_foreign(event: &Value, location: &StackLocation) -> bool {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let of_a_bus = event.get("Records").is_none() && text("source") != Some("stablepin.schedule");
    of_a_bus && !location.sent(text("account"), text("region"))
}

impl Trigger {
    pub fn read(event: Value) -> Result<Self, Unreadable> {
        if let Some(records) = event.get("Records").and_then(Value::as_array) {
            let of_queue =
                |record: &&Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
            return match records.iter().find(of_queue) {
                Some(message) => queued(message),
                None => Ok(Self::Audit(records.clone())),
            };
        }
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let unreadable = || Unreadable(format!("{} from {}", text("/detail-type"), text("/source")));
        match text("/detail-type") {
            "Tick" => Ok(Self::Tick),
            "Sweep" => Ok(Self::Hour),
            "Subscribers" => Ok(Self::Subscribers),
            "ECS Deployment State Change" => {
                let service_arn = text("/resources/0").to_owned();
                if service_arn.is_empty() { Err(unreadable()) } else { Ok(Self::Deployment { service_arn }) }
            }
            "Image Named" => {
                let application =
                    ApplicationName::parse(text("/detail/application")).map_err(|_| unreadable())?;
                let at = text("/detail/at").parse().map_err(|_| unreadable())?;
                let digest = ImageDigest::parse(text("/detail/digest")).map_err(|_| unreadable())?;
                Ok(Self::ImageNamed { application, digest, at })
            }
            "Configuration Change" => ApplicationName::parse(text("/detail/application"))
                .map(|application| Self::Configured { application })
                .map_err(|_| unreadable()),
            kind @ ("Promotion State Change" | "Rollback State Change" | "Pin Change") => {
                let application =
                    ApplicationName::parse(text("/detail/application")).map_err(|_| unreadable())?;
                let environment =
                    EnvironmentName::parse(text("/detail/environment")).map_err(|_| unreadable())?;
                if kind == "Pin Change" {
                    return Ok(Self::Pinned { application, environment });
                }
                let id = OperationId::parse(text("/detail/id")).ok_or_else(unreadable)?;
                let operation = match kind {
                    "Promotion State Change" => OperationKey::Promotion(id),
                    _ => OperationKey::Rollback(id),
                };
                let key = Key { application, environment, operation };
                let has_ended = ENDS.contains(&text("/detail/to"));
                Ok(if has_ended { Self::Ended(key) } else { Self::Operation(key) })
            }
            _ => Err(unreadable()),
        }
    }
}

/// Reads a message of the promoter's queue.
fn queued(message: &Value) -> Result<Trigger, Unreadable> {
    let body = message.get("body").and_then(Value::as_str).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let sweep = || Some(Trigger::Sweep(ApplicationName::parse(text("/sweep")).ok()?));
    let copy = || {
        Some(Trigger::Copy(Key {
            application: ApplicationName::parse(text("/copy/application")).ok()?,
            environment: EnvironmentName::parse(text("/copy/environment")).ok()?,
            operation: OperationKey::Promotion(OperationId::parse(text("/copy/id"))?),
        }))
    };
    sweep().or_else(copy).ok_or_else(|| Unreadable("a message of the promoter's queue".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn promoter_reads_tick_deployment_and_rollback_events() {
        assert_eq!(
            Trigger::read(json!({"source": "stablepin.schedule", "detail-type": "Tick", "detail": {}})),
            Ok(Trigger::Tick)
        );
        let arn = "arn:aws:ecs:eu-west-1:111122223333:service/prod/web";
        let event = json!({"detail-type": "ECS Deployment State Change", "resources": [arn], "detail": {}});
        assert_eq!(Trigger::read(event), Ok(Trigger::Deployment { service_arn: arn.to_owned() }));
        let detail = json!({"application": "web", "environment": "production", "id": "019b0000-0000-7000-8000-000000000000"});
        let event = json!({"detail-type": "Rollback State Change", "detail": detail});
        assert!(matches!(
            Trigger::read(event),
            Ok(Trigger::Operation(Key { operation: OperationKey::Rollback(_), .. }))
        ));
    }

    #[test]
    fn event_about_a_final_state_becomes_an_ended_trigger() {
        let event = |kind: &str, to: &str| {
            let id = "019b0000-0000-7000-8000-000000000000";
            let detail = json!({"application": "web", "environment": "production", "id": id, "to": to});
            Trigger::read(json!({"detail-type": kind, "detail": detail})).unwrap()
        };
        for kind in ["Promotion State Change", "Rollback State Change"] {
            for to in ENDS {
                let Trigger::Ended(key) = event(kind, to) else { panic!("{kind}: {to}") };
                let is_rollback = matches!(key.operation, OperationKey::Rollback(_));
                assert_eq!(is_rollback, kind == "Rollback State Change");
            }
            for to in ["Approved", "InProgress", "Requested"] {
                assert!(matches!(event(kind, to), Trigger::Operation(_)), "{kind}: {to}");
            }
        }
        assert!(matches!(event("Pin Change", "2"), Trigger::Pinned { .. }));
    }

    #[test]
    fn promoter_reads_hourly_events_and_sweep_messages() {
        let hour = json!({"source": "stablepin.schedule", "detail-type": "Sweep", "detail": {}});
        assert_eq!(Trigger::read(hour), Ok(Trigger::Hour));
        let other = json!({"source": "stablepin.schedule", "detail-type": "Subscribers", "detail": {}});
        assert_eq!(Trigger::read(other), Ok(Trigger::Subscribers));
        let message = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        let web = ApplicationName::parse("web").unwrap();
        assert_eq!(Trigger::read(message(r#"{"sweep": "web"}"#)), Ok(Trigger::Sweep(web)));
        for broken in ["", "{}", r#"{"sweep": 1}"#, r#"{"sweep": "../x"}"#] {
            assert!(Trigger::read(message(broken)).is_err(), "{broken}");
        }
    }

    #[test]
    fn promoter_detects_events_of_other_accounts_and_regions() {
        let location = StackLocation { account: "111122223333".to_owned(), region: "eu-west-1".to_owned() };
        for kind in ["ECS Deployment State Change", "Pin Change", "Rollback State Change"] {
            let event = |account: &str, region: &str| json!({ "source": "aws.ecs", "detail-type": kind, "account": account, "region": region });
            assert!(!is_foreign(&event("111122223333", "eu-west-1"), &location), "{kind}");
            assert!(is_foreign(&event("444455556666", "eu-west-1"), &location), "{kind}");
            assert!(is_foreign(&event("111122223333", "cn-north-1"), &location), "{kind}");
            assert!(is_foreign(&json!({ "source": "aws.ecs", "detail-type": kind }), &location), "{kind}");
        }
        for event in [
            json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} }),
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{}" }] }),
            json!({ "Records": [{ "eventSource": "aws:dynamodb" }] }),
        ] {
            assert!(!is_foreign(&event, &location), "{event}");
        }
    }

    #[test]
    fn promoter_error_names_the_unknown_event() {
        let error = Trigger::read(json!({"source": "aws.ecr", "detail-type": "ECR Image Scan"})).unwrap_err();
        assert!(error.to_string().contains("ECR Image Scan from aws.ecr"), "{error}");
    }
}
