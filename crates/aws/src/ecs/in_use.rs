//! Everything in an account that names images: services, tasks, revisions, task definitions,
//! daemons.
//!
//! These reads decide which images must not be deleted, so they fail closed. A list is complete or
//! an error. An item missing from an answer is an error too, unless it is a task or service that
//! ended after it was listed. Each describing call is one request with as many items as ECS takes;
//! the caller runs them concurrently.

mod completeness;
mod daemons;
mod images;
mod services;
mod task_definitions;
mod tasks;

pub use daemons::DaemonInUse;
pub use images::{NamedImage, PER_DESCRIBE_REVISIONS, RevisionInUse};
pub use services::{PER_DESCRIBE_SERVICES, ServiceInUse};
pub use tasks::{PER_DESCRIBE_TASKS, TaskInUse, Wanted};
