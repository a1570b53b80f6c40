//! The error of a read, with the step that failed.

use std::fmt;

use stablepin_aws::ecs::EcsError;
use stablepin_aws::lambda::LambdaError;
use stablepin_aws::signed_json::SourceError;
use stablepin_rules::application::Source;

/// The step of the read that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStep {
    Clusters,
    Services,
    ServiceDeployments,
    ServiceRevisions,
    Tasks,
    Daemons,
    NewestTaskDefinitions,
    TaskDefinitions,
}

#[derive(Debug, thiserror::Error)]
pub enum InUseError {
    #[error("it is not known which images ECS uses: {step} could not be read")]
    Ecs {
        step: ReadStep,
        #[source]
        source: EcsError,
    },
    #[error("it is not known which images Lambda uses")]
    Lambda(#[source] LambdaError),
    #[error("it is not known which images {of} uses; whoever looks after them may write waive = [\"{of}\"]")]
    Source {
        of: Source,
        #[source]
        source: SourceError,
    },
    #[error(
        "{by} names {text:?}, and it is not known which image that is: name a revision there, or write \
         waive = [\"{of}\"] and look after it"
    )]
    Unknown { of: Source, by: String, text: String },
}

impl fmt::Display for ReadStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clusters => "its clusters",
            Self::Services => "its services",
            Self::ServiceDeployments => "the deployments of its services",
            Self::ServiceRevisions => "the revisions that its services may return to",
            Self::Tasks => "its tasks",
            Self::Daemons => "its daemons",
            Self::NewestTaskDefinitions => "the newest revisions of its task definitions",
            Self::TaskDefinitions => "the images of its task definitions",
        })
    }
}

impl InUseError {
    /// Returns whether a later read may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ecs { source, .. } => source.is_retryable(),
            Self::Lambda(source) => source.is_retryable(),
            Self::Source { source, .. } => source.is_retryable(),
            Self::Unknown { .. } => false,
        }
    }
}
