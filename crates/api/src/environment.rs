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
    /// The pin to which Stablepin last moved the stable tag.
    pub stable_tag_pin: Option<PinNumber>,
    pub tag_taken: Option<TagTakenAnswer>,
    pub watermark: Option<WatermarkAnswer>,
    pub latest: Option<LatestPushAnswer>,
    pub slot: Option<SlotAnswer>,
    pub hold: Option<HoldAnswer>,
    pub freeze: Option<FreezeAnswer>,
    pub current: Option<CurrentAnswer>,
    /// The digests that rollbacks have replaced in the services. The most recent digest is last.
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
    /// The latest push that has set the pin. A push that is older than this push cannot set the pin
    /// any more.
    WatermarkAnswer of occurrence: Occurrence {
        at: Timestamp,
        digest: ImageDigest,
    }
}

answer! {
    /// The newest push for which the environment got a promotion.
    LatestPushAnswer of latest: Latest {
        at: Timestamp = latest.occurrence.at,
        digest: ImageDigest = latest.occurrence.digest.clone(),
        promotion: OperationId,
        /// True while the promotion of this push is pending.
        open: bool,
    }
}

answer! {
    /// The operation with the slot. Only this operation may change the services now.
    SlotAnswer of slot: Slot {
        operation: OperationId,
        kind: SlotKind,
        digest: ImageDigest,
        since: Timestamp,
        /// The time until which a request of a promotion may still reach ECS.
        moving_until: Option<Timestamp>,
    }
}

answer! {
    /// A hold of the environment. Stablepin does not deploy builds that were approved before the
    /// hold. A person or a new approval releases the hold.
    HoldAnswer of hold: Hold {
        since: Timestamp,
        reason: String = hold.reason.to_string(),
        /// The id of the rollback or the failed promotion that caused the hold.
        by: OperationId,
    }
}

answer! {
    /// A freeze, with which a person stops promotions.
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
        /// True if Stablepin has tried to put the tag `{environment}-current`. One attempt is
        /// enough.
        tagged: bool,
    }
}

answer! {
    /// Services that do not run the pin, although Stablepin did not change them.
    LiveDriftAnswer of drift: LiveDrift {
        id: OperationId,
        since: Timestamp,
        /// The services that differ from the pin. After the drift has ended, the services that
        /// differed last.
        services: BTreeMap<ServiceName, DeviationAnswer> =
            drift.services.iter().map(|(service, found)| (service.clone(), found.into())).collect(),
        ended_at: Option<Timestamp>,
        /// The time of the last notice about live drift of the environment.
        notified_at: Option<Timestamp>,
    }
}

answer! {
    /// A service that does not run the pin.
    DeviationAnswer of deviation: Deviation {
        /// The ARN of the task definition. `None` if the service no longer exists.
        task_definition: Option<String>,
        /// The digest that the service runs. `None` if the service runs another image, or if the
        /// digest is unknown.
        digest: Option<ImageDigest>,
        /// The principal that registered the task definition.
        registered_by: Option<String>,
    }
}
