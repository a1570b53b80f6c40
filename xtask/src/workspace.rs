//! Where things are in the checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the checkout that this program was called in, whichever checkout compiled it.
///
/// # Panics
///
/// Outside a checkout. `xtask` asks `find_root` first, and tests run in their package's folder.
pub fn root() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| find_root().unwrap_or_else(|error| panic!("{error:#}"))).clone()
}

/// Finds the checkout by the current folder.
pub fn find_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let found = workspace_above(&here).with_context(|| {
        format!("{} is in no checkout of Stablepin: call `cargo xtask` in one", here.display())
    })?;
    Ok(found.to_owned())
}

/// The nearest folder, this one or above, that has a Cargo workspace with this package.
fn workspace_above(folder: &Path) -> Option<&Path> {
    folder
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file() && folder.join("xtask/Cargo.toml").is_file())
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

#[cfg(test)]
mod tests {
    use super::{root, workspace_above};
    use crate::process::output;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    /// A folder that looks like a checkout, gone when this is dropped.
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
    fn a_checkout_is_found_from_any_folder_in_it() {
        let checkout = checkout("one");
        for folder in ["", "xtask", "crates/rules/src"] {
            assert_eq!(workspace_above(&checkout.path().join(folder)), Some(checkout.path()), "{folder}");
        }
    }

    #[test]
    fn a_copied_program_works_in_the_checkout_that_calls_it() {
        let other = checkout("other");
        let this = std::env::current_exe().unwrap();
        let copy = other.path().join("copied-test");
        fs::copy(this, &copy).unwrap();
        let printed = output(
            Command::new(copy)
                .args(["--exact", "workspace::tests::prints_its_root", "--nocapture"])
                .current_dir(other.path().join("crates/rules")),
        );
        let wanted = format!("root={}", other.path().canonicalize().unwrap().display());
        assert!(printed.unwrap().lines().any(|line| line.contains(&wanted)), "{wanted}");
        assert_ne!(root(), other.path());
    }

    #[test]
    fn prints_its_root() {
        println!("root={}", root().display());
        assert!(root().is_absolute());
    }

    #[test]
    fn a_folder_outside_every_checkout_has_no_root() {
        assert_eq!(workspace_above(Path::new("/")), None);
    }
}
