//! The stamp that shows whether an installation is up to date.

use std::path::Path;

/// Returns the stamp of an installation: its folder, then the list of its packages.
///
/// Installed programs contain the folder's path. Programs in a copied folder would start programs
/// of the original folder, so the stamp of a copy must not match.
pub(super) fn stamp_of(folder: &Path, list: &str) -> String {
    format!("# {}\n{list}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::stamp_of;
    use std::path::Path;

    #[test]
    fn stamps_of_two_folders_differ() {
        let [here, there] =
            ["/a/target/tools", "/b/target/tools"].map(|folder| stamp_of(Path::new(folder), "sam==1\n"));
        assert_eq!(here, "# /a/target/tools\nsam==1\n");
        assert_ne!(here, there);
        // In an older version, the stamp was the list without the folder.
        assert_ne!(here, "sam==1\n");
    }
}
