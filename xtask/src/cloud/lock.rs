//! The lock of a cloud's directory.

use super::home::Home;
use crate::process::wait_for;
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::time::Duration;

/// Locks a cloud's directory. The supervisor keeps the lock as long as it runs, and the system
/// releases the lock however the supervisor ends. Returns `None` if another process has the lock.
pub(super) fn lock(home: &Home) -> Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(home.lock());
    let file = file.context("cannot open the lock")?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the local cloud's directory"),
    }
}

/// Acquires the lock, and writes this process's id into the lock file for `stop`.
pub(crate) fn take_lock(home: &Home) -> Result<File> {
    // A process that only checks whether a cloud runs also has the lock for a moment, so this
    // process waits.
    let mut file =
        wait_for("the lock of the local cloud's directory", Duration::from_secs(2), || lock(home))?;
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

pub(super) fn running(home: &Home) -> Result<bool> {
    Ok(lock(home)?.is_none())
}
