//! The loop around the rules: load, decide, commit, carry out effects, observe, and repeat. The
//! folder `effect` has a file for each effect.

// With this lint, the compiler reports every match that does not handle a new variant.
#![deny(clippy::wildcard_enum_match_arm)]

mod approval_mailer;
pub mod arrival;
pub mod attribution;
pub mod check;
pub mod clock;
mod contained;
mod effect;
mod link;
mod live;
pub mod live_drift;
mod open_promotions;
pub mod preflight;
pub mod push;
mod reconcile;
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
pub use effect::{Copier, CopyError, Meter};
pub use link::{Secret, code_hash, token_hash};
pub use live::live;
pub use reconcile::{Deadline, ReconcileError, Source, reconcile};
pub use snapshot::Snapshot;
pub use stablepin_aws::errors;
pub use stack_location::StackLocation;
pub use topics::Topics;

/// The clients of a Lambda function: only the clients that its role allows. The promoter does the
/// work that needs other clients.
#[derive(Debug, Clone)]
pub struct Clients {
    pub table: Table,
    pub ecr: Ecr,
    /// The client that copies images. Only an invocation with enough time has it.
    pub copier: Option<Ecr>,
    pub ecs: Option<Ecs>,
    pub verify: Option<Verify>,
    pub approval_mailer: Option<ApprovalMailer>,
}

/// The clients that Stablepin needs, in addition to ECS, to prove a rollout and to notify people of
/// a failed rollout.
#[derive(Debug, Clone)]
pub struct Verify {
    /// The client that reads the health of load balancer targets.
    pub elb: Elb,
    pub probe: Probe,
    pub sns: Sns,
    /// The topic of notices, which contain no secrets. Anybody may subscribe to this topic.
    pub topic_arn: String,
}
