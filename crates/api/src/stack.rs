//! The stack itself: its health, and links to its console.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The findings of the last hourly check of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAnswer {
    pub status: HealthStatus,
    pub findings: Vec<FindingAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    Ok,
    /// The check has findings.
    Degraded,
}

/// The findings about the topics or about one application, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingAnswer {
    /// The subject of the findings: an application's name, or `topics` for the SNS topics.
    pub about: String,
    pub findings: BTreeSet<String>,
    /// The time since which the findings have not changed.
    pub since: Timestamp,
}

/// A link to the console. Everybody who has the link can read the console until the link expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLinkAnswer {
    pub url: String,
    pub expires_at: Timestamp,
}
