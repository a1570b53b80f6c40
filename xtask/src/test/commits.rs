//! Checks the length of commit subjects, so that lists of commits show each subject whole.

use crate::process::output;
use crate::step::note;
use crate::workspace::root;
use anyhow::{Result, bail};
use std::process::Command;

/// The most characters of a subject.
const LIMIT: usize = 72;
/// The last commit before this check. Earlier subjects may be longer. A shallow clone may not have
/// this commit.
const LAST_EXEMPT: &str = "4f5d3899edb7bbbc978855aa595013c399551164";

pub(super) fn check() -> Result<()> {
    if !root().join(".git").exists() {
        note("this copy of the code has no history");
        return Ok(());
    }
    let knows_exempt = output(git().args(["cat-file", "-e", LAST_EXEMPT])).is_ok();
    let range = if knows_exempt { format!("{LAST_EXEMPT}..HEAD") } else { "HEAD".to_owned() };
    let log = output(git().args(["log", "--no-merges", "--format=%s", &range]))?;
    let long: Vec<_> = too_long(&log).collect();
    if !long.is_empty() {
        bail!("subjects of commits are longer than {LIMIT} characters:\n{}", long.join("\n"));
    }
    Ok(())
}

/// Returns the `git` command, which also works in a checkout that belongs to another user, as in
/// containers.
fn git() -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*"]).current_dir(root());
    command
}

fn too_long(subjects: &str) -> impl Iterator<Item = &str> {
    subjects.lines().filter(|subject| subject.chars().count() > LIMIT)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, too_long};

    #[test]
    fn check_finds_a_commit_subject_that_is_too_long() {
        let fits = "é".repeat(LIMIT);
        let long = format!("{fits}.");
        assert_eq!(too_long(&format!("{fits}\n{long}\n")).collect::<Vec<_>>(), [long.as_str()]);
    }
}
