//! The response to a report of a check.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::CheckName;
use stablepin_rules::audit::Actor;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::link::Link;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Check, CheckResult, Checks, PromotionState, Recorded, Subject};

answer! {
    /// The newest result of a named check.
    CheckAnswer of check: Check {
        result: CheckResult,
        /// The time at which the check ended.
        at: Timestamp,
        /// The page of the run.
        link: Option<Link>,
        /// The duration of the check.
        seconds: Option<u32>,
        /// The signer of the report.
        by: Actor,
    }
}

impl CheckAnswer {
    pub(crate) fn of_all(checks: &Checks) -> BTreeMap<CheckName, Self> {
        checks.iter().map(|(name, check)| (name.clone(), check.into())).collect()
    }
}

/// The response to a report of a check, with the open promotions of the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedCheck {
    pub application: ApplicationName,
    pub digest: ImageDigest,
    pub name: CheckName,
    pub recorded: RecordedAnswer,
    /// The environments whose `requires` names the check. If empty, no promotion waits for the
    /// check.
    pub required_by: Vec<EnvironmentName>,
    /// The promotions of the digest that were open when the report arrived.
    pub promotions: Vec<ReportedPromotion>,
}

/// The effect of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedAnswer {
    New,
    /// The same report is already recorded.
    Known,
    /// The recorded result is newer, or failed at the same time. The recorded result is kept.
    Outdated,
}

/// A promotion after Stablepin has handled a report or a request about its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPromotion {
    pub promotion: OperationId,
    pub environment: EnvironmentName,
    pub state: PromotionState,
    /// The conditions that are not yet met, in words for people.
    pub waits_for: Vec<String>,
}

impl RecordedAnswer {
    /// Converts the effect. Returns `None` if Stablepin refused the report because the digest has
    /// too many checks.
    pub fn new(recorded: Recorded) -> Option<Self> {
        match recorded {
            Recorded::New => Some(Self::New),
            Recorded::Known => Some(Self::Known),
            Recorded::Outdated => Some(Self::Outdated),
            Recorded::TooMany => None,
        }
    }
}

impl ReportedPromotion {
    /// Converts the [`Subject`]. Returns `None` if there is no promotion.
    pub fn new(subject: &Subject) -> Option<Self> {
        let promotion = subject.promotion()?;
        Some(Self {
            promotion: promotion.id,
            environment: subject.name.clone(),
            state: promotion.state,
            waits_for: promotion.waits_for.clone(),
        })
    }
}
