//! What retention did, or would do: one run over an application's repositories.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A run's id: UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).map(Self)
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
