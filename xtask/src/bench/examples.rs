//! Builds the bench's own programs, which are Cargo examples.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{bound, run};
use crate::workspace::{host, root, target};

/// Builds the programs, each in the folder of its Lambda function.
pub(super) fn build() -> Result<()> {
    let mut cargo = bound("cargo");
    cargo.current_dir(root().join("functions/promoter")).args(["build", "--quiet", "--release"]);
    run(cargo.args(["--package", "stablepin-promoter", "--example", "copy"]))?;
    let mut cargo = bound("cargo");
    // cargo runs in the folder of the Lambda function, as under SAM. Only `.cargo/config.toml` in
    // that folder optimizes for speed.
    cargo.current_dir(root().join("functions/retention")).args(["build", "--quiet", "--release"]);
    cargo.args(["--package", "stablepin-retention", "--example", "plan"]);
    cargo.args(["--package", "stablepin-tests", "--example", "registry", "--example", "layers"]);
    run(&mut cargo)
}

/// Returns the path of a program that is a Cargo example.
pub(super) fn example(name: &str) -> PathBuf {
    target().join(host()).join("release/examples").join(name)
}
