//! Live drift: services do not run the pin, although Stablepin did not change them. Possible causes
//! are a deployment by hand, a `terraform apply` with an old revision, or a deleted service.

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
    /// The digest in the task definition, or else a digest of the running tasks, if the image comes
    /// from one of the two repositories of the application and the environment. None: the service
    /// runs another image, or the digest is unknown.
    pub digest: Option<ImageDigest>,
    /// The principal that registered the task definition.
    pub registered_by: Option<String>,
}

impl Deviation {
    /// Returns a copy with a shortened `registered_by`. The environment's record stores a copy for
    /// each service and has limited space.
    pub(crate) fn cut(&self) -> Self {
        let mut kept = self.clone();
        kept.registered_by.iter_mut().for_each(|by| cut(by, LONGEST_REASON));
        kept
    }

    /// Describes the deviation for people. The text follows the service's name.
    pub fn words(&self) -> String {
        let Some(arn) = &self.task_definition else { return "no longer exists".to_owned() };
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
    /// The services that differ from the pin. After the drift's end: the services of the last
    /// observation with a difference.
    pub services: BTreeMap<ServiceName, Deviation>,
    /// The time when the drift ended. None while services still differ.
    pub ended_at: Option<Timestamp>,
    /// The time of the last notification about a drift of this environment.
    pub notified_at: Option<Timestamp>,
}

/// The shortest time between two drift notifications, even if services drift several times.
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
