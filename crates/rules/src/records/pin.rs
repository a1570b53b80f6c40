//! Pins, the digest that last ran successfully, and tags that ECR did not accept.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag};
use crate::one_line::{LONGEST_TEXT, clause};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;

/// A known-good build of an environment. The pin with the highest number is the current pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub number: PinNumber,
    pub digest: ImageDigest,
    pub build_tag: BuildTag,
    pub commit: Option<String>,
    /// The promotion or rollback that set the pin.
    pub by: OperationId,
    pub at: Timestamp,
    /// The compressed size, copied from the build.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    pub platforms: Vec<String>,
    /// The task definition with which each service ran this pin successfully. A rollback to the pin
    /// deploys this revision again if it is still active and differs from the service's present
    /// revision only in the images.
    pub revisions: BTreeMap<ServiceName, String>,
}

/// The digest that last ran successfully on the services. Stablepin puts the tag
/// `{environment}-current` on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub digest: ImageDigest,
    /// The operation that must put the tag.
    pub by: OperationId,
    /// True if Stablepin has put the tag, or has tried once. Only a repair of the tag tries more
    /// often, because no rollback needs the tag.
    pub tagged: bool,
}

/// A pin's tag that ECR did not accept. The pin itself is still valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTag {
    pub pin: PinNumber,
    pub tag: ImageTag,
    pub why: NotPut,
}

/// The reason why ECR did not accept a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum NotPut {
    /// Another image has the tag, and the tag is immutable in the repository.
    Taken {
        on: ImageDigest,
        /// The ARN of the principal that put the tag on the other image, from CloudTrail.
        by: Option<String>,
    },
    /// ECR refused the tag for this reason.
    Refused { reason: String, at: Timestamp },
}

/// The time from a refusal to the next attempt to put the same tag. Stablepin tries the tag of a
/// new pin at once.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_hours(24);

impl TakenTag {
    /// Describes the problem for people, without a full stop at the end.
    pub fn words(&self) -> String {
        let Self { pin, tag, why } = self;
        let why = match why {
            NotPut::Taken { on, by } => {
                let by = by.as_ref().map(|by| format!(", put there by {by}")).unwrap_or_default();
                format!("it is on {on}{by}, and the repository does not let it move")
            }
            NotPut::Refused { reason, .. } => reason.clone(),
        };
        format!("ECR did not accept the tag {tag} of pin {pin}: {why}")
    }

    /// Returns whether this problem explains why the tag is on the digest `found`, or on no digest.
    /// A refusal explains every digest, but only for a day.
    pub(crate) fn explains(&self, tag: &ImageTag, found: Option<&ImageDigest>, now: Timestamp) -> bool {
        self.tag == *tag
            && match &self.why {
                NotPut::Taken { on, .. } => found == Some(on),
                NotPut::Refused { at, .. } => now < *at + REFUSED_AGAIN,
            }
    }

    /// Returns a copy with a shortened reason, to save space in the record.
    pub(crate) fn cut(&self) -> Self {
        let mut kept = self.clone();
        if let NotPut::Refused { reason, .. } = &mut kept.why {
            *reason = clause(reason, LONGEST_TEXT);
        }
        kept
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.why, NotPut::Refused { .. })
    }

    /// Returns whether a notification of this problem would add nothing to the notification of
    /// `known`.
    pub(crate) fn says_no_more_than(&self, known: &Self) -> bool {
        self == known || (self.is_refused() && known.is_refused() && self.pin == known.pin)
    }
}
