//! The tools of the end-to-end tests.
//!
//! Each test has its own application in the shared stack, and acts as its approver, pipeline and
//! operator.
//!
//! A broken fixture fails the story, with the line of the story that used it.

mod against_fakes;
pub mod app;
pub mod browser;
pub mod console;
pub mod crash;
pub mod ecr_fake;
pub mod ecs_fake;
pub mod event;
mod fake;
pub mod faults;
mod image;
pub mod isolated;
pub mod link;
pub mod mail;
pub mod plan;
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

/// Returns the stack that the environment of this process names.
#[track_caller]
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Result<Stack, String>> = OnceLock::new();
    match STACK.get_or_init(|| Stack::from_env().map_err(|error| format!("{error:#}"))) {
        Ok(stack) => stack,
        Err(error) => panic!("{error}"),
    }
}

/// Whether `cargo xtask test --deep` runs this. Slow tests run only then.
pub fn runs_deep() -> bool {
    std::env::var_os("STABLEPIN_DEEP").is_some()
}

/// Returns a part of a name that no other test has, and no earlier run in the same stack.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU16, Ordering};
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let micros = Timestamp::now().as_microsecond() & 0xff_ffff_ffff; // repeats after twelve days
    format!("{micros:010x}{:02x}", COUNT.fetch_add(1, Ordering::Relaxed) & 0xff)
}
