//! The file of shell variables for a deployed stack. The command `. target/local/env` reads the
//! file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The variables of a deployed stack. The file `env` in the cloud's directory exports them.
pub type Variables = BTreeMap<String, String>;

/// Returns the text of the file. A shell does not expand or run anything in the values.
pub fn text(variables: &Variables) -> String {
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "export {name}={}", quoted(value));
        text
    })
}

/// Parses the text of the file. Returns `None` if another program wrote the file.
pub fn read(mut text: &str) -> Option<Variables> {
    let mut variables = Variables::new();
    while !text.is_empty() {
        let (name, rest) = text.strip_prefix("export ")?.split_once('=')?;
        let (value, rest) = unquoted(rest)?;
        variables.insert(name.to_owned(), value);
        text = rest.strip_prefix('\n')?;
    }
    Some(variables)
}

/// Returns a text as one word of a shell command that a person may copy. Plain words are not
/// quoted.
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// Quotes a text in the same way as `stablepin_rules::shell`. A dependency on that crate would
/// compile the crate before every task.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Parses a quoted text at the beginning. Returns the text and the rest.
fn unquoted(mut rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    loop {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (part, after) = quoted.split_once('\'')?;
            text.push_str(part);
            rest = after;
        } else if let Some(after) = rest.strip_prefix(r"\'") {
            text.push('\'');
            rest = after;
        } else {
            return Some((text, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const HOSTILE: [&str; 8] = [
        "/home/o'brien/stablepin/target/local",
        "/tmp/x'$(echo ran)'/target/local",
        "$(echo ran)",
        "`echo ran`",
        "a b\tc",
        "one\ntwo\nexport OTHER='three'",
        "",
        "''\\'",
    ];

    fn shell(script: &str) -> String {
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn shell_and_parser_return_hostile_values_unchanged() {
        let named = |(n, value): (usize, &&str)| (format!("VALUE_{n}"), (*value).to_owned());
        let variables: Variables = HOSTILE.iter().enumerate().map(named).collect();
        let text = text(&variables);
        assert_eq!(read(&text).as_ref(), Some(&variables));
        for (name, value) in &variables {
            assert_eq!(shell(&format!("{text}printf '%s|' \"${name}\"")), format!("{value}|"));
        }
    }

    #[test]
    fn parser_refuses_text_of_other_programs() {
        for text in ["VALUE='x'\n", "export VALUE='x\n", "export VALUE='x' y\n", "export VALUE"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(""), Some(Variables::new()));
    }

    #[test]
    fn word_is_quoted_only_if_the_shell_needs_quotes() {
        assert_eq!(word("target/local/env"), "target/local/env");
        for text in HOSTILE {
            assert_eq!(shell(&format!("printf '%s|' {}", word(text))), format!("{text}|"));
        }
    }
}
