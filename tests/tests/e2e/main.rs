//! Stories against the deployed stack: the real template, functions, registry, containers. And stories aside, where the
//! functions' programs work beside fakes of ECR and ECS: ARCHITECTURE.md says which.
//!
//! `cargo xtask test` runs them; by hand: `cargo xtask up`, `. target/local/env`, `cargo test -p stablepin-tests`.
//! They run side by side in one stack: each has an application, a repository, a cluster and approvers of its own.

mod applications;
mod approval;
mod beside;
mod browser;
mod browser_console;
mod bus;
mod callers;
mod console;
mod contained;
mod crash;
mod decisions;
mod deploy;
mod deployed;
mod drift;
mod ecr_rules;
mod ends;
mod events;
mod false_success;
mod family;
mod faults;
mod hostile;
mod ignored;
mod immutable;
mod live_drift;
mod local_access;
mod names;
mod old_images;
mod personas;
mod push;
mod reads;
mod redelivery;
mod refused;
mod retention;
mod retention_marks;
mod rollback;
mod subscriptions;
mod template;
