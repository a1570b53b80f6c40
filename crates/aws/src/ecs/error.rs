//! Failed calls of ECS.

use crate::failed_call::FailedCall;

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
