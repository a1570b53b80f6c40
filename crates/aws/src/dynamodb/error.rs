//! Failed reads and writes of the table.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("DynamoDB did not answer {operation}: {message}")]
    Call { operation: &'static str, message: String, retryable: bool },
    #[error("the item {key} in the table is not readable")]
    Unreadable { key: String, source: serde_dynamo::Error },
    #[error("the item {key} in the table is not readable: {reason}")]
    Malformed { key: String, reason: String },
}

impl TableError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call { retryable, .. } => *retryable,
            Self::Unreadable { .. } | Self::Malformed { .. } => false,
        }
    }

    pub(super) fn call<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        move |error| {
            let denied = matches!(
                error.code(),
                Some("AccessDeniedException" | "ValidationException" | "ResourceNotFoundException")
            );
            let message = DisplayErrorContext(&error).to_string();
            Self::Call { operation, message, retryable: !denied }
        }
    }
}
