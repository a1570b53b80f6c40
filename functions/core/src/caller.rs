//! Who called the registry, as CloudTrail recorded it. The registry's own event does not say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::Actor;

/// Who put a tag on a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The ARN of the principal that signed the request: of a role's session, of a user.
    pub arn: String,
    pub at: Timestamp,
}

impl Caller {
    pub fn actor(&self) -> Actor {
        Actor::Principal { arn: self.arn.clone() }
    }
}
