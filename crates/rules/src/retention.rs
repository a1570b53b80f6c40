//! What of a repository may go: every image, with the rule that keeps it or lets it go; and the runs that carry it out.
//!
//! [`plan`](plan::plan) is a pure function of what was read, what the application's file says, and the time. It deletes
//! nothing, and knows of nothing that was not read: whoever could not read a part of the inventory makes no plan.

pub mod inventory;
pub mod plan;
pub mod policy;
pub mod pullers;
pub mod run;
pub mod sources;
pub mod weight;

mod needed;
mod order;
