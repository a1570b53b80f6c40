//! Texts that the demo prints.

use crate::inbox::visible;
use crate::step::note;

/// Returns the first characters of a digest, for people.
pub(super) fn brief(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Prints a quoted text with a mark before each line.
pub(super) fn quote(text: &str) {
    for line in visible(text).lines() {
        note(format!("  | {line}").trim_end());
    }
}
