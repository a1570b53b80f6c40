//! Reads everything in an account that names images: services, tasks, revisions, task definitions,
//! daemons.
//!
//! Retention keeps every image that these reads find, so the reads fail closed.
//!
//! A list is complete, or its read fails. A read also fails if the response lacks a requested item.
//! The exceptions are tasks and services that ended after they were listed.
//!
//! Each describing call is one request with as many items as ECS accepts. The caller runs these
//! calls concurrently.

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
