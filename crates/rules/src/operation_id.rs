//! Ids of operations, such as promotions and rollbacks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of an operation, such as a promotion or rollback: a UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

impl OperationId {
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).map(Self)
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
