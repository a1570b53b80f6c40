//! Retention: the rules that keep or delete the images of a repository, and the runs that apply the
//! rules.
//!
//! [`plan`](plan::plan) is a pure function of the inventory, the application's file and the time. A
//! plan deletes nothing. A plan needs a complete inventory, so there is no plan if any read fails.

// A match without `_` makes the compiler report every place that must handle a new variant.
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
