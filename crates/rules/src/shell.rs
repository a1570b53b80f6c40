//! Quoting for commands that people copy into their shell.

/// Quotes a text as one word of a POSIX shell. The shell expands nothing in the word and runs no
/// part of it.
/// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02_02>
pub fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Quotes the words, and returns the arguments that a real shell then passes to a command.
    fn arguments(words: &[&str]) -> Vec<String> {
        let quoted: Vec<String> = words.iter().map(|word| shell_quoted(word)).collect();
        let script =
            format!("stub() {{ for word; do printf '%s\\0' \"$word\"; done; }}\nstub {}", quoted.join(" "));
        let shell = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(shell.status.success() && shell.stderr.is_empty(), "{shell:?}");
        let text = String::from_utf8(shell.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn shell_passes_hostile_words_unchanged() {
        let words = [
            "it's",
            "''",
            "'",
            "\\",
            "\\'",
            "$(id)",
            "`id`",
            "a b",
            "",
            "-n",
            "*",
            "~",
            "!!",
            "#",
            "a\nb",
            "a\r\nb",
            "\u{202e}",
            "'; id; '",
            "\"; id #",
            "${IFS}",
            "é",
            "a'$(id)'b",
        ];
        assert_eq!(arguments(&words), words);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn shell_passes_any_word_unchanged(words in proptest::collection::vec("[^\0]{0,20}|[ '\"`$();|&<>\\\\!*?~#{}a]{1,12}", 1..8)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            prop_assert_eq!(arguments(&words), words);
        }
    }
}
