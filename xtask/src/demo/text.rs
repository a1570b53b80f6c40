//! Texts of the story.

use crate::inbox::visible;
use crate::step::note;

/// The first characters of a digest, for people.
pub(super) fn brief(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// Prints quoted text, set off from the story.
pub(super) fn quote(text: &str) {
    for line in visible(text).lines() {
        note(format!("  | {line}").trim_end());
    }
}
