//! One piece of work, as it waits in the queue.

use serde::{Deserialize, Serialize};
use stablepin_aws::sqs::SqsError;
use stablepin_core::image::RepositoryName;
use stablepin_core::name::ApplicationName;
use stablepin_core::retention::run::{Run, RunId};

use crate::Doors;

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
    pub(crate) async fn later(&self, doors: &Doors, seconds: i32) -> Result<(), SqsError> {
        doors.sqs.send_later(&doors.queue_url, &self.text(), seconds).await
    }
}

/// One message for each of a run's repositories, spread over so many seconds.
pub(crate) async fn hand_out(doors: &Doors, runs: &[Run], seconds: usize) -> Result<(), SqsError> {
    let messages: Vec<String> = runs
        .iter()
        .flat_map(|run| {
            run.repositories.keys().map(|repository| Message {
                application: run.application.clone(),
                run: run.id,
                repository: repository.clone(),
                failures: 0,
            })
        })
        .map(|message| message.text())
        .collect();
    doors.sqs.send_spread(&doors.queue_url, &messages, seconds).await
}
