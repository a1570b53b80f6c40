//! A pin, the digest that was last proven, and a tag of a pin that could not be put.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::application::ServiceName;
use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag};
use crate::one_line::{LONGEST_TEXT, clause};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;

/// A known-good build of an environment. The newest pin is the current service.
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
    /// The task definition that each service was proven with. A rollback to this pin reuses it.
    pub revisions: BTreeMap<ServiceName, String>,
}

/// The digest that was last proven to run. It gets the tag `{environment}-current`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    pub digest: ImageDigest,
    /// The operation that puts the tag.
    pub by: OperationId,
    /// Whether the tag was tried. This is best effort: one try is enough.
    pub tagged: bool,
}

/// A pin's tag that could not be put. The pin itself remains valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenTag {
    pub pin: PinNumber,
    pub tag: ImageTag,
    pub why: NotPut,
}

/// The reason why a tag could not be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum NotPut {
    /// Another image has the tag, and the repository does not let tags move.
    Taken {
        on: ImageDigest,
        /// The ARN of the principal that put the tag there, as CloudTrail recorded.
        by: Option<String>,
    },
    /// ECR refused the tag, with this reason.
    Refused { reason: String, at: Timestamp },
}

/// The time from a refusal to the next try of the same tag. A new pin is tried at once.
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
        format!("the tag {tag} of pin {pin} could not be put: {why}")
    }

    /// Returns whether this record already explains why the tag is not on the pin.
    pub(crate) fn explains(&self, tag: &ImageTag, found: Option<&ImageDigest>, now: Timestamp) -> bool {
        self.tag == *tag
            && match &self.why {
                NotPut::Taken { on, .. } => found == Some(on),
                NotPut::Refused { at, .. } => now < *at + REFUSED_AGAIN,
            }
    }

    /// Returns a copy with ECR's reason as it is kept.
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

    /// Returns whether people who know `known` learn nothing new from this.
    pub(crate) fn says_no_more_than(&self, known: &Self) -> bool {
        self == known || (self.is_refused() && known.is_refused() && self.pin == known.pin)
    }
}
