//! Amazon ECS: services, their deployments and tasks, and task definitions.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Failure;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use crate::failed_call::FailedCall;
use crate::session::Session;

mod in_use;
mod service;
mod service_deployment;
mod task;
mod task_definition;

pub use in_use::{
    DaemonInUse, NamedImage, PER_DESCRIBE_REVISIONS, PER_DESCRIBE_SERVICES, PER_DESCRIBE_TASKS,
    RevisionInUse, ServiceInUse, TaskInUse, Wanted,
};
pub use service::{
    CircuitBreaker, Controller, Deployment, DeploymentStatus, Registration, RolloutState, ServiceState,
    Services, Started,
};
pub use service_deployment::{
    BreakerCount, ListedServiceDeployment, Pause, RevisionImage, Rollback, ServiceDeployment,
    ServiceDeploymentStatus, ServiceRevision,
};
pub use task::{Binding, Container, Health, Task};
pub use task_definition::RawTaskDefinition;

/// A client of ECS in the session's account and region.
#[derive(Debug, Clone)]
pub struct Ecs {
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    #[error("could not describe the services of cluster {cluster} (DescribeServices)")]
    DescribeServices {
        cluster: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not list the tasks of {cluster}/{service} (ListTasks)")]
    ListTasks {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not describe the tasks of {cluster}/{service} (DescribeTasks)")]
    DescribeTasks {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("ECS left {what} out of its answer to {operation}: {reason}")]
    LeftOut { operation: &'static str, what: String, reason: String },
    #[error("could not describe the task definition {task_definition} (DescribeTaskDefinition)")]
    DescribeTaskDefinition {
        task_definition: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not register a revision of the task definition {family} (RegisterTaskDefinition)")]
    RegisterTaskDefinition {
        family: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not update {cluster}/{service} to {task_definition} (UpdateService)")]
    UpdateService {
        cluster: String,
        service: String,
        task_definition: String,
        /// Whether ECS may have carried out an attempt whose answer is unknown.
        in_doubt: bool,
        #[source]
        source: FailedCall,
    },
    #[error("there is no active service {cluster}/{service} to update")]
    ServiceNotActive {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not describe the service deployment {arn} (DescribeServiceDeployments)")]
    DescribeServiceDeployments {
        arn: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not list the service deployments of {cluster}/{service} (ListServiceDeployments)")]
    ListServiceDeployments {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not describe the service revision {arn} (DescribeServiceRevisions)")]
    DescribeServiceRevisions {
        arn: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not read {what} ({operation})")]
    Read {
        operation: &'static str,
        what: String,
        #[source]
        source: FailedCall,
    },
    #[error("the list of {what} does not end ({operation})")]
    Endless { operation: &'static str, what: String },
    #[error("ECS's answer to {operation} about {what} has no valid {member}")]
    Answer { operation: &'static str, what: String, member: &'static str },
    #[error("ECS's answer to DescribeTaskDefinition about {task_definition} is not valid")]
    Json {
        task_definition: String,
        #[source]
        source: serde_json::Error,
    },
}

impl EcsError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DescribeServices { source, .. }
            | Self::ListTasks { source, .. }
            | Self::DescribeTasks { source, .. }
            | Self::DescribeTaskDefinition { source, .. }
            | Self::RegisterTaskDefinition { source, .. }
            | Self::UpdateService { source, .. }
            | Self::DescribeServiceDeployments { source, .. }
            | Self::ListServiceDeployments { source, .. }
            | Self::Read { source, .. }
            | Self::DescribeServiceRevisions { source, .. } => source.is_retryable(),
            Self::LeftOut { .. }
            | Self::Endless { .. }
            | Self::ServiceNotActive { .. }
            | Self::Answer { .. }
            | Self::Json { .. } => false,
        }
    }
}

impl EcsError {
    /// Returns the failed call if ECS refused it and will refuse it again.
    pub fn refusal(&self) -> Option<&FailedCall> {
        match self {
            Self::UpdateService { in_doubt: true, .. } => None,
            Self::DescribeServices { source, .. }
            | Self::ListTasks { source, .. }
            | Self::DescribeTasks { source, .. }
            | Self::DescribeTaskDefinition { source, .. }
            | Self::RegisterTaskDefinition { source, .. }
            | Self::UpdateService { source, .. }
            | Self::ServiceNotActive { source, .. } => Some(source).filter(|source| source.is_refusal()),
            _ => None,
        }
    }

    /// Whether the failed call may have changed a service.
    pub fn may_have_moved(&self) -> bool {
        matches!(
            self,
            Self::UpdateService { in_doubt: true, .. } | Self::Answer { operation: "UpdateService", .. }
        )
    }
}

impl Ecs {
    pub fn new(session: &Session) -> Self {
        Self { client: session.ecs() }
    }

    /// Creates a client that slows down when ECS throttles it, for the many reads of a whole
    /// account.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
    pub fn patient(session: &Session) -> Self {
        Self { client: session.patient_ecs() }
    }
}

/// Fails if a failure has another reason than `MISSING`.
fn others_than_missing(operation: &'static str, failures: &[Failure]) -> Result<(), EcsError> {
    match failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(failure) => Err(EcsError::LeftOut {
            operation,
            what: failure.arn().unwrap_or("something").to_owned(),
            reason: match (failure.reason(), failure.detail()) {
                (Some(reason), Some(detail)) => format!("{reason}, {detail}"),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (None, None) => "no reason given".to_owned(),
            },
        }),
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

/// Returns the text unless it is empty.
fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Converts a port. 0 means that the port is chosen when a task starts, and gives `None`.
fn port(number: Option<i32>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
