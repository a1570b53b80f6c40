//! End-to-end tests against the deployed stack: the real template, Lambda functions, registry and
//! containers. Some tests run the programs of the Lambda functions against fakes of ECR and ECS
//! instead. docs/architecture/tests.md lists these tests.
//!
//! `cargo xtask test` runs the tests. To run the tests by hand, call `cargo xtask up`, then
//! `. target/local/env`, then `cargo test -p stablepin-tests`. The tests run in parallel in one
//! stack. Each test has its own application, repository, cluster and approvers.

mod applications;
mod approval;
mod browser;
mod browser_console;
mod bus;
mod callers;
mod checks;
mod console;
mod contained;
mod copies;
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
mod validation;
