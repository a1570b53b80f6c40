//! Checks the dependencies against `deny.toml`.

use crate::process::bound;
use crate::workspace::{root, tool};
use std::path::Path;
use std::process::{Command, Stdio};

/// Returns a command that checks the crates of the workspace in `folder` against `deny.toml`.
///
/// The command does not check for known vulnerabilities. A workflow in `.github/` does, because the
/// list of vulnerabilities comes from GitHub.
pub(super) fn check(folder: &Path) -> Command {
    let mut command = bound(tool("cargo-deny"));
    command.args(["--locked", "--config"]).arg(root().join("deny.toml"));
    command.args(["check", "bans", "licenses", "sources"]).current_dir(folder).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::root;
    use std::fs;
    use std::process::Command;
    use tempfile::TempDir;

    /// Creates a workspace of two packages: `caller`, and its dependency, which has the name of an
    /// SDK crate.
    fn workspace(caller: &str, license: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let needs = "[dependencies]\naws-sdk-ecr.path = \"../aws-sdk-ecr\"\n";
        for (name, needs) in [(caller, needs), ("aws-sdk-ecr", "")] {
            fs::create_dir_all(folder.path().join(name).join("src")).unwrap();
            fs::write(folder.path().join(name).join("src/lib.rs"), "").unwrap();
            let manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nlicense = \"{license}\"\npublish = false\n{needs}"
            );
            fs::write(folder.path().join(name).join("Cargo.toml"), manifest).unwrap();
        }
        fs::write(folder.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n")
            .unwrap();
        let mut lock = Command::new("cargo");
        assert!(
            lock.args(["generate-lockfile", "--offline"]).current_dir(&folder).status().unwrap().success()
        );
        folder
    }

    /// Returns whether the check passes, and the output of the check.
    fn checked(caller: &str, license: &str) -> (bool, String) {
        let output = check(workspace(caller, license).path()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("bans "), "run `cargo xtask setup` first: {said}");
        (output.status.success(), said)
    }

    #[test]
    fn only_stablepin_aws_may_depend_on_an_sdk_crate() {
        assert!(checked("stablepin-aws", "Apache-2.0").0);
        let (passes, said) = checked("stablepin-rules", "Apache-2.0");
        assert!(!passes && said.contains("AWS is called through stablepin-aws"), "{said}");
    }

    #[test]
    fn check_refuses_a_license_that_is_not_listed() {
        let (passes, said) = checked("stablepin-aws", "AGPL-3.0");
        assert!(!passes && said.contains("AGPL-3.0"), "{said}");
    }

    #[test]
    fn deny_toml_bans_every_sdk_crate() {
        let table =
            |file: &str| fs::read_to_string(root().join(file)).unwrap().parse::<toml::Table>().unwrap();
        let (manifest, deny) = (table("Cargo.toml"), table("deny.toml"));
        let bans = deny["bans"]["deny"].as_array().unwrap();
        let sdk = manifest["workspace"]["dependencies"].as_table().unwrap().keys();
        for name in sdk.filter(|name| name.starts_with("aws-sdk-")) {
            assert!(bans.iter().any(|ban| ban["crate"].as_str() == Some(name)), "deny.toml lacks {name}");
        }
    }
}
