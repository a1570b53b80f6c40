//! The records in the table, such as builds, environments, pins and operations. Records are plain
//! data. [`crate::transition`] decides their changes.
//! [`take_lease`](crate::pending_effects::take_lease) records only leases, and that a call of an
//! interrupted holder may still reach AWS.

mod build;
mod check;
mod environment;
mod ignored_push;
mod image_copy;
mod operation;
mod pin;
mod promotion;
mod reason;
mod rollback;
mod rollout;
mod subject;
mod token;

pub use build::{Build, Occurrence};
pub use check::{Check, CheckResult, Checks, MOST_CHECKS, Recorded};
pub use environment::{Environment, Freeze, Hold, Latest, MOST_LEFT, Question, Slot, SlotKind, Waiting};
pub use ignored_push::IgnoredPush;
pub(crate) use image_copy::{BEGINS_WITHIN, STALLS_AFTER};
pub use image_copy::{CopyProgress, ImageCopy, MOST_TRIES};
pub use operation::{DriftReport, Lease, Notice, Operation, Repair, Work};
pub use pin::{Current, NotPut, Pin, TakenTag};
pub use promotion::{
    ApprovalRequest, EarlierPin, Promotion, PromotionState, RefusedBuildTag, RefusedMail, Validated, Verdict,
    Vote,
};
pub(crate) use reason::revert_goal;
pub use reason::{
    Aftermath, Blocker, HoldReason, LeftBehind, PromotionReason, RollbackReason, RolloutFailure,
};
pub use rollback::{Backup, Rollback, RollbackState, Target};
pub(crate) use rollout::look_again;
pub use rollout::{Bake, Destination, Direction, Live, Pause, Progress, Rollout, ServiceRollout, Started};
pub use subject::{Configuration, Subject};
pub use token::{CodeHash, ConsoleLink, Token, TokenHash};

#[cfg(test)]
mod tests;
