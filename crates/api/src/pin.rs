//! Pins, and tags of pins that Stablepin could not put.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::ServiceName;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{NotPut, Pin, TakenTag};

answer! {
    /// A build that is known to be good in an environment.
    PinAnswer of pin: Pin {
        number: PinNumber,
        digest: ImageDigest,
        build_tag: BuildTag,
        commit: Option<String>,
        /// The promotion or rollback that set the pin.
        by: OperationId,
        at: Timestamp,
        size_bytes: Option<u64>,
        platforms: Vec<String>,
        /// The task definition with which each service was proven.
        revisions: BTreeMap<ServiceName, String>,
    }
}

/// A page of an environment's pins, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinPage {
    pub pins: Vec<PinAnswer>,
    pub next: Option<String>,
}

answer! {
    /// A pin's tag that Stablepin could not put. The pin itself is valid.
    TagTakenAnswer of taken: TakenTag {
        pin: PinNumber,
        tag: ImageTag,
        why: WhyTaken = (&taken.why).into(),
    }
}

/// The reason why Stablepin could not put a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum WhyTaken {
    /// Another image has the tag, and the repository forbids moving the tag.
    Taken {
        on: ImageDigest,
        /// The ARN of the principal that put the tag there, from CloudTrail.
        by: Option<String>,
    },
    /// ECR refused the tag.
    Refused { reason: String, at: Timestamp },
}

impl From<&NotPut> for WhyTaken {
    fn from(why: &NotPut) -> Self {
        match why {
            NotPut::Taken { on, by } => Self::Taken { on: on.clone(), by: by.clone() },
            NotPut::Refused { reason, at } => Self::Refused { reason: reason.to_string(), at: *at },
        }
    }
}
