//! `cargo xtask test`: all that CI runs.
