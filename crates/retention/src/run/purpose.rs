//! The id of a run, and its purpose.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use stablepin_rules::name::ApplicationName;

/// The id of a run: a UUIDv7, so that ids sort by time.
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

    /// Returns the id of an application's nightly run. Every schedule event of a night gives the
    /// same id, so a repeated event starts no second run.
    pub fn of_night(at: Timestamp, application: &ApplicationName) -> Self {
        let hash = Sha256::digest(format!("{at} {application}"));
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Purpose {
    /// Plans which images to remove, and changes nothing.
    Plan,
    /// Deletes or archives the images that its plan names.
    Apply {
        /// The earlier run with the plan that a person reviewed. This run removes only images of
        /// that plan.
        #[serde(default)]
        plan_of: Option<RunId>,
    },
    /// Restores the images that the given run archived.
    Undo { of: RunId },
}
