//! Amazon EventBridge: publishes Stablepin's events to the stack's bus.

#[cfg(feature = "retention")]
pub mod rules;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use crate::failed_call::{FailedCall, is_retryable_code};
use crate::session::Session;

/// How many entries one PutEvents call takes, and how many bytes they may have together.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
const PER_PUT: usize = 10;
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

/// An entry that the bus did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEntry {
    /// The entry's place in the given list, from 0.
    pub index: usize,
    pub code: String,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum EventBridgeError {
    /// A call failed. Entries before `from` were put, except those in `failed`.
    #[error("could not put the events from number {from} on to {bus} (PutEvents)")]
    PutEvents {
        bus: String,
        from: usize,
        failed: Vec<FailedEntry>,
        #[source]
        source: FailedCall,
    },
    /// The bus rejected these entries and accepted all others.
    #[error("{bus} did not take {} of {of} events: {}", failed.len(), list(failed))]
    Entries { bus: String, of: usize, failed: Vec<FailedEntry> },
    #[error("EventBridge's answer to PutEvents is about {found} events, not {put}")]
    Answer { put: usize, found: usize },
}

fn list(failed: &[FailedEntry]) -> String {
    let each =
        failed.iter().map(|entry| format!("number {}, {}: {}", entry.index, entry.code, entry.message));
    each.collect::<Vec<_>>().join("; ")
}

impl EventBridgeError {
    /// Whether the same call may succeed a little later. A retry also puts accepted events again;
    /// receivers recognize them by their id.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PutEvents { source, .. } => source.is_retryable(),
            Self::Entries { failed, .. } => failed.iter().all(|entry| is_retryable_code(&entry.code)),
            Self::Answer { .. } => false,
        }
    }
}

impl EventBridge {
    pub fn new(session: &Session) -> Self {
        Self { client: session.eventbridge() }
    }

    /// Puts the entries on the bus in their order, as far as EventBridge keeps an order. A refused
    /// entry does not stop the entries after it.
    pub async fn put(&self, bus: &str, entries: &[Entry]) -> Result<(), EventBridgeError> {
        let mut failed = Vec::new();
        let mut from = 0;
        while from < entries.len() {
            let batch = &entries[from..from + batch_length(&entries[from..])];
            let answer = self
                .client
                .put_events()
                .set_entries(Some(batch.iter().map(|entry| request(bus, entry)).collect()))
                .send()
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let source = FailedCall::new(error);
                    return Err(EventBridgeError::PutEvents { bus: bus.to_owned(), from, failed, source });
                }
            };
            // The answer's entries are in the same order as the request's.
            let results = answer.entries();
            if results.len() != batch.len() {
                return Err(EventBridgeError::Answer { put: batch.len(), found: results.len() });
            }
            failed.extend(results.iter().zip(from..).filter(|(result, _)| result.event_id().is_none()).map(
                |(result, index)| FailedEntry {
                    index,
                    code: result.error_code().unwrap_or("no code").to_owned(),
                    message: result.error_message().unwrap_or("no reason given").to_owned(),
                },
            ));
            from += batch.len();
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(EventBridgeError::Entries { bus: bus.to_owned(), of: entries.len(), failed })
        }
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

/// Returns how many of these entries fit into one call. It is at least one: EventBridge itself
/// refuses an entry that is too large.
fn batch_length(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take(PER_PUT).take_while(|entry| {
        bytes += entry.bytes();
        bytes <= BYTES_PER_PUT
    });
    fit.count().max(1)
}
