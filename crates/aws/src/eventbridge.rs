//! Amazon EventBridge: publishes Stablepin's events to the stack's bus.

#[cfg(feature = "retention")]
pub mod rules;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use crate::call::{Call, CallError};
use crate::failed_call::{FailedCall, is_retryable_code};
use crate::session::Session;

/// The most entries that one PutEvents call accepts.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
const PER_PUT: usize = 10;
/// The most bytes that the entries of one PutEvents call may have together.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
const BYTES_PER_PUT: usize = 256 * 1024;
/// The bytes that EventBridge counts for an entry's time.
const TIME_BYTES: usize = 14;

const SOURCE: &str = "stablepin";

/// A client that puts events on buses.
#[derive(Debug, Clone)]
pub struct EventBridge {
    client: Client,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's type, such as `Promotion State Change`.
    pub detail_type: String,
    /// The event's content as JSON.
    pub detail: String,
    pub time: Timestamp,
}

impl Entry {
    fn bytes(&self) -> usize {
        TIME_BYTES + SOURCE.len() + self.detail_type.len() + self.detail.len()
    }
}

impl EventBridge {
    pub fn new(session: &Session) -> Self {
        Self { client: session.eventbridge() }
    }

    /// Sends the entries to the bus in order, but EventBridge may deliver them in another order. A
    /// refused entry does not stop the entries after it. A retry sends accepted entries again, and
    /// receivers recognize a repeated event by its id.
    pub async fn put(&self, bus: &str, entries: &[Entry]) -> Result<(), CallError> {
        let (mut failed, mut is_retryable) = (Vec::new(), true);
        let mut from = 0;
        while from < entries.len() {
            let call = Call::new("PutEvents", format!("put the events from number {from} on to {bus}"));
            let batch = &entries[from..from + batch_length(&entries[from..])];
            let answer = self
                .client
                .put_events()
                .set_entries(Some(batch.iter().map(|entry| request(bus, entry)).collect()))
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            // The response lists its results in the order of the request's entries.
            let results = answer.entries();
            if results.len() != batch.len() {
                let (found, put) = (results.len(), batch.len());
                return Err(call.unusable(format!("the answer is about {found} events, not {put}")));
            }
            for (result, number) in results.iter().zip(from..).filter(|(one, _)| one.event_id().is_none()) {
                let code = result.error_code().unwrap_or("no code");
                let message = result.error_message().unwrap_or("no reason given");
                failed.push(format!("number {number}, {code}: {message}"));
                is_retryable &= is_retryable_code(code);
            }
            from += batch.len();
        }
        if failed.is_empty() {
            return Ok(());
        }
        let call =
            Call::new("PutEvents", format!("put {} of {} events on {bus}", failed.len(), entries.len()));
        Err(call.failed(FailedCall::unusable(failed.join("; "), is_retryable)))
    }
}

fn request(bus: &str, entry: &Entry) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(bus)
        .source(SOURCE)
        .detail_type(&entry.detail_type)
        .detail(&entry.detail)
        .time(DateTime::from_secs(entry.time.as_second()))
        .build()
}

/// Returns how many of these entries fit into one call, at least one. EventBridge itself refuses an
/// entry that is too large.
fn batch_length(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take(PER_PUT).take_while(|entry| {
        bytes += entry.bytes();
        bytes <= BYTES_PER_PUT
    });
    fit.count().max(1)
}
