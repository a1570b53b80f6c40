//! Drift of what runs: services that do not run the pin although nobody asked Stablepin for that. Somebody deployed by
//! hand, an apply put an old revision back, a service was deleted.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_REASON, cut, one_line};
use crate::records::OperationId;

/// What a service runs instead of the pin, as ECS describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// ARN with revision; none: there is no such service any more.
    pub task_definition: Option<String>,
    /// What it runs of the repository; none: another image, or it is not known.
    pub digest: Option<ImageDigest>,
    /// The principal that registered the task definition.
    pub registered_by: Option<String>,
}

impl Deviation {
    /// Without the end of an ARN that is longer than people read: an environment keeps one for each service.
    pub(crate) fn cut(&self) -> Self {
        let mut kept = self.clone();
        kept.registered_by.iter_mut().for_each(|by| cut(by, LONGEST_REASON));
        kept
    }

    /// For people, after the service's name.
    pub fn words(&self) -> String {
        let Some(arn) = &self.task_definition else { return "is not there any more".to_owned() };
        let revision = arn.rsplit('/').next().unwrap_or(arn);
        let by = self.registered_by.as_ref().map(|by| format!(", registered by {by}")).unwrap_or_default();
        let what = self.digest.as_ref().map_or("another image".to_owned(), ToString::to_string);
        one_line(&format!("runs {what} (task definition {revision}{by})"), LONGEST_REASON)
    }
}

/// Services of an environment that do not run its pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveDrift {
    pub id: OperationId,
    pub since: Timestamp,
    /// The environment's services that differ now; after its end, those that differed last.
    pub services: BTreeMap<ServiceName, Deviation>,
    /// None while it lasts.
    pub ended_at: Option<Timestamp>,
    /// When people were last told of a drift of this environment.
    pub notified_at: Option<Timestamp>,
}

/// People are told at most once in this time, however often services drift and return.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

impl LiveDrift {
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// When people may be told of it.
    pub fn notify_at(&self) -> Timestamp {
        self.notified_at.map_or(self.since, |at| at + QUIET)
    }

    /// Each service and what it runs, for people.
    pub fn words(&self) -> Vec<String> {
        self.services.iter().map(|(service, deviation)| format!("{service} {}", deviation.words())).collect()
    }
}
