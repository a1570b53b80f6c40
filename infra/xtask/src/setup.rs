//! `cargo xtask setup`: the tools that the other tasks use. Quick when there is nothing to do.

use crate::podman;
use crate::process::{lock, on_path, output, run_logged};
use crate::step::{note, step};
use crate::workspace::{root, tool, tools};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

const PODMAN_PACKAGES: [&str; 5] = ["podman", "runc", "netavark", "aardvark-dns", "iptables"];

pub fn setup() -> Result<()> {
    fs::create_dir_all(tools())?;
    // Two tasks at once (two clouds side by side) must not both install.
    let _lock = lock(&tools().join("lock"), "installing the tools")?;
    python_tools()?;
    containers()
}

/// MiniStack, SAM, cargo-lambda and zig, of exactly the pinned versions and hashes.
fn python_tools() -> Result<()> {
    let pinned = root().join("infra/xtask/requirements.txt");
    let wanted = fs::read_to_string(&pinned).context("cannot read requirements.txt")?;
    // The stamp is the whole list: written last, so that an interrupted installation starts over.
    let stamp = tools().join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && tool("ministack").is_file() {
        return Ok(());
    }
    step("Installing MiniStack, SAM CLI and cargo-lambda into target/tools (800 MB, a minute or two)", || {
        let venv = tools().join("venv");
        let log = tools().join("install.log");
        if venv.exists() {
            fs::remove_dir_all(&venv).context("cannot remove the old tools")?;
        }
        run_logged(Command::new("python3").args(["-m", "venv"]).arg(&venv), &log)
            .context("cannot make a Python environment; Python 3.11 or later with venv is needed")?;
        run_logged(
            Command::new(tool("pip"))
                .args([
                    "install",
                    "--disable-pip-version-check",
                    "--no-input",
                    "--no-deps",
                    "--require-hashes",
                    "--only-binary=:all:",
                ])
                .arg("--requirement")
                .arg(&pinned),
            &log,
        )?;
        fs::write(&stamp, &wanted).context("cannot write the stamp")
    })
}

/// Podman, which runs the containers of ECS tasks. Without it the tasks are simulated.
fn containers() -> Result<()> {
    if podman::unavailable().is_none() {
        return Ok(());
    }
    let install = if !rustix::process::geteuid().is_root() {
        Err("only root can install it")
    } else if on_path("apt-get").is_none() {
        Err("there is no apt-get to install it with")
    } else {
        Ok(())
    };
    match install {
        Err(reason) => note(simulated(reason)),
        Ok(()) => {
            let installed = step("Installing Podman, which runs the containers of ECS tasks", || {
                let log = tools().join("apt.log");
                run_logged(apt().arg("update"), &log)?;
                run_logged(
                    apt().args(["install", "--yes", "--no-install-recommends"]).args(PODMAN_PACKAGES),
                    &log,
                )
            });
            if let Err(error) = installed {
                note(format!("{error:#}"));
                note(simulated("it could not be installed"));
            }
        }
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}

fn simulated(reason: &str) -> String {
    format!(
        "Podman is not usable here: {reason}.\n\
         ECS tasks will be SIMULATED: each is RUNNING at once, no container runs.\n\
         To run real ones: as root, with {} installed.",
        PODMAN_PACKAGES.join(", ")
    )
}

/// The environment's version, for `cargo xtask setup` to show.
pub fn versions() -> Result<String> {
    let listed =
        output(Command::new(tool("pip")).args(["list", "--disable-pip-version-check", "--format=freeze"]))?;
    let shown = ["ministack", "aws-sam-cli", "cargo-lambda", "cfn-lint", "ziglang"];
    let lines = listed.lines().filter(|line| shown.iter().any(|name| line.starts_with(&format!("{name}=="))));
    Ok(lines.collect::<Vec<_>>().join(", "))
}

/// `PATH` with the tools in front.
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
