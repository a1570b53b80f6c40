//! Audit records: what happened, who did it, and why. Audit records are also the outbox: the
//! table's stream publishes them to the stack's bus.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::pipeline_run::PipelineRun;

/// The kind of an audit record, which is the event's `detail-type` on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "Promotion State Change")]
    Promotion,
    #[serde(rename = "Rollback State Change")]
    Rollback,
    /// A pipeline named an image that no event announced.
    #[serde(rename = "Image Named")]
    ImageNamed,
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
            Self::ImageNamed => "Image Named",
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

/// The actor of a change. Stablepin derives the actor from the credential of the request, never
/// from the body of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Actor {
    /// An approver who used a mailed link.
    Link { approver: ApproverName },
    /// An IAM principal that signed a request.
    Principal { arn: String },
    /// A push to the registry.
    Push,
    /// Stablepin itself, for example when a promotion expires.
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

/// An audit record. `version` is the version of this record format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub version: u8,
    pub kind: Kind,
    pub application: ApplicationName,
    pub environment: Option<EnvironmentName>,
    /// The id of the operation, such as a promotion or a rollback, or of the retention run.
    pub id: Option<String>,
    pub digest: Option<ImageDigest>,
    /// The value before the change, such as a state, a pin number, or a configuration's version.
    pub from: Option<String>,
    pub to: String,
    pub reason: Option<String>,
    pub actor: Actor,
    /// The hash of the facts that the approver saw. Only records of approvals and rejections have a
    /// hash.
    #[serde(default)]
    pub facts: Option<String>,
    /// The run of the pipeline that made the build, if the audit record is about a promotion or an
    /// image that a pipeline named.
    #[serde(default)]
    pub run: Option<PipelineRun>,
    pub at: Timestamp,
}

impl AuditRecord {
    pub const VERSION: u8 = 1;
}
