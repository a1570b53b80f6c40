//! The output of a task: the title of each step, then the time of the step.

use anyhow::Result;
use std::time::{Duration, Instant};

/// Runs one step, and prints its title and its time, even if the step fails.
pub fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {title}");
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "FAILED" };
    println!("    {verdict} in {}", seconds(start.elapsed()));
    result
}

/// Prints a text under the current step.
pub fn note(text: impl AsRef<str>) {
    for line in text.as_ref().lines() {
        println!("    {line}");
    }
}

/// Returns an error with its causes, one per line.
pub fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
}

pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}
