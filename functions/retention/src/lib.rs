//! Retention deletes or archives old images, every night and on request.
//!
//! Each queue message asks for the work of one run in one repository. A crash or a second delivery
//! at any point does no harm: a run saves its plan before it carries out the plan, and keeps an
//! image that has changed since the plan was saved.

mod apply;
mod document;
mod image_outcome;
pub mod in_use;
mod mail;
mod manifests;
mod message;
mod metrics;
mod missing;
mod read;
mod repository_work;
mod routes;
mod runs;
mod saved_plan;
mod trigger;
mod undo;
mod work;

use serde_json::{Value, json};
use stablepin_aws::call::CallError;
use stablepin_aws::dynamodb::{CommitError, Table, TableError};
use stablepin_aws::ecr::{Ecr, EcrError};
use stablepin_aws::ecs::Ecs;
use stablepin_aws::lambda::Lambda;
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_aws::session::{Service, Session};
use stablepin_aws::sns::Sns;
use stablepin_aws::sqs::Sqs;
use stablepin_reconciler::Deadline;
use stablepin_reconciler::start::{StartError, required};

pub use message::Message;
pub use trigger::{RetentionTrigger, UnreadableTrigger};

use in_use::{Sources, TaskDefinitions};

/// The clients of this Lambda function, and the settings of its stack.
#[derive(Debug, Clone)]
pub struct RetentionClients {
    pub table: Table,
    /// The [patient](Ecr::patient) client, for reads.
    pub ecr: Ecr,
    /// The [client without retries](Ecr::impatient), for deleting and archiving. Each call must
    /// immediately follow its check: a retry would rely on an outdated check.
    pub without_retries: Ecr,
    pub ecs: Ecs,
    pub lambda: Lambda,
    /// The clients of the AWS services that start tasks or jobs by name.
    pub sources: Sources,
    pub bucket: Bucket,
    pub sqs: Sqs,
    pub queue_url: String,
    pub sns: Sns,
    /// The topic for notifications. Notifications contain no secret.
    pub topic_arn: String,
    /// The 12 digits of the stack's account.
    pub account: String,
    /// The ARN of this Lambda function's role. ECR must not count this role's own reads of images
    /// as pulls.
    pub role_arn: String,
}

impl RetentionClients {
    /// Creates the clients from the variables that the template sets.
    pub async fn open() -> Result<Self, StartError> {
        let session = Session::from_env()?;
        let account = required("STABLEPIN_ACCOUNT")?;
        let clients = Self {
            table: Table::new(&session, required("STABLEPIN_TABLE")?),
            ecr: Ecr::patient(&session),
            without_retries: Ecr::impatient(&session),
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

/// The errors after which Lambda or the queue delivers the event again.
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
    #[error("the messages could not be sent")]
    Queue(#[source] CallError),
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
    /// Returns whether AWS refused the work. If so, a retry would fail, too.
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

/// Handles one event. `cache` survives from one event to the next.
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
            let how = work::handle_message(clients, cache, &message, deadline).await?;
            Ok(json!({ "application": message.application, "repository": message.repository, "how": how }))
        }
        RetentionTrigger::Request(request) => {
            let answer = routes::handle(clients, &request).await;
            Ok(serde_json::to_value(answer).unwrap_or_default())
        }
    }
}
