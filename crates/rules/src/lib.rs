//! The rules of Stablepin, as plain data and functions: no I/O, no clock, no environment variables,
//! no logging. The caller passes the time as an argument. The same arguments always give the same
//! decision.

// Forbids `_` match arms on enums. The code then compiles only if every match handles every
// variant.
#![deny(clippy::wildcard_enum_match_arm)]

#[macro_use]
mod text_type;

pub mod application;
pub mod approval;
pub mod audit;
pub mod build_patterns;
pub mod build_tag;
pub mod caller;
pub mod code;
pub mod commit;
pub mod commit8;
pub mod conditions;
pub mod containing_index;
pub mod effect;
pub mod event_time;
pub mod facts;
pub mod image;
pub mod link;
pub mod live_drift;
pub mod mutability;
pub mod name;
pub mod one_line;
pub mod operation_id;
pub mod pattern;
pub mod pending_effects;
pub mod pin_number;
pub mod pipeline_run;
pub mod records;
pub mod refusal;
pub mod shell;
pub mod subscription_status;
pub mod sweep;
pub mod target;
pub mod task_definition;
pub mod topic_policy;
pub mod transition;
pub mod validation;
pub mod words;
