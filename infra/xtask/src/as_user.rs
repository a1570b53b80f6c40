//! The demo as an ordinary user of this machine tells it, where the tests run as root.
//!
//! The user is made for it and removed afterwards. They get a checkout of their own with what is built already, so that
//! nothing is compiled again, and see root's tools through a mount namespace of their own (`infra/xtask/as_user.sh`).

use crate::cloud::xtask;
use crate::image;
use crate::process::{bound, on_path, output, run, spawn, sweep, tail, wait_for};
use crate::step::{note, seconds};
use crate::supervisor::SIMULATED;
use crate::workspace::{root, short, target, tool, tools};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The user's name.
const USER: &str = "stablepin-test";
/// Set for all that runs as that user, so that nothing of it outlives the demo.
const MARK: &str = "STABLEPIN_AS_USER";
/// What the demo reads of a checkout.
const READS: [&str; 7] = [
    "Cargo.lock",
    "template.yaml",
    "samconfig.toml",
    "infra/xtask",
    "target/sam/release",
    "target/workload",
    "target/tools",
];
/// The longest that the demos may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Why root cannot run the demo as another user here, if that is so.
pub(crate) fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make a user".to_owned());
    }
    let programs = ["useradd", "userdel", "unshare", "setpriv", "mount"];
    if let Some(missing) = programs.into_iter().find(|program| on_path(program).is_none()) {
        return Some(format!("{missing} is not installed"));
    }
    let mounts = Command::new("unshare").args(["--mount", "true"]).output();
    (!mounts.is_ok_and(|ran| ran.status.success())).then(|| "no mount namespace can be made".to_owned())
}

/// Tells the story as an ordinary user with the engine that they have, and without any, side by side.
pub fn demos() -> Result<()> {
    if let Some(reason) = impossible() {
        bail!("the demo cannot be told as another user: {reason}");
    }
    // The user cannot compile it where it goes.
    image::file_system()?;
    let user = User::make()?;
    let start = Instant::now();
    let ways = [("any engine", "engine", None), ("no engine", "simulated", Some((SIMULATED, "1")))];
    let mut running = Vec::new();
    for (way, folder, variable) in ways {
        let checkout = user.checkout(folder)?;
        let log = target().join(format!("demo-as-user-{folder}.log"));
        let mut command = user.command(&checkout)?;
        command.envs(variable).arg(checkout.join("xtask")).args(["demo", "--built", "--release"]);
        running.push((way, spawn(command, &log)?, log));
    }
    let mut failed = Vec::new();
    for (way, mut child, log) in running {
        let left = LIMIT.saturating_sub(start.elapsed());
        let status = wait_for("the demo's end", left, || Ok(child.try_wait()?));
        if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            note(format!("with {way}, after {}:", seconds(start.elapsed())));
            note(summary(&fs::read_to_string(&log)?));
        } else {
            failed.push(way);
            note(format!("with {way} it FAILED: {status:?}; all of it: {}", short(&log).display()));
            note(tail(&log, 40));
        }
    }
    user.remove()?;
    if !failed.is_empty() {
        bail!("the demo FAILED for an ordinary user with {}", failed.join(" and with "));
    }
    Ok(())
}

/// What a demo says at its end, and how its tasks ran.
fn summary(log: &str) -> String {
    let tasks = log.lines().find(|line| line.contains("ECS tasks are")).unwrap_or_default();
    let end = log.rsplit_once("\nShown, ").map_or(log, |(_, end)| end);
    format!("{}\nShown, {}", tasks.trim(), end.trim_end())
}

/// A user of this machine, removed when this is dropped.
struct User {
    home: PathBuf,
    removed: bool,
}

impl User {
    fn make() -> Result<Self> {
        if let Ok(home) = home_of(USER) {
            // A test that was killed has left it.
            Self { home, removed: true }.delete()?;
        }
        output(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", USER]))?;
        Ok(Self { home: home_of(USER)?, removed: false })
    }

    /// A checkout of the user's own, of links to what is built here.
    fn checkout(&self, name: &str) -> Result<PathBuf> {
        let checkout = self.home.join(name);
        for path in READS {
            let link = checkout.join(path);
            let folder = link.parent().context("a link has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            symlink(root().join(path), &link).with_context(|| format!("cannot link {}", link.display()))?;
        }
        fs::copy(xtask()?, checkout.join("xtask")).context("cannot copy xtask")?;
        run(Command::new("chown")
            .args(["--recursive", "--no-dereference", &format!("{USER}:")])
            .arg(&checkout))?;
        Ok(checkout)
    }

    /// A command that the user runs, with a program to follow.
    fn command(&self, folder: &Path) -> Result<Command> {
        let mut command = bound("unshare");
        command
            .args(["--mount", "sh"])
            .arg(root().join("infra/xtask/as_user.sh"))
            .arg(USER)
            .arg(self.entries()?);
        let variables = ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].map(|name| (name, env::var_os(name)));
        command
            .env_clear()
            .envs(variables.into_iter().filter_map(|(name, value)| Some((name, value?))))
            .env("RUSTUP_HOME", rustup_home())
            .env("HOME", &self.home)
            .env("USER", USER)
            .env("LOGNAME", USER)
            .env(MARK, &self.home)
            .current_dir(folder);
        Ok(command)
    }

    /// What of root's home the user has to see, one a line.
    fn entries(&self) -> Result<String> {
        let python = tool("python3").canonicalize().context("the tools have no Python")?;
        let python = python.ancestors().nth(2).context("Python is in a folder")?.to_owned();
        let cargo = env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from);
        let all = [cargo.join("bin"), rustup_home(), python, root(), tools().canonicalize()?];
        let mut seen: Vec<_> =
            all.into_iter().filter(|one| one.starts_with(home()) && one.exists()).collect();
        // The outer ones first.
        seen.sort();
        seen.dedup();
        let lines: Vec<_> = seen.iter().map(|one| one.display().to_string()).collect();
        Ok(lines.join("\n"))
    }

    fn remove(mut self) -> Result<()> {
        self.removed = true;
        self.delete()
    }

    fn delete(&self) -> Result<()> {
        sweep(MARK, &self.home)?;
        // Processes that have ended, and that nobody has asked about yet, count as the user's.
        output(Command::new("userdel").args(["--force", "--remove", USER])).map(drop)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = self.delete()
        {
            eprintln!("{error:#}");
        }
    }
}

fn home_of(user: &str) -> Result<PathBuf> {
    let entry = output(Command::new("getent").args(["passwd", user]))?;
    entry.split(':').nth(5).map(PathBuf::from).context("the user has no home")
}

fn home() -> PathBuf {
    env::home_dir().unwrap_or_else(|| PathBuf::from("/root"))
}

fn rustup_home() -> PathBuf {
    env::var_os("RUSTUP_HOME").map_or_else(|| home().join(".rustup"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn summary_tells_how_tasks_ran_and_what_was_shown() {
        let log = "==> Starting\n    http://localhost:1, ECS tasks are containers\n\nShown, with 9 claims:\n  - a;\nTotal: 2 s.\n";
        let expected =
            "http://localhost:1, ECS tasks are containers\nShown, with 9 claims:\n  - a;\nTotal: 2 s.";
        assert_eq!(summary(log), expected);
    }
}
