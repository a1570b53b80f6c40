//! The tools of the end-to-end tests.
//!
//! Each test has its own application in the shared stack. The test acts as the application's
//! approver, pipeline and operator.
//!
//! If a step of these tools fails, the test panics at the line that called the tool.

mod against_fakes;
pub mod app;
pub mod boto3;
pub mod browser;
pub mod console;
pub mod crash;
pub mod ecr_fake;
pub mod ecs;
pub mod ecs_fake;
pub mod event;
mod fake;
pub mod faults;
pub mod iam;
mod image;
pub mod isolated;
pub mod link;
pub mod mail;
pub mod plan;
pub mod registry;
pub mod release;
pub mod retention;
pub mod role;
pub mod seed;
pub mod server;
pub mod service;
pub mod sources_fake;
pub mod subscription;
pub mod table;
pub mod template;
pub mod wait;

use std::sync::OnceLock;

use jiff::Timestamp;
use xtask::stack::Stack;

pub use app::App;
pub use console::Console;
pub use image::image;
pub use link::Link;
pub use plan::Plan;
pub use release::Release;
pub use seed::Seed;
pub use service::ContainerService;
pub use wait::until;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod ecs_model;

/// Returns the stack that this process's environment variables describe.
#[track_caller]
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Result<Stack, String>> = OnceLock::new();
    match STACK.get_or_init(|| Stack::from_env().map_err(|error| format!("{error:#}"))) {
        Ok(stack) => stack,
        Err(error) => panic!("{error}"),
    }
}

/// Returns whether `cargo xtask test --deep` runs the tests. Slow tests run only then.
pub fn runs_deep() -> bool {
    std::env::var_os("STABLEPIN_DEEP").is_some()
}

/// Returns a text that makes a name unique among all tests of the stack, including earlier runs.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU16, Ordering};
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let micros = Timestamp::now().as_microsecond() & 0xff_ffff_ffff; // repeats after twelve days
    format!("{micros:010x}{:02x}", COUNT.fetch_add(1, Ordering::Relaxed) & 0xff)
}
