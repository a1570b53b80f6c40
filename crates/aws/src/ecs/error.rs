//! Failed calls of ECS.

use crate::call::CallError;
use crate::failed_call::FailedCall;

/// A failed call about a service.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// A read of service deployments or revisions. Its refusal is not the service's, which may have
    /// been updated before.
    #[error(transparent)]
    ServiceDeployment(CallError),
    /// An update that ECS may have carried out, because the answer to an attempt is unknown.
    #[error(transparent)]
    InDoubt(CallError),
}

impl EcsError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(failed) | Self::ServiceDeployment(failed) | Self::InDoubt(failed) => {
                failed.is_retryable()
            }
        }
    }

    /// Returns why ECS refused the call, if it will refuse it again.
    pub fn refusal(&self) -> Option<&FailedCall> {
        match self {
            Self::Call(failed) => Some(failed.reason()).filter(|reason| reason.is_refusal()),
            Self::ServiceDeployment(_) | Self::InDoubt(_) => None,
        }
    }

    /// Whether the failed call may have changed a service.
    pub fn may_have_moved(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }
}
