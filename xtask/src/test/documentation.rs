//! Checks that the documentation of the code has no broken link.

use crate::process::bound;
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns a command that fails if rustdoc warns about the workspace in `folder`, including its
/// private items. The command shares compiled dependencies with clippy.
pub(super) fn check(folder: &Path) -> Command {
    let mut command = bound("cargo");
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "--deny warnings").current_dir(folder).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::fs;

    #[test]
    fn documentation_check_fails_on_a_broken_link() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        let manifest = "[package]\nname = \"documented\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        let documented = |comment: &str| {
            fs::write(folder.path().join("src/lib.rs"), format!("//! {comment}\n\nfn found() {{}}\n"))
                .unwrap();
            let output =
                check(folder.path()).env("CARGO_TARGET_DIR", folder.path().join("target")).output().unwrap();
            (output.status.success(), String::from_utf8(output.stderr).unwrap())
        };
        assert!(documented("See [`crate`].").0);
        let (passes, said) = documented("See [`lost`].");
        assert!(!passes && said.contains("unresolved link to `lost`"), "{said}");
    }
}
