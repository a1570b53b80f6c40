//! The stamp that tells whether an installation is up to date.

use std::path::Path;

/// The stamp of an installation: its folder, then its list.
///
/// Installed programs contain the folder's path. A copy elsewhere would run the original's
/// programs, so its stamp must not match.
pub(super) fn stamp_of(folder: &Path, list: &str) -> String {
    format!("# {}\n{list}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::stamp_of;
    use std::path::Path;

    #[test]
    fn stamp_of_another_folder_does_not_match() {
        let [here, there] =
            ["/a/target/tools", "/b/target/tools"].map(|folder| stamp_of(Path::new(folder), "sam==1\n"));
        assert_eq!(here, "# /a/target/tools\nsam==1\n");
        assert_ne!(here, there);
        // An older version's stamp was the list alone.
        assert_ne!(here, "sam==1\n");
    }
}
