//! Converts fields of ECS's responses.

use aws_sdk_ecs::types::Failure;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use crate::call::{Call, CallError};

/// Fails if ECS reports a failure with another reason than `MISSING`.
pub(super) fn others_than_missing(call: &Call, failures: &[Failure]) -> Result<(), CallError> {
    match failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(failure) => Err(left_out(call, failure)),
    }
}

/// Creates the error for an item that ECS reports as a failure.
pub(super) fn left_out(call: &Call, failure: &Failure) -> CallError {
    let reason = match (failure.reason(), failure.detail()) {
        (Some(reason), Some(detail)) => format!("{reason}, {detail}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "no reason given".to_owned(),
    };
    call.unusable(format!("ECS left {} out of its answer: {reason}", failure.arn().unwrap_or("something")))
}

/// Creates the error for a requested item that the response does not mention.
pub(super) fn unmentioned(call: &Call, what: &str) -> CallError {
    call.unusable(format!("ECS left {what} out of its answer: it is neither found nor missing"))
}

pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

/// Returns the text unless it is empty.
pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Converts a port. Returns `None` for 0, which means that the port gets its number when a task
/// starts.
pub(super) fn port(number: Option<i32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
