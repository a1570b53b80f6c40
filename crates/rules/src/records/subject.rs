//! The subject of a transition: all records that one decision reads.

use super::build::Build;
use super::environment::Environment;
use super::operation::{Operation, Work};
use super::promotion::{Promotion, PromotionState};
use super::rollback::Rollback;
use crate::application::{Application, EnvironmentPolicy};
use crate::name::{ApplicationName, EnvironmentName};

/// The records that one decision reads, each with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub configuration: Configuration,
    pub name: EnvironmentName,
    pub environment: Environment,
    pub build: Option<Build>,
    /// The operation to change. None until a transition opens it.
    pub operation: Option<Operation>,
}

/// The current configuration. Records never contain a copy of it, so a changed policy applies at
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub application: Application,
    pub version: u64,
}

impl Subject {
    /// Returns the environment's policy. None if the environment is not in the configuration.
    pub fn policy(&self) -> Option<&EnvironmentPolicy> {
        self.configuration.application.environment(&self.name)
    }

    pub fn application(&self) -> &ApplicationName {
        &self.configuration.application.name
    }

    pub fn promotion(&self) -> Option<&Promotion> {
        match &self.operation.as_ref()?.work {
            Work::Promotion(promotion) => Some(promotion),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        }
    }

    pub fn rollback(&self) -> Option<&Rollback> {
        match &self.operation.as_ref()?.work {
            Work::Promotion(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
            Work::Rollback(rollback) => Some(rollback),
        }
    }

    /// Returns whether the image of an approved promotion must still be copied to the environment's
    /// own repository.
    pub fn must_copy(&self) -> bool {
        let (Some(policy), Some(promotion)) = (self.policy(), self.promotion()) else { return false };
        let is_copied = promotion
            .copy
            .as_ref()
            .is_some_and(|copy| copy.to == policy.repository && copy.done_at.is_some());
        promotion.state == PromotionState::InProgress
            && promotion.pin.is_none()
            && promotion.rollout.is_none()
            && policy.repository != promotion.build.repository
            && !is_copied
    }
}
