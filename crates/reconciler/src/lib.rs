//! The loop around the rules: load, decide, commit, carry out what is pending_effects, observe, again. One file per effect.

mod approval_mailer;
pub mod attribution;
pub mod clock;
mod contained;
mod effect;
pub mod errors;
mod link;
mod live;
pub mod live_drift;
pub mod mail;
pub mod push;
mod reconcile;
pub mod runnable;
mod snapshot;
pub mod stack_location;
pub mod start;
pub mod tag;
mod topics;

use stablepin_aws::dynamodb::Table;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::elb::Elb;
use stablepin_aws::probe::Probe;
use stablepin_aws::sns::Sns;

pub use approval_mailer::ApprovalMailer;
pub use link::{Secret, code_hash, token_hash};
pub use live::live;
pub use reconcile::{Deadline, ReconcileError, Source, reconcile};
pub use snapshot::{Snapshot, SnapshotError, snapshot};
pub use stack_location::StackLocation;
pub use topics::Topics;

/// Every door that a function has. What a function's role may not do, it has no door for: that work is left to
/// the promoter, which finds it due.
#[derive(Debug, Clone)]
pub struct Clients {
    pub table: Table,
    pub ecr: Ecr,
    pub ecs: Option<Ecs>,
    pub verify: Option<Verify>,
    pub approval_mailer: Option<ApprovalMailer>,
}

/// All that proves a rollout besides ECS, and how people hear of one that failed.
#[derive(Debug, Clone)]
pub struct Verify {
    /// What target groups think of tasks.
    pub elb: Elb,
    pub probe: Probe,
    pub sns: Sns,
    /// Everybody on it may know.
    pub topic_arn: String,
}
