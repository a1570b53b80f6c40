//! Where things are in the checkout.

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// Everything that tasks make is in here, and `cargo clean` removes it.
pub fn target() -> PathBuf {
    root().join("target")
}

/// A path as a person at the root of the checkout writes it.
pub fn short(path: &Path) -> &Path {
    let here = std::env::current_dir().is_ok_and(|here| here == root());
    if here { path.strip_prefix(root()).unwrap_or(path) } else { path }
}

/// The Python environment with MiniStack, SAM and cargo-lambda.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// A program of that environment.
pub fn tool(name: &str) -> PathBuf {
    tools().join("venv/bin").join(name)
}

/// The target that everything is compiled for, so that the functions, their tests and the tasks
/// share what is compiled: `.cargo/config.toml` says the same.
pub fn host() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}
