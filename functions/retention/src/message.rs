//! One piece of work, as it waits in the queue.

use serde::{Deserialize, Serialize};
use stablepin_aws::sqs::SqsError;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::retention::run::{Run, RunId};

use crate::RetentionClients;

/// What one run does in one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub application: ApplicationName,
    pub run: RunId,
    pub repository: RepositoryName,
    /// How often it has failed so far.
    #[serde(default)]
    pub failures: u8,
}

impl Message {
    fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The rest of it is another invocation's, some seconds later.
    pub(crate) async fn later(&self, clients: &RetentionClients, seconds: i32) -> Result<(), SqsError> {
        clients.sqs.send_later(&clients.queue_url, &self.text(), seconds).await
    }
}

/// One message for each of a run's repositories, kept back for so many seconds.
pub(crate) async fn hand_out(clients: &RetentionClients, run: &Run, seconds: usize) -> Result<(), SqsError> {
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
