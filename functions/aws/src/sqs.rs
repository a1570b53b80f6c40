//! Amazon SQS: work that is handed out, each piece to be taken once.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use crate::failed_call::FailedCall;
use crate::session::Session;

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const PER_SEND: usize = 10;
/// The longest that a message can be kept back, in seconds.
const LONGEST_DELAY: usize = 900;

/// Sends to queues.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum SqsError {
    #[error("could not send to {queue} (SendMessageBatch)")]
    Send {
        queue: String,
        #[source]
        source: FailedCall,
    },
    #[error("{queue} did not take {failed} of {of} messages: {reason}")]
    Entries { queue: String, failed: usize, of: usize, reason: String },
}

impl SqsError {
    /// Whether the same call may well succeed a little later. Messages that were taken are sent again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Send { source, .. } => source.is_retryable(),
            Self::Entries { .. } => true,
        }
    }
}

impl Sqs {
    pub fn new(session: &Session) -> Self {
        Self { client: session.sqs() }
    }

    /// Sends every message, spread evenly over `seconds` (900 at most): who takes them is not asked all at once.
    pub async fn send_spread(
        &self,
        queue_url: &str,
        messages: &[String],
        seconds: usize,
    ) -> Result<(), SqsError> {
        let over = seconds.min(LONGEST_DELAY);
        let queue = || queue_url.to_owned();
        for (batch, part) in messages.chunks(PER_SEND).enumerate() {
            let entry = |(place, message): (usize, &String)| {
                let delay = (batch * PER_SEND + place) * over / messages.len();
                SendMessageBatchRequestEntry::builder()
                    .id(place.to_string())
                    .message_body(message)
                    .delay_seconds(i32::try_from(delay).unwrap_or_default())
                    .build()
                    .expect("id and body are set")
            };
            let entries = part.iter().enumerate().map(entry).collect();
            let answer = self
                .client
                .send_message_batch()
                .queue_url(queue_url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| SqsError::Send { queue: queue(), source: FailedCall::new(error) })?;
            if let Some(first) = answer.failed().first() {
                return Err(SqsError::Entries {
                    queue: queue(),
                    failed: answer.failed().len(),
                    of: part.len(),
                    reason: first.message().unwrap_or_else(|| first.code()).to_owned(),
                });
            }
        }
        Ok(())
    }
}
