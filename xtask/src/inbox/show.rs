//! Makes untrusted text safe for a terminal.

/// Returns the text with every character visible and without effect on the terminal. Control
/// characters, terminal escapes, direction marks, and invisible and combining characters become
/// `\u{…}`. Newlines are kept.
///
/// Anyone who can push chooses commit messages, labels and tags. An escape sequence could hide a
/// part of a mail, and a direction mark could reverse its meaning.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\'' | '"' | '\\' => shown.push(character),
            // The standard library decides which characters are printable.
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_not_changed() {
        let text = "Größe \"1\"\n日本語 – C:\\x 🚀";
        assert_eq!(visible(text), text);
    }

    #[test]
    fn terminal_controls_are_shown_as_text() {
        let hostile = "\u{0}\u{7}\u{8}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{200e}\u{202e}\u{2028}\u{2066}\u{2069}\u{feff}\u{e0041}\r";
        let shown = visible(hostile);
        assert!(shown.chars().all(|character| character.is_ascii_graphic()), "{shown}");
    }
}
