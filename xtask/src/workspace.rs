//! Paths of the checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns the root of the checkout in which this program was called. Another checkout may have
/// compiled the program.
///
/// # Panics
///
/// Panics outside a checkout. `xtask` calls `find_root` first, and tests run in their package's
/// folder.
pub fn root() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| find_root().unwrap_or_else(|error| panic!("{error:#}"))).clone()
}

/// Finds the checkout that contains the current folder.
pub fn find_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let found = workspace_above(&here).with_context(|| {
        format!("{} is in no checkout of Stablepin: call `cargo xtask` in one", here.display())
    })?;
    Ok(found.to_owned())
}

/// Returns the nearest folder that contains a Cargo workspace with this package: `folder` or one of
/// its parent folders.
fn workspace_above(folder: &Path) -> Option<&Path> {
    folder
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file() && folder.join("xtask/Cargo.toml").is_file())
}

/// Returns the folder for all output of tasks. `cargo clean` removes the folder.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Returns a path as a person at the root of the checkout writes it.
pub fn short(path: &Path) -> &Path {
    let here = std::env::current_dir().is_ok_and(|here| here == root());
    if here { path.strip_prefix(root()).unwrap_or(path) } else { path }
}

/// Returns the folder of the installed tools. It contains the Python environment with MiniStack,
/// SAM and cargo-lambda.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Returns the path of a program in the Python environment of the tools.
pub fn tool(name: &str) -> PathBuf {
    tools().join("venv/bin").join(name)
}

/// Returns the compilation target, which `.cargo/config.toml` names too. With the same target
/// everywhere, the Lambda functions, their tests and the tasks share compiled crates.
pub fn host() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Returns the path of the `xtask` program, also in a test program that uses this library. The
/// running file is not suitable, because cargo replaces that file during `cargo xtask test`.
pub(crate) fn xtask() -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell which program this is")?;
    if this.file_stem().is_some_and(|name| name == "xtask") {
        return Ok(this);
    }
    let found =
        this.ancestors().skip(1).take(2).map(|folder| folder.join("xtask")).find(|file| file.is_file());
    found.context("the xtask program is not built: run `cargo build --package xtask`")
}

#[cfg(test)]
mod tests {
    use super::{root, workspace_above};
    use crate::process::output;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    /// Creates a folder that looks like a checkout. Dropping the value removes the folder.
    fn checkout(name: &str) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        fs::create_dir_all(folder.path().join("xtask")).unwrap();
        fs::create_dir_all(folder.path().join("crates/rules/src")).unwrap();
        for file in ["Cargo.lock", "xtask/Cargo.toml", "crates/rules/Cargo.toml"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn checkout_is_found_from_any_folder_in_it() {
        let checkout = checkout("one");
        for folder in ["", "xtask", "crates/rules/src"] {
            assert_eq!(workspace_above(&checkout.path().join(folder)), Some(checkout.path()), "{folder}");
        }
    }

    #[test]
    fn copied_program_finds_the_checkout_of_its_caller() {
        let other = checkout("other");
        let this = std::env::current_exe().unwrap();
        let copy = other.path().join("copied-test");
        fs::copy(this, &copy).unwrap();
        let printed = output(
            Command::new(copy)
                .args(["--exact", "workspace::tests::program_prints_its_root", "--nocapture"])
                .current_dir(other.path().join("crates/rules")),
        );
        let wanted = format!("root={}", other.path().canonicalize().unwrap().display());
        assert!(printed.unwrap().lines().any(|line| line.contains(&wanted)), "{wanted}");
        assert_ne!(root(), other.path());
    }

    #[test]
    fn program_prints_its_root() {
        println!("root={}", root().display());
        assert!(root().is_absolute());
    }

    #[test]
    fn folder_outside_a_checkout_has_no_root() {
        assert_eq!(workspace_above(Path::new("/")), None);
    }
}
