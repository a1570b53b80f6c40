//! Root's files that an ordinary user needs, even below folders that are closed to other users.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The changes to a mount namespace that let another user reach files in closed folders.
/// `xtask/as_user.sh` makes the changes.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct View {
    /// The closed folders. The script mounts an open folder over each closed folder.
    masks: Vec<PathBuf>,
    /// The files and folders that the script mounts again inside the masks.
    entries: Vec<PathBuf>,
}

impl View {
    /// Returns the view of a user who needs these paths. Skips paths that do not exist.
    pub(super) fn of(needed: &[PathBuf]) -> Self {
        // Sorting puts outer folders before their contents.
        let sorted = |mut paths: Vec<PathBuf>| {
            paths.sort();
            paths.dedup();
            paths
        };
        let mut entries = sorted(needed.iter().filter_map(|path| path.canonicalize().ok()).collect());
        // `names` has the needed paths that lead to entries through links.
        let names = needed.iter().filter(|path| path.exists() && !entries.contains(path)).cloned();
        let names = sorted(names.collect());
        entries.extend(names);
        entries.retain(|path| closed_above(path).is_some());
        let closed = sorted(entries.iter().filter_map(|path| closed_above(path)).collect());
        let is_inner =
            |one: &Path| one.ancestors().skip(1).any(|outer| closed.iter().any(|two| two == outer));
        let masks = closed.iter().filter(|one| !is_inner(one)).cloned().collect();
        Self { masks, entries }
    }

    /// Returns the masks and the entries, as two texts with one path per line.
    pub(super) fn lines(&self) -> [String; 2] {
        [&self.masks, &self.entries].map(|paths| {
            let lines: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            lines.join("\n")
        })
    }
}

/// Returns the outermost parent folder of the path that other users cannot enter.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<_> =
        path.ancestors().skip(1).filter(|folder| folder.parent().is_some_and(|_| !is_open(folder))).collect();
    above.pop()?.canonicalize().ok()
}

fn is_open(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
}

#[cfg(test)]
mod tests {
    use super::{View, closed_above};
    use crate::as_user::impossible;
    use crate::process::output;
    use crate::workspace::root;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use tempfile::TempDir;

    /// Creates a clone below a folder that only its owner can enter.
    fn closed_clone() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path().canonicalize().unwrap().join("the clone");
        fs::create_dir_all(clone.join("xtask")).unwrap();
        fs::create_dir_all(clone.join("target/shared")).unwrap();
        symlink("shared", clone.join("target/tools")).unwrap();
        for file in ["template.yaml", "xtask/overlay.yaml", "target/shared/python3", "secret"] {
            fs::write(clone.join(file), file).unwrap();
        }
        fs::set_permissions(&clone, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        (folder, clone)
    }

    fn needed(clone: &Path) -> Vec<PathBuf> {
        ["target/tools", "template.yaml", "xtask", "absent"].map(|path| clone.join(path)).to_vec()
    }

    #[test]
    fn view_masks_the_outermost_closed_folder() {
        let (folder, clone) = closed_clone();
        let folder = folder.path().canonicalize().unwrap();
        let mut all = needed(&clone);
        all.push(PathBuf::from("/usr/bin/env"));
        let expected = View {
            masks: vec![closed_above(&folder).unwrap_or(folder)],
            entries: ["target/shared", "template.yaml", "xtask", "target/tools"]
                .map(|path| clone.join(path))
                .to_vec(),
        };
        assert_eq!(View::of(&all), expected);
    }

    #[test]
    fn link_into_a_closed_folder_adds_no_inner_mask() {
        let (folder, clone) = closed_clone();
        let folder = folder.path().canonicalize().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let link = outside.path().join("link");
        symlink(&clone, &link).unwrap();
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let view = View::of(&[link.join("template.yaml")]);
        assert_eq!(view.masks, [closed_above(&folder).unwrap_or(folder)]);
        assert_eq!(view.entries, [clone.join("template.yaml"), link.join("template.yaml")]);
    }

    /// Checks the view as another user. Only root can run this check.
    #[test]
    fn user_reads_the_needed_files_of_a_closed_clone() {
        if impossible().is_some() {
            return;
        }
        let (_folder, clone) = closed_clone();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).arg(root().join("xtask/as_user.sh")).arg("nobody");
        command.args(View::of(&needed(&clone)).lines()).args(["sh", "-c"]);
        command.arg(r#"cd "$1" && cat template.yaml xtask/overlay.yaml target/tools/python3 && ! test -e secret && id -un"#);
        let read = output(command.arg("sh").arg(&clone)).unwrap();
        assert_eq!(read.trim_end(), "template.yamlxtask/overlay.yamltarget/shared/python3nobody");
        assert!(clone.join("secret").is_file());
    }
}
