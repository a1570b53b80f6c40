//! Retention plans that always hold, and past mistakes.

#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod corpus;
mod fixtures;
mod plan;
