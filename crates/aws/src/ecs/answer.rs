//! Members of answers, converted.

use aws_sdk_ecs::types::Failure;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use super::error::EcsError;

/// Fails if a failure has another reason than `MISSING`.
pub(super) fn others_than_missing(operation: &'static str, failures: &[Failure]) -> Result<(), EcsError> {
    match failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(failure) => Err(EcsError::LeftOut {
            operation,
            what: failure.arn().unwrap_or("something").to_owned(),
            reason: match (failure.reason(), failure.detail()) {
                (Some(reason), Some(detail)) => format!("{reason}, {detail}"),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (None, None) => "no reason given".to_owned(),
            },
        }),
    }
}

pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

/// Returns the text unless it is empty.
pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Converts a port. 0 means that the port is chosen when a task starts, and gives `None`.
pub(super) fn port(number: Option<i32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
