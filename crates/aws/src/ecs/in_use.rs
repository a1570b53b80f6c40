//! Reads all ECS resources of an account that name images: services, tasks, service revisions, task
//! definitions, daemons.
//!
//! Retention deletes no image that these reads find, so an incomplete read is an error.
//!
//! A list is complete, or its read fails. A read also fails if the response lacks a requested item.
//! The exceptions are tasks and services that ended after they were listed.
//!
//! Each method that describes items sends one request with as many items as ECS accepts. The caller
//! runs these methods concurrently.

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
