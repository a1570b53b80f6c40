//! The outcome of each image that a run removes or restores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stablepin_rules::image::{ImageDigest, ImageTag};

/// The outcome of one image that a run removes or restores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum ImageOutcome {
    Deleted,
    Archived,
    Untagged {
        tags: Vec<ImageTag>,
    },
    Restored,
    /// The image differs from the plan, or something needs the image now.
    Skipped {
        why: String,
    },
    Refused {
        code: String,
        why: String,
    },
}

/// The outcomes of a report, by image digest.
pub(crate) type Outcomes = BTreeMap<ImageDigest, ImageOutcome>;

/// The outcomes that an earlier invocation of the run saved.
#[derive(Deserialize)]
pub(crate) struct Noted {
    pub(crate) outcomes: Outcomes,
}
