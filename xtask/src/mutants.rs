//! `cargo xtask mutants`: checks the tests of the rules. Each rule has a committed patch, which
//! breaks the rule and names the test that must then fail.
//!
//! A test that passes with the patch proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{bound, output, run};
use crate::step::{note, step};
use crate::workspace::{root, target};

/// A patch in `tests/mutants`. Its first lines say what the patch breaks and which test must fail.
struct Mutant {
    name: String,
    patch: PathBuf,
    breaks: String,
    /// The package of the rule, and the name of the package's test program.
    tests: [&'static str; 2],
    killed_by: String,
}

pub fn mutants() -> Result<()> {
    let mutants = read()?;
    let copy = target().join("mutants/workspace");
    step("Copying the workspace", || copy_workspace(&copy))?;
    step("The tests pass without a mutant", || {
        for mutant in &mutants {
            if !passes(&copy, mutant)? {
                bail!("{} fails on the code as it is", mutant.killed_by);
            }
        }
        Ok(())
    })?;
    let mut survived = Vec::new();
    for mutant in &mutants {
        step(&format!("{}: {}", mutant.name, mutant.breaks), || {
            apply(&copy, &mutant.patch, false)?;
            let killed = !passes(&copy, mutant)?;
            apply(&copy, &mutant.patch, true)?;
            note(format!("{} by {}", if killed { "killed" } else { "SURVIVED" }, mutant.killed_by));
            if !killed {
                survived.push(mutant.name.clone());
            }
            Ok(())
        })?;
    }
    if !survived.is_empty() {
        bail!("survived: {}", survived.join(", "));
    }
    println!("\n{} mutants, all killed.", mutants.len());
    Ok(())
}

/// Checks that every patch still applies to the code. Only `cargo xtask mutants` checks that the
/// tests fail.
pub fn all_apply() -> Result<()> {
    for mutant in read()? {
        run(Command::new("git").args(["apply", "--check"]).arg(&mutant.patch).current_dir(root()))
            .with_context(|| format!("{} does not apply: make it anew", mutant.name))?;
    }
    Ok(())
}

fn read() -> Result<Vec<Mutant>> {
    let folder = root().join("tests/mutants");
    let mut mutants = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let patch = entry?.path();
        if patch.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let killed_by = text.lines().find_map(|line| line.strip_prefix("Killed by: "));
        let name = patch.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        mutants.push(Mutant {
            breaks: text.lines().next().unwrap_or_default().to_owned(),
            tests: match text.contains("+++ b/crates/retention/") {
                true => ["stablepin-retention-rules", "retention"],
                false => ["stablepin-rules", "rules"],
            },
            killed_by: killed_by.with_context(|| format!("{name} names no test: `Killed by: …`"))?.to_owned(),
            name,
            patch,
        });
    }
    mutants.sort_by_key(|mutant| mutant.name.trim_start_matches("rule-").parse::<u32>().unwrap_or(u32::MAX));
    Ok(mutants)
}

/// Copies the current files of the workspace, including files that are not committed yet.
fn copy_workspace(to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let listed = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root()),
    )?;
    for file in listed.lines().filter(|file| root().join(file).is_file()) {
        let copy = to.join(file);
        fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
        fs::copy(root().join(file), copy)?;
    }
    Ok(())
}

fn apply(copy: &Path, patch: &Path, back: bool) -> Result<()> {
    let mut git = Command::new("git");
    // The copy is not a repository, and git must not find the repository around it.
    git.env("GIT_CEILING_DIRECTORIES", target().join("mutants")).current_dir(copy).arg("apply");
    if back {
        git.arg("--reverse");
    }
    run(git.arg(patch)).with_context(|| format!("{} does not apply: make it anew", patch.display()))
}

/// Returns whether the mutant's test passes. Code that does not compile is an error and does not
/// count as a failed test.
fn passes(copy: &Path, mutant: &Mutant) -> Result<bool> {
    let ([package, program], test) = (mutant.tests, mutant.killed_by.as_str());
    let cargo = || {
        let mut command = bound("cargo");
        command
            .args(["test", "--quiet", "--package", package, "--test", program])
            .env("CARGO_TARGET_DIR", target().join("mutants/target"))
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .current_dir(copy)
            .stdin(Stdio::null());
        command
    };
    run(cargo().arg("--no-run")).context("it does not compile")?;
    let ran = cargo().args(["--", "--exact", test]).output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    if !said.contains("1 passed") && !said.contains("1 failed") {
        bail!("there is no test {test}");
    }
    Ok(ran.status.success())
}
