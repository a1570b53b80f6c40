//! The loop around the rules: load, decide, commit, carry out what is owed, observe, again. One file per effect.

pub mod clock;
mod drive;
mod effect;
pub mod errors;
#[cfg_attr(not(feature = "post"), expect(dead_code, reason = "only a mail tells a link's secret"))]
mod link;
pub mod mail;
#[cfg(feature = "ecs")]
mod snapshot;
pub mod start;

use stablepin_aws::dynamodb::Table;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::sns::Sns;

pub use drive::{Deadline, DriveError, Start, drive};
pub use link::token_hash;
#[cfg(feature = "ecs")]
pub use snapshot::{SnapshotError, snapshot};

/// Every door that a function has. What a function's role may not do, it has no door for: that work is left to
/// the promoter, which finds it due.
#[derive(Debug, Clone)]
pub struct Doors {
    pub table: Table,
    pub ecr: Ecr,
    pub ecs: Option<Ecs>,
    pub post: Option<Post>,
}

/// How approval mails go out.
#[derive(Debug, Clone)]
pub struct Post {
    pub sns: Sns,
    pub topic_arn: String,
    /// Where links lead: scheme and host, without a slash at the end. From configuration, never from a request.
    pub url: String,
}
