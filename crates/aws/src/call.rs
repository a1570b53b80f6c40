//! A call of an AWS service, as its error names it.

use crate::failed_call::FailedCall;

/// The operation of a call, and what the call is for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    operation: &'static str,
    /// The words after "could not", such as `describe the repository prod/web`.
    purpose: String,
}

/// A call without a usable result. Its text says what could not be done, and its source says why.
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

    /// Returns `None` for an error with one of these codes.
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

    /// Makes the error for an answer that came, and cannot be used whenever the call is made.
    pub(crate) fn unusable(&self, why: impl Into<String>) -> CallError {
        self.failed(FailedCall::unusable(why, false))
    }

    /// Makes the error for an answer in which `member` is missing or not valid.
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

    /// Whether the same call may succeed a little later. The failed call may have succeeded
    /// already, so a retry can send a message or an event twice.
    pub fn is_retryable(&self) -> bool {
        self.source.is_retryable()
    }

    /// Whether the service refuses the call, and will again.
    pub fn is_refusal(&self) -> bool {
        self.source.is_refusal()
    }
}
