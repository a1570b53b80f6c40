//! Cleans up after a cloud.

use super::home::{Home, State, read_state};
use crate::engine::Engine;
use crate::podman::Podman;
use crate::process::{self, sweep};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Removes the containers, processes and files of a cloud, whether the cloud runs or not. Keeps the
/// logs.
pub(crate) fn clean(home: &Home) -> Result<()> {
    let podman = Podman::of(home.folder());
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
        unmount(home.folder())?;
        podman.remove_storage(&home.temporary())?;
    }
    if let Some(State { machine: false, socket: Some(socket), .. }) = state {
        let _ = fs::remove_file(socket);
    }
    for entry in fs::read_dir(home.folder())? {
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

/// Unmounts the mounts below a folder of container storage, because a mounted folder cannot be
/// removed.
fn unmount(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| Path::new(point).starts_with(folder));
    // The innermost mounts are unmounted first.
    for point in below.collect::<Vec<_>>().into_iter().rev() {
        process::run(Command::new("umount").arg(point))?;
    }
    Ok(())
}
