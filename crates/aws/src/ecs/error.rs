//! The errors of failed calls to ECS.

use crate::call::CallError;
use crate::failed_call::FailedCall;

/// The error of a failed call to ECS.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// A failed read of service deployments or revisions. ECS may have updated the service before
    /// this read, so a refused read does not mean a refused update.
    #[error(transparent)]
    ServiceDeployment(CallError),
    /// A failed update that ECS may have carried out, because the result of one of its attempts is
    /// unknown.
    #[error(transparent)]
    InDoubt(CallError),
}

impl EcsError {
    /// Returns true if a retry of the call may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(failed) | Self::ServiceDeployment(failed) | Self::InDoubt(failed) => {
                failed.is_retryable()
            }
        }
    }

    /// Returns the reason of ECS's refusal, if ECS will refuse a retry too.
    pub fn refusal(&self) -> Option<&FailedCall> {
        match self {
            Self::Call(failed) => Some(failed.reason()).filter(|reason| reason.is_refusal()),
            Self::ServiceDeployment(_) | Self::InDoubt(_) => None,
        }
    }

    /// Returns true if the failed call may have changed a service.
    pub fn may_have_moved(&self) -> bool {
        matches!(self, Self::InDoubt(_))
    }
}
