//! Runs the demo as an ordinary user of this machine, for tests that run as root.
//!
//! The tests create the user and delete it afterwards. The user gets a checkout with finished
//! builds, so that nothing is compiled again. In a mount namespace (`xtask/as_user.sh`), the user
//! can also read root's checkout and tools.

mod user;
mod view;

pub(crate) use user::made;

use crate::process::{bound, on_path, output, run, spawn, tail, wait_for};
use crate::step::{note, seconds};
use crate::supervisor::SIMULATED;
use crate::workspace::{root, short, target, tool, tools, xtask};
use crate::{demo, image};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use user::{MARK, Made, USER};
use view::View;

/// The files of a checkout that the demo reads.
const READS: [&str; 7] = [
    "Cargo.lock",
    "template.yaml",
    "samconfig.toml",
    "xtask",
    "target/sam/release",
    "target/workload",
    "target/tools",
];
/// The copy of this program in the user's checkout. The name `xtask` already belongs to a folder.
const PROGRAM: &str = "bin/xtask";
/// Paths of a checkout that the user must be able to use. Before each path is the operator with
/// which `test` checks the path.
const PROBES: [(&str, &str); 10] = [
    ("-r", "Cargo.lock"),
    ("-r", "template.yaml"),
    ("-r", "samconfig.toml"),
    ("-r", "xtask/overlay.yaml"),
    ("-x", "xtask/emulator"),
    ("-x", "target/sam/release"),
    ("-x", "target/workload"),
    ("-x", "target/tools"),
    ("-x", "target/tools/venv/bin"),
    ("-x", "target/tools/venv/bin/python3"),
];
/// A shell script that prints each path for which the operator before the path is false.
const PROBE: &str = r#"while [ $# -gt 0 ]; do test "$1" "$2" || echo "$2"; shift 2; done"#;
/// The time limit of the two demos together.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Returns why root cannot run the demo as another user here, or `None` if root can.
fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make a user".to_owned());
    }
    let programs = ["useradd", "userdel", "getent", "unshare", "setpriv", "mount"];
    if let Some(missing) = programs.into_iter().find(|program| on_path(program).is_none()) {
        return Some(format!("{missing} is not installed"));
    }
    let mounts = Command::new("unshare").args(["--mount", "true"]).output();
    (!mounts.is_ok_and(|ran| ran.status.success())).then(|| "no mount namespace can be made".to_owned())
}

/// Runs the demo as an ordinary user, twice in parallel: with the user's container engine, and
/// without a container engine. Returns the reason if this machine cannot run the demos.
pub fn demos() -> Result<Option<String>> {
    if let Some(reason) = impossible() {
        return Ok(Some(reason));
    }
    // This process compiles the workload and the demo program, because the user cannot compile.
    image::file_system()?;
    demo::compile()?;
    let user = Made::new()?;
    let ways = [("any engine", "engine", None), ("no engine", "simulated", Some((SIMULATED, "1")))];
    let mut commands = Vec::new();
    for (way, folder, variable) in ways {
        let checkout = checkout(user.home(), folder)?;
        if let Some(reason) = closed(user.home(), &checkout)? {
            user.delete()?;
            return Ok(Some(reason));
        }
        let mut command = command(user.home(), &checkout)?;
        command.envs(variable).arg(checkout.join(PROGRAM)).args(["demo", "--built", "--release"]);
        commands.push((way, command, target().join(format!("demo-as-user-{folder}.log"))));
    }
    let start = Instant::now();
    let mut running = Vec::new();
    for (way, command, log) in commands {
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
    user.delete()?;
    if !failed.is_empty() {
        bail!("the demo FAILED for an ordinary user with {}", failed.join(" and with "));
    }
    Ok(None)
}

/// Returns the last lines of a demo's log, and the line that says how ECS tasks ran.
fn summary(log: &str) -> String {
    let tasks = log.lines().find(|line| line.contains("ECS tasks are")).unwrap_or_default();
    let end = log.rsplit_once("\nShown, ").map_or(log, |(_, end)| end);
    format!("{}\nShown, {}", tasks.trim(), end.trim_end())
}

/// Creates the user's checkout, which links to the builds in this checkout.
fn checkout(home: &Path, name: &str) -> Result<PathBuf> {
    let checkout = home.join(name);
    for path in READS {
        let link = checkout.join(path);
        let folder = link.parent().context("a link has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        symlink(root().join(path), &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    fs::create_dir_all(checkout.join("bin")).context("cannot make the folder of xtask")?;
    let xtask = xtask()?;
    fs::copy(&xtask, checkout.join(PROGRAM)).context("cannot copy xtask")?;
    let (story, copy) = (xtask.with_file_name(demo::PROGRAM), checkout.join("bin").join(demo::PROGRAM));
    fs::copy(story, copy).context("cannot copy the demo's story")?;
    run(Command::new("chown").args(["--recursive", "--no-dereference", &format!("{USER}:")]).arg(&checkout))?;
    Ok(checkout)
}

/// Returns a command that runs a program as the user in a folder. The caller adds the program.
fn command(home: &Path, folder: &Path) -> Result<Command> {
    let view = View::of(&needed(home)?);
    let mut command = bound("unshare");
    command.args(["--mount", "sh"]).arg(root().join("xtask/as_user.sh")).arg(USER).args(view.lines());
    let variables = ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].map(|name| (name, env::var_os(name)));
    command
        .env_clear()
        .envs(variables.into_iter().filter_map(|(name, value)| Some((name, value?))))
        .env("RUSTUP_HOME", rustup_home())
        .env("HOME", home)
        .env("USER", USER)
        .env("LOGNAME", USER)
        .env(MARK, home)
        .current_dir(folder);
    Ok(command)
}

/// Returns the files and folders that the user must be able to read.
fn needed(home: &Path) -> Result<Vec<PathBuf>> {
    let python = tool("python3").canonicalize().context("the tools have no Python")?;
    let python = python.ancestors().nth(2).context("Python is in a folder")?.to_owned();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| cargo_home(".cargo"), PathBuf::from);
    let mut needed = vec![home.to_owned(), cargo.join("bin"), rustup_home(), python, tools()];
    needed.extend(READS.map(|path| root().join(path)));
    Ok(needed)
}

/// Returns why the user cannot use this checkout, or `None` if the user can. A [`View`] opens the
/// folders above a file, but not the file itself.
fn closed(home: &Path, checkout: &Path) -> Result<Option<String>> {
    let mut command = command(home, checkout)?;
    command.args(["sh", "-c", PROBE, "sh"]);
    for (test, path) in PROBES.into_iter().filter(|(_, path)| root().join(path).exists()) {
        command.args([test, path]);
    }
    Ok(reason_closed(&output(&mut command)?))
}

/// Returns a reason with the paths that the probe printed, or `None` if the probe printed no path.
fn reason_closed(printed: &str) -> Option<String> {
    let paths: Vec<_> = printed.lines().collect();
    let verb = if paths.len() == 1 { "is" } else { "are" };
    let list = paths.join(", ");
    (!paths.is_empty()).then(|| format!("in {}, {list} {verb} closed to other users", root().display()))
}

/// Returns the default folder of cargo or of rustup.
fn cargo_home(name: &str) -> PathBuf {
    env::home_dir().unwrap_or_else(|| PathBuf::from("/root")).join(name)
}

fn rustup_home() -> PathBuf {
    env::var_os("RUSTUP_HOME").map_or_else(|| cargo_home(".rustup"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::{PROBE, reason_closed, summary};
    use crate::process::output;
    use std::fs;
    use std::process::Command;

    #[test]
    fn probe_prints_files_that_the_user_cannot_use() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("python3"), "").unwrap();
        let mut command = Command::new("sh");
        command.current_dir(&folder).args(["-c", PROBE, "sh", "-r", "python3", "-x", "python3", "-x", "."]);
        let reason = reason_closed(&output(&mut command).unwrap()).unwrap();
        assert!(reason.ends_with(", python3 is closed to other users"), "{reason}");
        assert_eq!(reason_closed(""), None);
    }

    #[test]
    fn summary_shows_the_claims_and_how_ecs_tasks_ran() {
        let log = "==> Starting\n    http://localhost:1, ECS tasks are containers\n\nShown, with 9 claims:\n  - a;\nTotal: 2 s.\n";
        let expected =
            "http://localhost:1, ECS tasks are containers\nShown, with 9 claims:\n  - a;\nTotal: 2 s.";
        assert_eq!(summary(log), expected);
    }
}
