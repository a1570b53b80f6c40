//! Retention: which images of a repository are kept or deleted, by which rule, and the runs that do
//! it.
//!
//! [`plan`](plan::plan) is a pure function of the inventory, the application's file and the time.
//! It deletes nothing. It needs a complete inventory: if any part cannot be read, there is no plan.

// A new variant makes the compiler ask everywhere.
#![deny(clippy::wildcard_enum_match_arm)]

mod image_graph;
pub mod inventory;
pub mod mentions;
mod order;
pub mod plan;
pub mod policy;
pub mod pullers;
pub mod run;
pub mod weight;
