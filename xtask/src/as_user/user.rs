//! The user of this machine that the tests create and delete.

use crate::process::{lock, output, sweep, sweep_users};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The user's name.
pub(super) const USER: &str = "stablepin-test";
/// The comment of the user's entry in `passwd`. The tests did not create a user without this
/// comment, so they must not delete that user.
const COMMENT: &str = "Stablepin tests";
/// The environment variable of every process of the user. By this variable, the tests find the
/// processes and end them.
pub(super) const MARK: &str = "STABLEPIN_AS_USER";
/// The lock for the whole machine. A task of any checkout keeps the lock while the user exists.
const LOCK: &str = "/run/stablepin-test.lock";

/// The user that this process has created.
static MADE: Mutex<Option<User>> = Mutex::new(None);

/// Locks and returns the user that this process has created. While the lock lasts, no other thread
/// can create or delete a user.
pub(crate) fn made() -> MutexGuard<'static, Option<User>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right of this process to use the user. Dropping the value deletes the user.
pub(super) struct Made {
    home: PathBuf,
    _lock: File,
}

impl Made {
    /// Creates the user. Waits while another task uses the user.
    pub(super) fn new() -> Result<Self> {
        let lock = lock(Path::new(LOCK), "running the demo as an ordinary user")?;
        let mut made = made();
        if let Ok(entry) = passwd() {
            // A killed task left this user behind.
            User::read(&entry)?.delete()?;
        }
        output(Command::new("useradd").args([
            "--create-home",
            "--shell",
            "/bin/sh",
            "--comment",
            COMMENT,
            USER,
        ]))?;
        let user = User::read(&passwd()?)?;
        let home = user.home.clone();
        *made = Some(user);
        Ok(Self { home, _lock: lock })
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Deletes the user. Returns the error if that fails, while dropping the value only prints the
    /// error.
    pub(super) fn delete(self) -> Result<()> {
        made().take().map_or(Ok(()), |user| user.delete())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(user) = made().take()
            && let Err(error) = user.delete()
        {
            eprintln!("{error:#}");
        }
    }
}

/// A user that the tests have created.
#[derive(Debug)]
pub(crate) struct User {
    id: u32,
    home: PathBuf,
}

impl User {
    /// Reads the user's entry in `passwd`. Returns an error if the tests did not create the user.
    fn read(entry: &str) -> Result<Self> {
        let fields: Vec<_> = entry.trim_end().split(':').collect();
        let &[_, _, id, _, comment, home, _] = fields.as_slice() else {
            anyhow::bail!("cannot read the entry of the user {USER}: {entry}");
        };
        ensure!(
            comment == COMMENT,
            "this machine has a user {USER} that the tests have not made (its comment is not \"{COMMENT}\"): rename or \
             delete that user"
        );
        Ok(Self { id: id.parse().context("the user's id is no number")?, home: PathBuf::from(home) })
    }

    /// Ends every process of the user, and deletes the user and the user's files.
    pub(crate) fn delete(&self) -> Result<()> {
        sweep(MARK, &self.home)?;
        // Processes in containers do not have the variable, and may run under subordinate ids of
        // the user.
        let others = fs::read_to_string("/etc/subuid").unwrap_or_default();
        let mut ids = subordinate(&others);
        ids.push(self.id..self.id + 1);
        sweep_users(&ids)?;
        remove_temporary(Path::new("/tmp"), self.id)?;
        // `userdel` needs `--force`, because it also counts ended processes for which no parent has
        // waited.
        output(Command::new("userdel").args(["--force", "--remove", USER])).map(drop)
    }
}

fn passwd() -> Result<String> {
    output(Command::new("getent").args(["passwd", USER]))
}

/// Returns the ids in `/etc/subuid` under which the user's containers may run.
fn subordinate(text: &str) -> Vec<Range<u32>> {
    let range = |line: &str| {
        let (start, count) = line.strip_prefix(USER)?.strip_prefix(':')?.split_once(':')?;
        let start: u32 = start.parse().ok()?;
        Some(start..start.checked_add(count.trim_end().parse().ok()?)?)
    };
    text.lines().filter_map(range).collect()
}

/// Removes the temporary files of the user's local clouds.
fn remove_temporary(folder: &Path, id: u32) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        // Other processes add and remove files in this folder at the same time.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_ours = entry.file_name().to_string_lossy().starts_with("stablepin-") && metadata.uid() == id;
        let path = entry.path();
        let removed = match (is_ours, metadata.is_dir()) {
            (false, _) => continue,
            (true, true) => fs::remove_dir_all(&path),
            (true, false) => fs::remove_file(&path),
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{User, remove_temporary, subordinate};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn user_without_the_comment_of_the_tests_is_refused() {
        let ours = "stablepin-test:x:1001:1002:Stablepin tests:/home/stablepin-test:/bin/sh\n";
        let user = User::read(ours).unwrap();
        assert_eq!((user.id, user.home.to_str()), (1001, Some("/home/stablepin-test")));
        for comment in ["", "Ann,,,", "Stablepin tests,,,"] {
            let error = User::read(&ours.replace("Stablepin tests", comment)).unwrap_err().to_string();
            assert!(error.contains("that the tests have not made"), "{error}");
        }
        User::read("").unwrap_err();
    }

    #[test]
    fn container_uid_range_is_parsed_from_the_subuid_file() {
        let text = "ann:100000:65536\nstablepin-test:165536:65536\nstablepin-test2:1:2\nstablepin-test:9:x\n\
                    stablepin-test:300000:5";
        assert_eq!(subordinate(text), [165_536..231_072, 300_000..300_005]);
    }

    #[test]
    fn removal_deletes_only_the_users_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["stablepin-1-2/run", "stablepin-1.sock", "other"].map(|name| folder.path().join(name));
        fs::create_dir_all(&names[0]).unwrap();
        fs::write(&names[1], "").unwrap();
        fs::write(&names[2], "").unwrap();
        let id = fs::metadata(&names[2]).unwrap().uid();
        remove_temporary(folder.path(), id + 1).unwrap();
        assert!(names.iter().all(|name| name.exists()));
        remove_temporary(folder.path(), id).unwrap();
        assert_eq!(names.map(|name| name.exists()), [false, false, true]);
    }
}
