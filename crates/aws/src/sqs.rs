//! Amazon SQS: sends work to queues.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;
use crate::session::Session;

/// The most messages that one call sends.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const PER_SEND: usize = 10;
/// The longest delay of a message, in seconds.
const LONGEST_DELAY: usize = 900;

/// A client that sends to queues.
#[derive(Debug, Clone)]
pub struct Sqs {
    client: Client,
}

impl Sqs {
    pub fn new(session: &Session) -> Self {
        Self { client: session.sqs() }
    }

    /// Sends one message with a delay in seconds (900 at most).
    pub async fn send_later(&self, queue_url: &str, message: &str, seconds: i32) -> Result<(), CallError> {
        self.send(queue_url, &[(message, seconds)]).await
    }

    /// Sends all messages with delays spread evenly over `seconds` (900 at most), so that the
    /// receiver does not get all messages at once.
    pub async fn send_spread(
        &self,
        queue_url: &str,
        messages: &[String],
        seconds: usize,
    ) -> Result<(), CallError> {
        let over = seconds.min(LONGEST_DELAY);
        for (batch, part) in messages.chunks(PER_SEND).enumerate() {
            let delay = |place: usize| (batch * PER_SEND + place) * over / messages.len();
            let part: Vec<(&str, i32)> = part
                .iter()
                .enumerate()
                .map(|(place, message)| (message.as_str(), i32::try_from(delay(place)).unwrap_or_default()))
                .collect();
            self.send(queue_url, &part).await?;
        }
        Ok(())
    }

    /// Sends up to [`PER_SEND`] messages, each with its delay in seconds. A retry also sends the
    /// accepted messages again.
    async fn send(&self, queue_url: &str, messages: &[(&str, i32)]) -> Result<(), CallError> {
        let call = Call::new("SendMessageBatch", format!("send to {queue_url}"));
        let entry = |(place, (message, delay)): (usize, &(&str, i32))| {
            SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(*message)
                .delay_seconds(*delay)
                .build()
                .expect("id and body are set")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let answer = self
            .client
            .send_message_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        if let Some(first) = answer.failed().first() {
            let (failed, of) = (answer.failed().len(), messages.len());
            let reason = first.message().unwrap_or_else(|| first.code());
            let why = format!("it did not take {failed} of {of} messages: {reason}");
            return Err(call.failed(FailedCall::unusable(why, true)));
        }
        Ok(())
    }
}
