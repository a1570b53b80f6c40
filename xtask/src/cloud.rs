//! The local cloud: MiniStack for the AWS services, and Podman for the containers of ECS tasks.
//!
//! Each cloud has one directory, its own ports, and one supervisor that stops the cloud
//! (`supervisor.rs`).

pub(crate) mod clean;
pub(crate) mod home;
pub(crate) mod lock;

pub(crate) use home::write_private;
pub use home::{Home, RootKey};

use crate::as_user;
use crate::process::{self, wait_for};
use crate::supervisor;
use crate::workspace::xtask;
use anyhow::{Context, Result, anyhow, bail};
use clean::clean;
use home::{State, read_state};
use lock::{lock, running};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";

/// A running local cloud. A cloud that this process started stops when the value is dropped, or
/// when the process is interrupted or killed. After a call to `stay`, such a cloud keeps running.
#[derive(Debug)]
pub struct Cloud {
    home: Home,
    state: State,
    owned: bool,
}

impl Cloud {
    /// Starts a cloud in a directory of the target folder. First cleans up after a crashed cloud.
    pub fn start(home: Home) -> Result<Self> {
        fs::create_dir_all(home.log(""))?;
        if running(&home)? {
            bail!(
                "a local cloud is already running in {}; `cargo xtask down` stops it",
                home.folder().display()
            );
        }
        let log = File::create(home.log("supervisor.log"))?;
        let mut child = Command::new(xtask()?)
            .arg(supervisor::COMMAND)
            .arg(home.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0) // a terminal's Ctrl-C must not reach the supervisor
            .spawn()
            .context("cannot start the supervisor")?;
        let line = child.stdin.take().context("no pipe to the supervisor")?;
        let answer = child.stdout.take().context("no pipe from the supervisor")?;
        owners().push(Owner { home: home.folder().to_owned(), child, line });

        let mut ready = String::new();
        BufReader::new(answer).read_line(&mut ready).context("cannot read the supervisor's answer")?;
        if ready.trim() != supervisor::READY {
            return Err(disown(&home).err().unwrap_or_else(|| anyhow!("interrupted")))
                .context("it did not start");
        }
        let state = read_state(&home)?;
        Ok(Self { home, state, owned: true })
    }

    /// Returns the cloud that runs in this directory, or `None` if no cloud runs.
    pub fn running(home: Home) -> Result<Option<Self>> {
        if !home.folder().exists() || !running(&home)? || !home.state().exists() {
            return Ok(None);
        }
        let state = read_state(&home)?;
        Ok(Some(Self { home, state, owned: false }))
    }

    /// Keeps the cloud running after this process ends.
    pub fn stay(mut self) -> Result<()> {
        let mut owners = owners();
        if let Some(at) = owners.iter().position(|owner| owner.home == self.home.folder()) {
            let mut owner = owners.swap_remove(at);
            writeln!(owner.line, "{}", supervisor::STAY).context("cannot tell the supervisor to stay")?;
        }
        self.owned = false;
        Ok(())
    }

    /// Stops the cloud. Returns the error if that fails, while dropping the value only prints the
    /// error.
    pub fn stop(mut self) -> Result<()> {
        self.owned = false;
        disown(&self.home)
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn port(&self) -> u16 {
        self.state.port
    }

    pub fn root_key(&self) -> &RootKey {
        &self.state.root_key
    }

    /// Returns the value of `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.state.port)
    }

    /// Returns a text for people that says how ECS tasks run in this cloud.
    pub fn tasks(&self) -> String {
        match (&self.state.simulated, &self.state.socket) {
            (None, Some(socket)) if self.state.machine => {
                format!("ECS tasks are containers of the engine at {}", socket.display())
            }
            (None, _) => "ECS tasks are containers".to_owned(),
            (Some(reason), _) => format!("ECS tasks are SIMULATED, no container runs: {reason}"),
        }
    }

    pub(crate) fn socket(&self) -> Option<&Path> {
        self.state.socket.as_deref()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = disown(&self.home)
        {
            eprintln!("{error:#}");
        }
    }
}

/// Stops the cloud that runs in a directory, or cleans up after a crashed cloud. Returns whether
/// there was a cloud.
pub fn stop(home: &Home) -> Result<bool> {
    if !home.folder().exists() {
        return Ok(false);
    }
    if let Some(_lock) = lock(home)? {
        let crashed = home.state().exists();
        clean(home)?;
        return Ok(crashed);
    }
    let supervisor = wait_for("the supervisor's id", Duration::from_secs(5), || {
        Ok(fs::read_to_string(home.lock())?.parse().ok())
    })?;
    process::terminate(supervisor)?;
    wait_for("the end of the local cloud", Duration::from_secs(60), || Ok((!running(home)?).then_some(())))?;
    Ok(true)
}

/// A running supervisor. The supervisor stops when `line` closes.
struct Owner {
    home: PathBuf,
    child: Child,
    line: ChildStdin,
}

static OWNERS: Mutex<Vec<Owner>> = Mutex::new(Vec::new());

fn owners() -> MutexGuard<'static, Vec<Owner>> {
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a supervisor that this process started. An error says why the supervisor had already ended,
/// or why the supervisor could not clean up.
fn disown(home: &Home) -> Result<()> {
    let mut owners = owners();
    let Some(at) = owners.iter().position(|owner| owner.home == home.folder()) else { return Ok(()) };
    let status = owners.swap_remove(at).end()?;
    if !status.success() {
        bail!("the local cloud:\n{}", process::tail(&home.log("supervisor.log"), 40));
    }
    Ok(())
}

impl Owner {
    fn end(self) -> Result<ExitStatus> {
        let Self { mut child, line, .. } = self;
        drop(line);
        child.wait().context("cannot wait for the supervisor")
    }
}

/// Handles an interrupt: stops every cloud that this process started, deletes the user that this
/// process created, and exits. The locks of the clouds and of the user are kept until the exit, so
/// a thread that ends meanwhile waits.
pub fn stop_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        let mut owners = owners();
        if !owners.is_empty() {
            eprintln!("\ninterrupted: stopping the local cloud");
        }
        for owner in owners.drain(..) {
            if let Err(error) = owner.end() {
                eprintln!("{error:#}");
            }
        }
        let mut made = as_user::made();
        if let Some(user) = made.take() {
            eprintln!("\ninterrupted: deleting the user of the tests");
            if let Err(error) = user.delete() {
                eprintln!("{error:#}");
            }
        }
        std::process::exit(130);
    })
    .context("cannot handle interrupts")
}
