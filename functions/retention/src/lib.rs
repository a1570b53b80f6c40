//! Old images: what of each repository may go, and that it goes. Every night, and when somebody asks for it.
//!
//! One repository of one run is one piece of work, from a queue. What it does may be cut off anywhere, and done twice:
//! a plan is kept before it is carried out, and what is not as the plan saw it stays.

mod apply;
pub mod in_use;
mod manifests;
mod message;
mod metrics;
mod read;
mod routes;
mod runs;
mod trigger;
mod undo;
mod work;

use serde_json::{Value, json};
use stablepin_aws::dynamodb::{CommitError, Table, TableError};
use stablepin_aws::ecr::{Ecr, EcrError};
use stablepin_aws::ecs::Ecs;
use stablepin_aws::lambda::Lambda;
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_aws::session::{Service, Session};
use stablepin_aws::sns::Sns;
use stablepin_aws::sqs::{Sqs, SqsError};
use stablepin_reconciler::Deadline;
use stablepin_reconciler::start::{StartError, required};

pub use message::Message;
pub use trigger::{RetentionTrigger, UnreadableTrigger};

use in_use::{Sources, TaskDefinitions};

/// Everything that this function may do, and with what.
#[derive(Debug, Clone)]
pub struct RetentionClients {
    pub table: Table,
    /// The [patient](Ecr::patient) one, to read.
    pub ecr: Ecr,
    /// The [one](Ecr::impatient) that deletes and archives: right after a look, or not.
    pub once: Ecr,
    pub ecs: Ecs,
    pub lambda: Lambda,
    /// What starts tasks and jobs by a name.
    pub sources: Sources,
    pub bucket: Bucket,
    pub sqs: Sqs,
    pub queue_url: String,
    pub sns: Sns,
    /// Everybody on it may know.
    pub topic_arn: String,
    /// The 12 digits of the stack's account.
    pub account: String,
    /// This function's role: what it reads is no use of an image.
    pub role_arn: String,
}

impl RetentionClients {
    /// From the variables that the template sets.
    pub async fn open() -> Result<Self, StartError> {
        let session = Session::from_env()?;
        let account = required("STABLEPIN_ACCOUNT")?;
        let clients = Self {
            table: Table::new(&session, required("STABLEPIN_TABLE")?),
            ecr: Ecr::patient(&session),
            once: Ecr::impatient(&session),
            ecs: Ecs::new(&session),
            lambda: Lambda::new(&session),
            sources: Sources::new(&session, account.clone()),
            bucket: Bucket::new(&session, required("STABLEPIN_BUCKET")?),
            sqs: Sqs::new(&session),
            queue_url: required("STABLEPIN_RETENTION_QUEUE")?,
            sns: Sns::new(&session),
            topic_arn: required("STABLEPIN_NOTIFICATIONS_TOPIC")?,
            account,
            role_arn: required("STABLEPIN_ROLE_ARN")?,
        };
        session.warm(&[Service::DynamoDb]).await;
        Ok(clients)
    }
}

/// Lambda or the queue tries again for these.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    #[error("the table could not be read or written")]
    Table(#[from] TableError),
    #[error("the run could not be written")]
    Run(#[from] CommitError),
    #[error("the registry could not be changed")]
    Ecr(#[from] EcrError),
    #[error("the bucket could not be read or written")]
    Bucket(#[from] S3Error),
    #[error("the work could not be handed out")]
    Queue(#[from] SqsError),
    #[error("the document {key} in the bucket is not the one that was kept there")]
    Changed { key: String },
    #[error("the document {key} in the bucket is not readable")]
    Document {
        key: String,
        #[source]
        source: serde_json::Error,
    },
}

impl RetentionError {
    /// What was asked for was not done, and will not be done when it is asked for again.
    fn is_a_refusal(&self) -> bool {
        match self {
            Self::Ecr(error) => !error.is_retryable(),
            Self::Bucket(error) => !error.is_retryable(),
            Self::Table(_) | Self::Run(_) | Self::Queue(_) | Self::Changed { .. } | Self::Document { .. } => {
                false
            }
        }
    }
}

/// One event. `cache` is what is kept from one to the next.
pub async fn handle(
    clients: &RetentionClients,
    cache: &mut TaskDefinitions,
    trigger: RetentionTrigger,
    deadline: Deadline,
) -> Result<Value, RetentionError> {
    match trigger {
        RetentionTrigger::Night(night) => {
            let begun = runs::nightly(clients, night).await?;
            Ok(json!({ "runs": begun }))
        }
        RetentionTrigger::Work(message) => {
            let how = work::one(clients, cache, &message, deadline).await?;
            Ok(json!({ "application": message.application, "repository": message.repository, "how": how }))
        }
        RetentionTrigger::Request(request) => {
            let answer = routes::handle(clients, &request).await;
            Ok(serde_json::to_value(answer).unwrap_or_default())
        }
    }
}
