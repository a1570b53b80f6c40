//! Builds the bench's own programs, which are Cargo examples.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{bound, run};
use crate::workspace::{host, root, target};

pub(super) fn build() -> Result<()> {
    let mut cargo = bound("cargo");
    // cargo runs in the folder of the Lambda function, as under SAM. Only `.cargo/config.toml` in
    // that folder optimizes for speed.
    cargo.current_dir(root().join("functions/retention")).args(["build", "--quiet", "--release"]);
    cargo.args(["--package", "stablepin-retention", "--example", "plan"]);
    run(cargo.args(["--package", "stablepin-tests", "--example", "registry"]))
}

/// Returns the path of a program that is a Cargo example.
pub(super) fn example(name: &str) -> PathBuf {
    target().join(host()).join("release/examples").join(name)
}
