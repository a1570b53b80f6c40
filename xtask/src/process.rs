//! Programs that tasks start, watch and stop.

use crate::step::note;
use crate::workspace::short;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The interval between two checks of a condition.
const POLL: Duration = Duration::from_millis(50);

/// Calls `look` until it returns a value or the time limit has passed.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(POLL);
    }
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns a command that the kernel kills when the thread that started the command ends. Only
/// Linux can do that. On other systems, the result is an ordinary command.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    match on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a long-running program as the head of its own process group. So a stop of the group also
/// stops the program's children, and Ctrl-C in a terminal does not reach them before the clean-up.
pub fn spawn(mut command: Command, log: &Path) -> Result<Child> {
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", typed(&command)))
}

/// Sends SIGTERM to a process group, and SIGKILL after the grace period.
pub fn stop(child: &mut Child, grace: Duration) -> Result<()> {
    let group = pid(child.id())?;
    // An error only means that the group is empty already.
    let _ = kill_process_group(group, Signal::TERM);
    let _ = wait_for("its end", grace, || Ok(child.try_wait()?));
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().context("cannot wait for a child process")?;
    Ok(())
}

/// Sends SIGTERM to one process.
pub fn terminate(id: u32) -> Result<()> {
    let _ = kill_process(pid(id)?, Signal::TERM);
    Ok(())
}

/// Kills every process with this variable in its environment. Returns the number of killed
/// processes.
///
/// The sweep does not rely on recorded process ids, because the system reuses ids. So the sweep
/// also finds processes that a crash left behind.
pub fn sweep(variable: &str, value: impl AsRef<OsStr>) -> Result<usize> {
    let mark = [variable.as_bytes(), b"=", value.as_ref().as_encoded_bytes()].concat();
    kill_where(|process| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark)
    })
}

/// Kills the processes of users with these ids. Returns the number of killed processes.
pub fn sweep_users(ids: &[Range<u32>]) -> Result<usize> {
    kill_where(|process| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        user(&status).is_some_and(|id| ids.iter().any(|range| range.contains(&id)))
    })
}

/// Returns the user id of a process, from its `/proc/…/status`.
fn user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next()?.parse().ok()
}

/// Kills each process whose folder in `/proc` matches. Returns the number of killed processes.
fn kill_where(matches: impl Fn(&Path) -> bool) -> Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if matches(&entry.path()) {
            let _ = kill_process(pid(id)?, Signal::KILL);
            killed += 1;
        }
    }
    Ok(killed)
}

/// Waits for an exclusive lock. Prints a note if another task has the lock. Dropping the file
/// releases the lock.
pub fn lock(file: &Path, what: &str) -> Result<File> {
    let lock = File::create(file).with_context(|| format!("cannot open {}", file.display()))?;
    if lock.try_lock().is_err() {
        note(format!("waiting for another task that is {what}"));
        lock.lock().with_context(|| format!("cannot lock {}", file.display()))?;
    }
    Ok(lock)
}

/// Runs a program to its end, with its output in a log file. An error shows the end of the log.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", typed(command)))?;
    if !status.success() {
        bail!("{}: {status}\n{}\n(all of it: {})", typed(command), tail(log, 40), short(log).display());
    }
    Ok(())
}

/// Runs a program to its end. The program's output goes to this program's output.
pub fn run(command: &mut Command) -> Result<()> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", typed(command)))?;
    if !status.success() {
        bail!("{}: {status}", typed(command));
    }
    Ok(())
}

/// Runs a program to its end. Returns the program's output.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", typed(command)))?;
    if !output.status.success() {
        bail!("{}: {}\n{}", typed(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("a program printed bytes that are not UTF-8")
}

pub fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Returns a command as a person would type it, without its environment.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let bound = words.first().is_some_and(|program| program.ends_with("setpriv"));
    let start = if bound { words.iter().position(|word| word == "--").map_or(0, |at| at + 1) } else { 0 };
    words[start..].join(" ")
}

fn pid(id: u32) -> Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).with_context(|| format!("{id} is no process id"))
}
