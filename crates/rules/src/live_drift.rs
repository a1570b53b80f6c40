//! Live drift: services that do not run the pin, although Stablepin did not change them. Causes are
//! a deployment by hand, a `terraform apply` with an old revision, or a deleted service.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::image::ImageDigest;
use crate::one_line::{LONGEST_REASON, cut, one_line};
use crate::operation_id::OperationId;

/// The difference between a service and the pin, as ECS reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// The task definition's ARN with its revision. None: the service no longer exists.
    pub task_definition: Option<String>,
    /// The digest, if it comes from the environment's repository. None: another image runs, or the
    /// digest is unknown.
    pub digest: Option<ImageDigest>,
    /// The principal that registered the task definition.
    pub registered_by: Option<String>,
}

impl Deviation {
    /// Returns a copy with a shortened `registered_by`, because the environment's record keeps one
    /// copy per service.
    pub(crate) fn cut(&self) -> Self {
        let mut kept = self.clone();
        kept.registered_by.iter_mut().for_each(|by| cut(by, LONGEST_REASON));
        kept
    }

    /// Describes the deviation for people. The text follows the service's name.
    pub fn words(&self) -> String {
        let Some(arn) = &self.task_definition else { return "is not there any more".to_owned() };
        let revision = arn.rsplit('/').next().unwrap_or(arn);
        let by = self.registered_by.as_ref().map(|by| format!(", registered by {by}")).unwrap_or_default();
        let what = self.digest.as_ref().map_or("another image".to_owned(), ToString::to_string);
        one_line(&format!("runs {what} (task definition {revision}{by})"), LONGEST_REASON)
    }
}

/// The services of an environment that do not run its pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveDrift {
    pub id: OperationId,
    pub since: Timestamp,
    /// The services that differ now. After the drift's end, the services that differed last.
    pub services: BTreeMap<ServiceName, Deviation>,
    /// The end of the drift. None while the drift lasts.
    pub ended_at: Option<Timestamp>,
    /// The time of the last notification about a drift of this environment.
    pub notified_at: Option<Timestamp>,
}

/// The least time between two notifications, even if services drift several times.
const QUIET: SignedDuration = SignedDuration::from_hours(1);

impl LiveDrift {
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Returns the earliest time at which the next notification may be sent.
    pub fn notify_at(&self) -> Timestamp {
        self.notified_at.map_or(self.since, |at| at + QUIET)
    }

    /// Describes for people what each service runs.
    pub fn words(&self) -> Vec<String> {
        self.services.iter().map(|(service, deviation)| format!("{service} {}", deviation.words())).collect()
    }
}
