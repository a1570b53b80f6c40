//! The process that keeps one local cloud running. The supervisor starts MiniStack and Podman, and
//! reports when both are ready.
//!
//! The supervisor stops and removes everything on request, when its owner has ended, or when
//! MiniStack or Podman ends. The supervisor is a separate process, so the clean-up works even if
//! the owner was killed.

use crate::cloud::clean::clean;
use crate::cloud::home::{Home, RootKey, State, write_state};
use crate::cloud::lock::take_lock;
use crate::engine::{Engine, machine_sockets};
use crate::podman::{self, Podman};
use crate::process::{bound, spawn, stop, tail};
use crate::step::chain;
use crate::workspace::{self, tool};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The hidden subcommand of the supervisor: `xtask supervise-local-cloud DIRECTORY`.
pub const COMMAND: &str = "supervise-local-cloud";
/// The line that the supervisor prints when everything runs.
pub(crate) const READY: &str = "ready";
/// The line that the owner sends so that the cloud keeps running after the owner ends.
pub(crate) const STAY: &str = "stay";

/// The variable that turns containers off, even if a container engine is available.
pub const SIMULATED: &str = "STABLEPIN_SIMULATED";

/// The time in which a child process must end after a request to stop.
const GRACE: Duration = Duration::from_secs(5);
/// The interval between two checks of the children.
const WATCH: Duration = Duration::from_millis(200);

pub fn supervise(folder: &Path) -> Result<()> {
    let home = Home::at(folder);
    let (stop_sender, stop_signal) = channel();
    listen(stop_sender)?;
    let lock = take_lock(&home)?;
    clean(&home).context("cannot clean up after the last one")?;

    let mut children = Vec::new();
    let outcome = start(&home, &mut children, &stop_signal).and_then(|()| {
        // The write fails if the owner has ended. The error is ignored, because the owner's closed
        // pipe also requests a stop.
        let _ = writeln!(std::io::stdout(), "{READY}");
        keep(&mut children, &stop_signal)
    });
    let end = end(&home, &mut children);
    drop(lock);
    outcome.and(end)
}

/// A child process and its name.
type Named = (&'static str, Child);

fn start(home: &Home, children: &mut Vec<Named>, stop_signal: &Receiver<()>) -> Result<()> {
    let temporary = home.temporary();
    for folder in [temporary.clone(), home.folder().join("s3"), home.folder().join("state")] {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let port = free_port()?;
    let (socket, machine, simulated) = match containers(home, port, children) {
        Ok((socket, machine)) => (Some(socket), machine, None),
        Err(error) => (None, false, Some(chain(&error))),
    };
    let state = State { port, socket, machine, simulated, root_key: RootKey::random()? };
    children.push(("ministack", ministack(home, &state)?));
    wait_until_ready(port, children, stop_signal).with_context(|| tail(&home.log("ministack.log"), 20))?;
    write_state(home, &state)
}

/// Finds a container engine that works. Returns its socket, and whether the engine is the machine's
/// own. An error gives the reasons why ECS tasks are simulated.
fn containers(home: &Home, port: u16, children: &mut Vec<Named>) -> Result<(PathBuf, bool)> {
    if std::env::var_os(SIMULATED).is_some() {
        bail!("{SIMULATED} is set");
    }
    let mut reasons = Vec::new();
    match own_podman(home, port, children) {
        Ok(socket) => return Ok((socket, false)),
        Err(error) => reasons.push(format!("Podman: {error:#}")),
    }
    for socket in machine_sockets() {
        let engine = Engine::new(&socket, port);
        match engine.probe().and_then(|()| engine.reaches_registry()) {
            Ok(()) => return Ok((socket, true)),
            Err(error) => reasons.push(format!("{}: {error:#}", socket.display())),
        }
    }
    bail!(reasons.join("\n"))
}

/// Starts Podman in the cloud's directory, as root or as an ordinary user. Returns Podman's socket.
fn own_podman(home: &Home, port: u16, children: &mut Vec<Named>) -> Result<PathBuf> {
    if let Some(reason) = podman::unavailable() {
        bail!(reason);
    }
    let podman = Podman::configure(home.folder(), port)?;
    let socket = home.socket(port);
    let log = home.log("podman.log");
    let mut service = podman.serve(&socket, &home.temporary(), &log)?;
    let serves = podman
        .wait_until_it_serves(&socket, &mut service)
        .with_context(|| tail(&log, 5))
        .and_then(|()| Engine::new(&socket, port).probe());
    if let Err(error) = serves {
        stop(&mut service, GRACE)?;
        return Err(error);
    }
    children.push(("podman", service));
    Ok(socket)
}

/// Starts MiniStack with a new environment, which the Lambda functions inherit.
fn ministack(home: &Home, state: &State) -> Result<Child> {
    let port = state.port.to_string();
    let mut command = bound(tool("python3"));
    // `-B` keeps bytecode files out of the checkout.
    command.arg("-B").arg(workspace::root().join("xtask/emulator"));
    if state.machine {
        command.arg("--machine-engine");
    }
    // If `DOCKER_HOST` is not set, MiniStack searches for Docker itself. So without containers,
    // `DOCKER_HOST` names a socket that does not exist.
    let socket = state.socket.clone().unwrap_or_else(|| home.folder().join("no-containers.sock"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.folder())
        .env("TMPDIR", home.temporary())
        .env("STATE_DIR", home.folder().join("state"))
        .env("S3_DATA_DIR", home.folder().join("s3"))
        .env("PYTHONUNBUFFERED", "1")
        .env("AUTH", "true") // IAM is enforced
        .env("LAMBDA_EXECUTOR", "local") // functions are processes, not containers
        .env("BIND_HOST", "127.0.0.1")
        .env("IOT_MTLS_ENABLED", "false") // with it, MiniStack would use a fixed port on every interface
        .env("GATEWAY_PORT", &port)
        // On AWS, the Lambda functions log at the stack's LogLevel. In the local cloud, they log at
        // the most detailed level, so that the tests find every logged secret.
        .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        // The Lambda functions inherit this variable. Without the variable, they would call AWS.
        .env("AWS_ENDPOINT_URL", format!("http://localhost:{port}"))
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("AWS_ACCESS_KEY_ID", &state.root_key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &state.root_key.secret_key)
        .current_dir(home.folder());
    spawn(command, &home.log("ministack.log"))
}

fn wait_until_ready(port: u16, children: &mut [Named], stop_signal: &Receiver<()>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready(port) {
        if Instant::now() > deadline {
            bail!("MiniStack is not ready after a minute");
        }
        check(children)?;
        match stop_signal.recv_timeout(Duration::from_millis(50)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => bail!("stopped while starting"),
        }
    }
    Ok(())
}

fn ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream
            .write_all(b"GET /_ministack/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// Waits until a stop is requested or a child process ends.
fn keep(children: &mut [Named], stop_signal: &Receiver<()>) -> Result<()> {
    loop {
        match stop_signal.recv_timeout(WATCH) {
            Err(RecvTimeoutError::Timeout) => check(children)?,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn check(children: &mut [Named]) -> Result<()> {
    for (name, child) in children {
        if let Some(status) = child.try_wait()? {
            bail!("{name} has ended by itself: {status}");
        }
    }
    Ok(())
}

fn end(home: &Home, children: &mut Vec<Named>) -> Result<()> {
    // The child processes stop in reverse order, because MiniStack would restart the containers
    // that the clean-up removes.
    for (_, mut child) in children.drain(..).rev() {
        stop(&mut child, GRACE)?;
    }
    clean(home)
}

/// Requests a stop on a signal, or when the owner's pipe closes without `STAY`.
fn listen(sender: Sender<()>) -> Result<()> {
    let signal = sender.clone();
    ctrlc::set_handler(move || {
        let _ = signal.send(());
    })
    .context("cannot handle signals")?;
    std::thread::spawn(move || {
        let mut word = String::new();
        let read = std::io::stdin().lock().read_line(&mut word);
        if read.is_err() || word.trim() != STAY {
            let _ = sender.send(());
        }
    });
    Ok(())
}

/// Returns a free port whose subnet (`10.{high}.{low}.0/24`) this machine does not use yet.
fn free_port() -> Result<u16> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    for _ in 0..50 {
        let port = crate::port::free().context("no free port")?;
        if !routes.lines().skip(1).any(|route| covers(route, port)) {
            return Ok(port);
        }
    }
    bail!("no port whose subnet is free: this machine routes all of 10.0.0.0/8")
}

/// Returns whether a line of `/proc/net/route` covers the port's subnet. The default route does not
/// count.
fn covers(route: &str, port: u16) -> bool {
    let mut fields = route.split_whitespace();
    let hex =
        |field: Option<&str>| field.and_then(|text| u32::from_str_radix(text, 16).ok()).map(u32::swap_bytes);
    let (Some(destination), Some(mask)) = (hex(fields.nth(1)), hex(fields.nth(5))) else { return false };
    let subnet = (10 << 24) | (u32::from(port) << 8);
    let narrower = mask & 0xffff_ff00;
    mask != 0 && subnet & narrower == destination & narrower
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn every_route_except_the_default_covers_its_subnet() {
        let port = 0x8102; // 10.129.2.0/24
        let route = |destination: &str, mask: &str| {
            format!("eth0\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0")
        };
        assert!(covers(&route("0000000A", "000000FF"), port), "10.0.0.0/8");
        assert!(covers(&route("0002810A", "00FFFFFF"), port), "10.129.2.0/24");
        assert!(covers(&route("8002810A", "80FFFFFF"), port), "10.129.2.128/25");
        assert!(!covers(&route("0003810A", "00FFFFFF"), port), "10.129.3.0/24");
        assert!(!covers(&route("00000000", "00000000"), port), "the default route");
    }
}
