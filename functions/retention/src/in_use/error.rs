//! The error of reading the images that the account uses.

use stablepin_aws::call::CallError;
use stablepin_rules::application::Source;

#[derive(Debug, thiserror::Error)]
pub enum InUseError {
    #[error("it is not known which images ECS uses")]
    Ecs(#[source] CallError),
    #[error("it is not known which images ECS uses: it lists {0} but does not describe it")]
    Undescribed(String),
    #[error("it is not known which images Lambda uses")]
    Lambda(#[source] CallError),
    #[error("it is not known which images {of} uses; if you protect them yourself, write waive = [\"{of}\"]")]
    Source {
        of: Source,
        #[source]
        source: CallError,
    },
    #[error(
        "{by} names {text:?}, and it is not known which image that is: name a revision there, or write \
         waive = [\"{of}\"] and protect it yourself"
    )]
    Unknown { of: Source, by: String, text: String },
}

impl InUseError {
    /// Returns whether a later read may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Ecs(failed) | Self::Lambda(failed) | Self::Source { source: failed, .. } => {
                failed.is_retryable()
            }
            Self::Undescribed(_) | Self::Unknown { .. } => false,
        }
    }
}
