//! Tests of retention plans: properties of every plan, and cases from known mistakes.

#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod corpus;
mod fixtures;
mod plan;
