//! Retention: what may go, and what must not.

pub mod in_use;
