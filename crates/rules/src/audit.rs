//! What happened, by whom, why. An audit record is also the outbox: the table's stream publishes it to the
//! stack's bus.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::name::{ApplicationName, ApproverName, EnvironmentName};

/// The `detail-type` on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "Promotion State Change")]
    Promotion,
    #[serde(rename = "Rollback State Change")]
    Rollback,
    #[serde(rename = "Pin Change")]
    Pin,
    #[serde(rename = "Drift Detected")]
    Drift,
    #[serde(rename = "Live Drift State Change")]
    LiveDrift,
    #[serde(rename = "Environment State Change")]
    Environment,
    #[serde(rename = "Configuration Change")]
    Configuration,
    #[serde(rename = "Retention Run State Change")]
    Retention,
}

impl Kind {
    pub fn detail_type(self) -> &'static str {
        match self {
            Self::Promotion => "Promotion State Change",
            Self::Rollback => "Rollback State Change",
            Self::Pin => "Pin Change",
            Self::Drift => "Drift Detected",
            Self::LiveDrift => "Live Drift State Change",
            Self::Environment => "Environment State Change",
            Self::Configuration => "Configuration Change",
            Self::Retention => "Retention Run State Change",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail_type())
    }
}

/// Who did it. Taken from the credential that was shown, never from a request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Actor {
    /// An approver, by a link that was mailed to them.
    Link { approver: ApproverName },
    /// An IAM principal, by a signed request.
    Principal { arn: String },
    /// A push to the registry.
    Push,
    /// Stablepin by itself: a tick, an expiry.
    Stablepin,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { approver } => write!(f, "{approver} (mailed link)"),
            Self::Principal { arn } => f.write_str(arn),
            Self::Push => f.write_str("a push"),
            Self::Stablepin => f.write_str("stablepin"),
        }
    }
}

/// One record. `version` is the shape's: a reader of another version knows what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub version: u8,
    pub kind: Kind,
    pub application: ApplicationName,
    pub environment: Option<EnvironmentName>,
    /// The promotion, rollback or run of retention that it belongs to.
    pub id: Option<String>,
    pub digest: Option<ImageDigest>,
    /// What was: a state, a pin number, a configuration's version.
    pub from: Option<String>,
    pub to: String,
    pub reason: Option<String>,
    pub actor: Actor,
    /// Of a decision: the hash of what was decided on.
    #[serde(default)]
    pub facts: Option<String>,
    pub at: Timestamp,
}

impl AuditRecord {
    pub const VERSION: u8 = 1;
}
