//! `cargo xtask setup`: installs the tools that the other tasks use. The task is quick if the tools
//! exist already.

mod browser;
mod stamp;

use crate::podman;
use crate::process::{lock, on_path, output, run_logged};
use crate::step::{note, step};
use crate::workspace::{root, tool, tools};
use anyhow::{Context, Result};
use stamp::stamp_of;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages of Podman. With `uidmap` an ordinary user can run Podman too.
const PODMAN_PACKAGES: [&str; 6] = ["podman", "runc", "netavark", "aardvark-dns", "iptables", "uidmap"];
/// The name of Chromium in Debian.
const CHROMIUM: &str = "chromium";
/// The packages of Chromium. Without a font, Chromium shows boxes instead of letters.
const CHROMIUM_PACKAGES: [&str; 2] = [CHROMIUM, "fonts-liberation"];

pub fn setup() -> Result<()> {
    fs::create_dir_all(tools())?;
    // Two tasks, for example tasks of two clouds, must not install at the same time.
    let _lock = lock(&tools().join("lock"), "installing the tools")?;
    python_tools()?;
    containers()
}

/// Installs the browser for the tests of the pages. Returns the reason if the browser cannot be
/// installed.
pub fn browser() -> Result<Option<String>> {
    fs::create_dir_all(tools())?;
    let _lock = lock(&tools().join("lock"), "installing the tools")?;
    accessibility_checks()?;
    if chromium().is_some() {
        return Ok(None);
    }
    let title = "Installing Chromium, in which the pages are tested";
    if may_install().is_ok() {
        match step(title, || install(&CHROMIUM_PACKAGES)) {
            Ok(()) => return Ok(None),
            Err(error) => note(format!("{error:#}")),
        }
    }
    match browser::unavailable() {
        Some(reason) => Ok(Some(format!(
            "there is no Chromium; {reason}. As root on Debian: apt-get install {}",
            CHROMIUM_PACKAGES.join(" ")
        ))),
        None => step(&format!("{title}, from npm (70 MB)"), browser::install).map(|()| None),
    }
}

/// Returns the path of Debian's Chromium, or of the Chromium that this task installed.
pub fn chromium() -> Option<PathBuf> {
    on_path(CHROMIUM).or_else(browser::installed)
}

/// Installs axe-core, as a part of a Python package.
fn accessibility_checks() -> Result<()> {
    let pinned = root().join("xtask/axe.txt");
    let wanted = fs::read_to_string(&pinned).context("cannot read axe.txt")?;
    let stamp = axe_folder().join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if axe_folder().exists() {
        fs::remove_dir_all(axe_folder()).context("cannot remove the old axe-core")?;
    }
    let mut command = pip_install(&tool("pip"), &pinned);
    run_logged(command.arg("--target").arg(axe_folder()), &tools().join("axe.log"))?;
    fs::write(&stamp, &wanted).context("cannot write the stamp")
}

fn axe_folder() -> PathBuf {
    tools().join("axe")
}

/// Returns the path of the script of axe-core.
pub fn axe() -> PathBuf {
    axe_folder().join("axe_playwright_python/axe.min.js")
}

/// Installs MiniStack, SAM, cargo-lambda and zig.
fn python_tools() -> Result<()> {
    let title = "Installing MiniStack, SAM CLI and cargo-lambda into target/tools (800 MB, a minute or two)";
    environment("requirements.txt", "venv", "installed.txt", title)
}

/// Installs the tools that `cargo xtask bench` compares with Stablepin.
pub fn peers() -> Result<()> {
    fs::create_dir_all(tools())?;
    let _lock = lock(&tools().join("lock"), "installing the tools")?;
    let title = "Installing ecr-cleaner and aws-ecr-cleanup into target/tools (70 MB)";
    environment("peers.txt", "peers", "peers-installed.txt", title)
}

/// Installs skopeo, with which `cargo xtask bench` compares copies. Returns the reason if skopeo
/// cannot be installed.
pub fn skopeo() -> Result<Result<(), String>> {
    if on_path("skopeo").is_some() {
        return Ok(Ok(()));
    }
    fs::create_dir_all(tools())?;
    let _lock = lock(&tools().join("lock"), "installing the tools")?;
    if let Err(reason) = may_install() {
        return Ok(Err(reason.to_owned()));
    }
    let installed = step("Installing skopeo, with which copies are compared", || install(&["skopeo"]));
    Ok(installed.map_err(|error| format!("{error:#}")))
}

/// Returns the path of a program that [`peers`] installs.
pub fn peer(name: &str) -> PathBuf {
    tools().join("peers/bin").join(name)
}

/// Installs a Python environment below `target/tools`, with exactly the versions and hashes in the
/// file `list`.
fn environment(list: &str, folder: &str, stamp: &str, title: &str) -> Result<()> {
    let pinned = root().join("xtask").join(list);
    let wanted = fs::read_to_string(&pinned).with_context(|| format!("cannot read {list}"))?;
    // The installed scripts contain this path. A link to the tools may disappear, so the path must
    // not contain a link.
    let tools = tools().canonicalize().context("cannot resolve target/tools")?;
    // The stamp is written last, so that an interrupted installation starts again.
    let wanted = stamp_of(&tools, &wanted);
    let stamp = tools.join(stamp);
    let venv = tools.join(folder);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && venv.is_dir() {
        return Ok(());
    }
    step(title, || {
        let log = tools.join("install.log");
        if venv.exists() {
            fs::remove_dir_all(&venv).context("cannot remove the old tools")?;
        }
        run_logged(Command::new("python3").args(["-m", "venv"]).arg(&venv), &log)
            .context("cannot make a Python environment; Python 3.11 or later with venv is needed")?;
        run_logged(&mut pip_install(&venv.join("bin/pip"), &pinned), &log)?;
        fs::write(&stamp, &wanted).context("cannot write the stamp")
    })
}

/// Returns a pip command that installs exactly the versions and hashes of a list.
fn pip_install(pip: &Path, pinned: &Path) -> Command {
    let mut command = Command::new(pip);
    command.args([
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]);
    command.arg("--requirement").arg(pinned);
    command
}

/// Installs Podman, which runs the containers of ECS tasks. Without Podman, ECS tasks are
/// simulated.
fn containers() -> Result<()> {
    if podman::unavailable().is_none() {
        return Ok(());
    }
    match may_install() {
        Err(reason) => note(simulated(reason)),
        Ok(()) => {
            let installed = step("Installing Podman, which runs the containers of ECS tasks", || {
                install(&PODMAN_PACKAGES)
            });
            if let Err(error) = installed {
                note(format!("{error:#}"));
                note(simulated("it could not be installed"));
            }
        }
    }
    Ok(())
}

/// Checks that packages can be installed on this machine. Otherwise, returns the reason.
fn may_install() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        Err("only root can install it")
    } else if on_path("apt-get").is_none() {
        Err("there is no apt-get to install it with")
    } else {
        Ok(())
    }
}

fn install(packages: &[&str]) -> Result<()> {
    let log = tools().join("apt.log");
    run_logged(apt().arg("update"), &log)?;
    run_logged(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages), &log)
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}

fn simulated(reason: &str) -> String {
    format!(
        "Podman is not usable here: {reason}.\n\
         Unless this machine has another engine that serves, ECS tasks will be SIMULATED: each is RUNNING at once, \
         no container runs.\n\
         To run real ones, as root: apt-get install {}",
        PODMAN_PACKAGES.join(" ")
    )
}

/// Returns the versions of the main tools, for `cargo xtask setup`.
pub fn versions() -> Result<String> {
    let listed =
        output(Command::new(tool("pip")).args(["list", "--disable-pip-version-check", "--format=freeze"]))?;
    let shown = ["ministack", "aws-sam-cli", "cargo-lambda", "cfn-lint", "ziglang"];
    let lines = listed.lines().filter(|line| shown.iter().any(|name| line.starts_with(&format!("{name}=="))));
    Ok(lines.collect::<Vec<_>>().join(", "))
}

/// Returns the value of `PATH` with the tools first.
pub fn path() -> std::ffi::OsString {
    let bin = tools().join("venv/bin");
    match std::env::var_os("PATH") {
        Some(path) => {
            let all = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
            std::env::join_paths(all).unwrap_or(path)
        }
        None => Path::new(&bin).as_os_str().to_owned(),
    }
}
