//! The local cloud: MiniStack for the AWS services and Podman for the containers of ECS tasks.
//!
//! Each cloud has one directory, its own ports, and one supervisor that stops it (`supervisor.rs`).

use crate::as_user;
use crate::engine::Engine;
use crate::podman::Podman;
use crate::process::{self, sweep, wait_for};
use crate::supervisor;
use crate::workspace;
use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";

/// The access key of the account's root. It is random for each cloud, so no page and no other
/// program can guess it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RootKey {
    pub access_key: String,
    pub secret_key: String,
}

impl RootKey {
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 46];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.context("cannot read random bytes from /dev/urandom")?;
        let (id, secret) = bytes.split_at(16);
        let letters = id.iter().map(|byte| char::from(ACCESS_KEY_LETTERS[usize::from(byte % 32)]));
        Ok(Self {
            access_key: "AKIA".chars().chain(letters).collect(),
            secret_key: BASE64_STANDARD.encode(secret),
        })
    }
}

const ACCESS_KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The files of one local cloud.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The cloud in `target/{name}`.
    pub fn named(name: &str) -> Self {
        Self(workspace::target().join(name))
    }

    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(name)
    }

    /// The file of `export` lines for a shell, which `Stack::read` also reads.
    pub fn env(&self) -> PathBuf {
        self.0.join("env")
    }

    /// The temporary folder of the cloud's processes, by which they are recognized.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn state(&self) -> PathBuf {
        self.0.join("cloud.json")
    }

    /// The path of the cloud's Unix socket. Such a path has at most 107 bytes.
    pub(crate) fn socket(&self, port: u16) -> PathBuf {
        let inside = self.0.join("podman.sock");
        if inside.as_os_str().len() < 100 {
            inside
        } else {
            std::env::temp_dir().join(format!("stablepin-{port}.sock"))
        }
    }
}

/// The state of a running cloud, stored as `cloud.json` in its directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
    /// Whether the socket belongs to this machine's own engine.
    #[serde(default)]
    pub(crate) machine: bool,
    /// The reason why ECS tasks are simulated, if there is no socket.
    pub(crate) simulated: Option<String>,
    pub(crate) root_key: RootKey,
}

/// A running local cloud. Unless `stay` was called, a cloud that this process started stops when
/// this is dropped, when the process is interrupted, or when it dies.
#[derive(Debug)]
pub struct Cloud {
    home: Home,
    state: State,
    owned: bool,
}

impl Cloud {
    /// Starts a cloud in a directory of the target folder, and first cleans up after a crash.
    pub fn start(home: Home) -> Result<Self> {
        fs::create_dir_all(home.log(""))?;
        if running(&home)? {
            bail!("a local cloud is already running in {}; `cargo xtask down` stops it", home.0.display());
        }
        let log = File::create(home.log("supervisor.log"))?;
        let mut child = Command::new(xtask()?)
            .arg(supervisor::COMMAND)
            .arg(&home.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0) // a terminal's Ctrl-C must not reach the supervisor
            .spawn()
            .context("cannot start the supervisor")?;
        let line = child.stdin.take().context("no pipe to the supervisor")?;
        let answer = child.stdout.take().context("no pipe from the supervisor")?;
        owners().push(Owner { home: home.0.clone(), child, line });

        let mut ready = String::new();
        BufReader::new(answer).read_line(&mut ready).context("cannot read the supervisor's answer")?;
        if ready.trim() != supervisor::READY {
            return Err(disown(&home).err().unwrap_or_else(|| anyhow!("interrupted")))
                .context("it did not start");
        }
        let state = read_state(&home)?;
        Ok(Self { home, state, owned: true })
    }

    /// Returns the cloud that runs in this directory, if there is one.
    pub fn running(home: Home) -> Result<Option<Self>> {
        if !home.0.exists() || !running(&home)? || !home.state().exists() {
            return Ok(None);
        }
        let state = read_state(&home)?;
        Ok(Some(Self { home, state, owned: false }))
    }

    /// Keeps the cloud running after this process ends.
    pub fn stay(mut self) -> Result<()> {
        let mut owners = owners();
        if let Some(at) = owners.iter().position(|owner| owner.home == self.home.0) {
            let mut owner = owners.swap_remove(at);
            writeln!(owner.line, "{}", supervisor::STAY).context("cannot tell the supervisor to stay")?;
        }
        self.owned = false;
        Ok(())
    }

    /// Stops the cloud. Unlike dropping, this returns the error.
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

    /// The value of `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://localhost:{}", self.state.port)
    }

    /// A text for people that says how ECS tasks run here.
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

/// Stops the cloud that runs in a directory, or cleans up after one that crashed there. Returns
/// whether there was one.
pub fn stop(home: &Home) -> Result<bool> {
    if !home.0.exists() {
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

/// Removes the containers, processes and files of a cloud, whether it runs or not. The logs stay.
pub(crate) fn clean(home: &Home) -> Result<()> {
    let podman = Podman::of(&home.0);
    if let Some(podman) = &podman {
        let removed = podman.remove_containers(&home.temporary(), &home.log("podman-rm.log"));
        if let Err(error) = removed {
            eprintln!("containers: {error:#}");
        }
    }
    let state = read_state(home).ok();
    if let Some(State { machine: true, socket: Some(socket), port, .. }) = &state
        && let Err(error) = Engine::new(socket, *port).clean()
    {
        eprintln!("containers: {error:#}");
    }
    sweep("TMPDIR", home.temporary())?;
    if let Some(podman) = &podman {
        unmount(podman.runtime())?;
        unmount(&home.0)?;
        podman.remove_storage(&home.temporary())?;
    }
    if let Some(State { machine: false, socket: Some(socket), .. }) = state {
        let _ = fs::remove_file(socket);
    }
    for entry in fs::read_dir(&home.0)? {
        let entry = entry?;
        if entry.file_name() == "logs" || entry.file_name() == "lock" {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.with_context(|| format!("cannot remove {}", entry.path().display()))?;
    }
    Ok(())
}

/// Unmounts container storage, which cannot be removed while it is mounted.
fn unmount(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| Path::new(point).starts_with(folder));
    // The innermost mounts come first.
    for point in below.collect::<Vec<_>>().into_iter().rev() {
        process::run(Command::new("umount").arg(point))?;
    }
    Ok(())
}

pub(crate) fn write_state(home: &Home, state: &State) -> Result<()> {
    write_private(&home.state(), &serde_json::to_vec_pretty(state)?)
}

/// Writes a file that only this user may read, since it contains the root key.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn read_state(home: &Home) -> Result<State> {
    let text = fs::read(home.state()).context("cannot read cloud.json")?;
    serde_json::from_slice(&text)
        .context("cannot read cloud.json; `cargo xtask down` stops a cloud that another version started")
}

/// Locks a cloud's directory. The supervisor holds the lock as long as it lives, and the system
/// releases it however the supervisor ends. Returns `None` if another process has it.
fn lock(home: &Home) -> Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(home.lock());
    let file = file.context("cannot open the lock")?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the local cloud's directory"),
    }
}

/// Takes the lock, and writes this process's id into it for `stop`.
pub(crate) fn take_lock(home: &Home) -> Result<File> {
    // A process that checks whether a cloud is running holds the lock for a moment too.
    let mut file =
        wait_for("the lock of the local cloud's directory", Duration::from_secs(2), || lock(home))?;
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

fn running(home: &Home) -> Result<bool> {
    Ok(lock(home)?.is_none())
}

/// A running supervisor, which stops when `line` closes.
struct Owner {
    home: PathBuf,
    child: Child,
    line: ChildStdin,
}

static OWNERS: Mutex<Vec<Owner>> = Mutex::new(Vec::new());

fn owners() -> MutexGuard<'static, Vec<Owner>> {
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a supervisor of this process. An error says why it had ended before, or why it could not
/// clean up.
fn disown(home: &Home) -> Result<()> {
    let mut owners = owners();
    let Some(at) = owners.iter().position(|owner| owner.home == home.0) else { return Ok(()) };
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

/// Handles an interrupt: stops every cloud that this process started, deletes the user that it
/// created, and exits. Another thread that ends meanwhile waits, since both stay locked.
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

/// The path of the `xtask` program, also from a test program that uses this library. The running
/// file itself is unsuitable, since cargo replaces it during `cargo xtask test`.
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
    use super::{RootKey, write_private};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn root_key_has_the_form_of_aws_keys_and_is_random() {
        let [one, other] = [(); 2].map(|()| RootKey::random().unwrap());
        for key in [&one, &other] {
            let letters = key.access_key.strip_prefix("AKIA").unwrap();
            assert!(letters.len() == 16 && letters.chars().all(|one| matches!(one, 'A'..='Z' | '2'..='7')));
            assert_eq!(key.secret_key.len(), 40);
            // `env` puts the key between single quotes.
            assert!(!key.secret_key.contains('\''));
        }
        assert_ne!(one.access_key, other.access_key);
        assert_ne!(one.secret_key, other.secret_key);
    }

    #[test]
    fn private_file_is_readable_by_its_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cloud.json");
        write_private(&file, b"{}").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
