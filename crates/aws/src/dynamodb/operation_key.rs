//! The keys of operations.

use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Operation, Subject, Work};

/// The key of an operation, with the names of its application and its environment. This key is
/// sufficient to read the operation's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    pub operation: OperationKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKey {
    Promotion(OperationId),
    Rollback(OperationId),
    Repair(OperationId),
    LiveDrift(OperationId),
}

impl OperationKey {
    pub fn of(operation: &Operation) -> Self {
        match &operation.work {
            Work::Promotion(promotion) => Self::Promotion(promotion.id),
            Work::Rollback(rollback) => Self::Rollback(rollback.id),
            Work::Repair(repair) => Self::Repair(repair.id),
            Work::LiveDrift(report) => Self::LiveDrift(report.id),
        }
    }

    pub(super) fn parse(sort_key: &str) -> Option<Self> {
        let (kind, id) = sort_key.split_once('#')?;
        let id = OperationId::parse(id)?;
        match kind {
            "PROMOTION" => Some(Self::Promotion(id)),
            "ROLLBACK" => Some(Self::Rollback(id)),
            "REPAIR" => Some(Self::Repair(id)),
            "LIVE_DRIFT" => Some(Self::LiveDrift(id)),
            _ => None,
        }
    }
}

/// Writes the operation's sort key.
impl std::fmt::Display for OperationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promotion(id) => write!(f, "PROMOTION#{id}"),
            Self::Rollback(id) => write!(f, "ROLLBACK#{id}"),
            Self::Repair(id) => write!(f, "REPAIR#{id}"),
            Self::LiveDrift(id) => write!(f, "LIVE_DRIFT#{id}"),
        }
    }
}

impl Key {
    /// Returns the key of the subject's operation, or `None` if the subject has no operation.
    pub fn of(subject: &Subject) -> Option<Self> {
        let operation = OperationKey::of(subject.operation.as_ref()?);
        Some(Self {
            application: subject.application().clone(),
            environment: subject.name.clone(),
            operation,
        })
    }
}
