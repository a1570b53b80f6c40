//! Environments.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::ServiceName;
use stablepin_rules::audit::Actor;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::live_drift::{Deviation, LiveDrift};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Current, Environment, Freeze, Hold, Latest, Occurrence, Slot, SlotKind, Subject,
};

use crate::{PinAnswer, TagTakenAnswer};

/// The state of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentAnswer {
    pub application: ApplicationName,
    pub name: EnvironmentName,
    pub pin: Option<PinAnswer>,
    /// The pin that the stable tag was last put for.
    pub stable_tag_pin: Option<PinNumber>,
    pub tag_taken: Option<TagTakenAnswer>,
    pub watermark: Option<WatermarkAnswer>,
    pub latest: Option<LatestPushAnswer>,
    pub slot: Option<SlotAnswer>,
    pub hold: Option<HoldAnswer>,
    pub freeze: Option<FreezeAnswer>,
    pub current: Option<CurrentAnswer>,
    /// Digests that a rollback left, the most recently left one last.
    pub rolled_back_from: Vec<ImageDigest>,
    pub live_drift: Option<LiveDriftAnswer>,
}

impl From<&Subject> for EnvironmentAnswer {
    fn from(subject: &Subject) -> Self {
        let Environment { pin, tag_taken, watermark, latest, slot, hold, freeze, current, .. } =
            &subject.environment;
        Self {
            application: subject.application().clone(),
            name: subject.name.clone(),
            pin: pin.as_ref().map(Into::into),
            stable_tag_pin: subject.environment.applied,
            tag_taken: tag_taken.as_ref().map(Into::into),
            watermark: watermark.as_ref().map(Into::into),
            latest: latest.as_ref().map(Into::into),
            slot: slot.as_ref().map(Into::into),
            hold: hold.as_ref().map(Into::into),
            freeze: freeze.as_ref().map(Into::into),
            current: current.as_ref().map(Into::into),
            rolled_back_from: subject.environment.rolled_back_from.clone(),
            live_drift: subject.environment.live_drift.as_ref().map(Into::into),
        }
    }
}

answer! {
    /// The latest push that was ever pinned. An earlier one cannot become the pin.
    WatermarkAnswer of occurrence: Occurrence {
        at: Timestamp,
        digest: ImageDigest,
    }
}

answer! {
    /// The newest push that was offered to the environment.
    LatestPushAnswer of latest: Latest {
        at: Timestamp = latest.occurrence.at,
        digest: ImageDigest = latest.occurrence.digest.clone(),
        promotion: OperationId,
        /// Whether its promotion is pending.
        open: bool,
    }
}

answer! {
    /// The one operation that may touch the services now.
    SlotAnswer of slot: Slot {
        operation: OperationId,
        kind: SlotKind,
        digest: ImageDigest,
        since: Timestamp,
        /// The time until which a call of a promotion may still arrive.
        moving_until: Option<Timestamp>,
    }
}

answer! {
    /// A stop for automation, until a person releases it or approves a build anew.
    HoldAnswer of hold: Hold {
        since: Timestamp,
        reason: String = hold.reason.to_string(),
        /// The rollback, or the failed promotion, that caused the hold.
        by: OperationId,
    }
}

answer! {
    /// A person's stop for promotions.
    FreezeAnswer of freeze: Freeze {
        since: Timestamp,
        reason: String,
        by: Actor,
    }
}

answer! {
    /// The digest that was last proven to run.
    CurrentAnswer of current: Current {
        digest: ImageDigest,
        by: OperationId,
        /// Whether the tag `{environment}-current` was tried. One try is enough.
        tagged: bool,
    }
}

answer! {
    /// Services that do not run the pin, although Stablepin did not move them.
    LiveDriftAnswer of drift: LiveDrift {
        id: OperationId,
        since: Timestamp,
        /// The services that differ. After the end: those that differed last.
        services: BTreeMap<ServiceName, DeviationAnswer> =
            drift.services.iter().map(|(service, found)| (service.clone(), found.into())).collect(),
        ended_at: Option<Timestamp>,
        /// The last notification about a drift of the environment.
        notified_at: Option<Timestamp>,
    }
}

answer! {
    /// A service that does not run the pin.
    DeviationAnswer of deviation: Deviation {
        /// `None`: the service no longer exists.
        task_definition: Option<String>,
        /// `None`: another image, or unknown.
        digest: Option<ImageDigest>,
        /// The principal that registered the task definition.
        registered_by: Option<String>,
    }
}
