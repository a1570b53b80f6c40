//! Retention: what may go, and what must not.
