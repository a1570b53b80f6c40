//! Describes calls to AWS services for the texts of errors.

use crate::failed_call::FailedCall;

/// The operation and the purpose of a call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    operation: &'static str,
    /// The purpose in words that can follow "could not", such as `describe the repository
    /// prod/web`.
    purpose: String,
}

/// The error of a failed call. Its text names the call's purpose, and its source is the cause.
#[derive(Debug, thiserror::Error)]
#[error("could not {} ({})", call.purpose, call.operation)]
pub struct CallError {
    call: Call,
    source: FailedCall,
}

impl Call {
    pub(crate) fn new(operation: &'static str, purpose: impl Into<String>) -> Self {
        Self { operation, purpose: purpose.into() }
    }

    pub(crate) fn failed(&self, source: impl Into<FailedCall>) -> CallError {
        CallError { call: self.clone(), source: source.into() }
    }

    /// Returns `None` if the call failed with one of these error codes.
    pub(crate) fn none_if<T>(
        &self,
        codes: &[&str],
        answer: Result<T, impl Into<FailedCall>>,
    ) -> Result<Option<T>, CallError> {
        match answer.map_err(|error| self.failed(error)) {
            Err(failed) if failed.code().is_some_and(|code| codes.contains(&code)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Creates the error for a response that the client cannot use. The error is not retryable,
    /// because a retry would get the same response.
    pub(crate) fn unusable(&self, why: impl Into<String>) -> CallError {
        self.failed(FailedCall::unusable(why, false))
    }

    /// Creates the error for a response in which the field `member` is missing or not valid.
    pub(crate) fn lacks(&self, member: &str) -> CallError {
        self.unusable(format!("the answer has no valid {member}"))
    }
}

impl CallError {
    pub(crate) fn reason(&self) -> &FailedCall {
        &self.source
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.call.operation
    }

    /// AWS's error code, such as `AccessDeniedException`.
    pub(crate) fn code(&self) -> Option<&str> {
        self.source.code()
    }

    /// Returns true if a retry of the call may succeed. The service may have carried out the failed
    /// call, so a retry can send a message or an event twice.
    pub fn is_retryable(&self) -> bool {
        self.source.is_retryable()
    }

    /// Returns true if the service refused the call and will refuse a retry too.
    pub fn is_refusal(&self) -> bool {
        self.source.is_refusal()
    }
}
