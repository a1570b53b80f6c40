//! The queue message for one unit of work.

use serde::{Deserialize, Serialize};
use stablepin_retention_rules::run::{Run, RunId};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

use crate::{RetentionClients, RetentionError};

/// The unit of work: one run in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub application: ApplicationName,
    pub run: RunId,
    pub repository: RepositoryName,
    /// The number of times that the work has failed so far.
    #[serde(default)]
    pub failures: u8,
}

impl Message {
    fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Sends the message with this delay in seconds, so that a later invocation does the work.
    pub(crate) async fn later(&self, clients: &RetentionClients, seconds: i32) -> Result<(), RetentionError> {
        let sent = clients.sqs.send_later(&clients.queue_url, &self.text(), seconds).await;
        sent.map_err(RetentionError::Queue)
    }
}

/// Sends one message for each repository of the run, delayed by this number of seconds.
pub(crate) async fn hand_out(
    clients: &RetentionClients,
    run: &Run,
    seconds: usize,
) -> Result<(), RetentionError> {
    for repository in run.repositories.keys() {
        let message = Message {
            application: run.application.clone(),
            run: run.id,
            repository: repository.clone(),
            failures: 0,
        };
        message.later(clients, i32::try_from(seconds).unwrap_or_default()).await?;
    }
    Ok(())
}
