//! Texts that the demo prints.

use xtask::inbox::visible;
use xtask::step::note;

/// Returns the first characters of a digest, for people.
pub(crate) fn brief(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Prints a quoted text with a mark before each line.
pub(crate) fn quote(text: &str) {
    for line in visible(text).lines() {
        note(format!("  | {line}").trim_end());
    }
}
