//! The error of a failed read or write of the table.

use crate::call::CallError;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the item {key} in the table is not readable: {reason}")]
    Unreadable { key: String, reason: String },
}

impl TableError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(failed) => failed.is_retryable(),
            Self::Unreadable { .. } => false,
        }
    }
}
