//! End-to-end tests against the deployed stack: the real template, functions, registry and
//! containers. Others run the functions' programs against fakes of ECR and ECS; ARCHITECTURE.md
//! says which.
//!
//! `cargo xtask test` runs them. By hand: `cargo xtask up`, then `. target/local/env`, then
//! `cargo test -p stablepin-tests`. They run in parallel in one stack: each has its own
//! application, repository, cluster and approvers.

mod applications;
mod approval;
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
mod two_services;
