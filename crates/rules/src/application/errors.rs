//! The mistakes in an application file, with their positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The most bytes of an application file.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// A mistake in an application file: its position, the problem, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct ConfigError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1. A tab counts as one character.
    pub column: usize,
    /// The setting, such as `environment[0].services[1]`. Empty if the mistake concerns the whole
    /// file.
    pub key: String,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl ConfigError {
    pub(super) fn too_long(bytes: usize) -> Self {
        let message = format!(
            "the file has {bytes} bytes, and may have {MAX_FILE_BYTES}: one file describes one application"
        );
        Self { line: 1, column: 1, key: String::new(), message }
    }

    pub(super) fn not_toml(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let (line, column) = position(text, offset);
        let message = format!("not TOML from here: {}", error.message());
        Self { line, column, key: String::new(), message }
    }
}

/// Returns the line and the column of a byte offset. Both count from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}

/// The most errors that are reported. A file with more errors is probably not an application file.
const MOST: usize = 50;

/// The mistakes that are reported so far, and the positions of all keys.
pub(super) struct Problems<'a> {
    text: &'a str,
    places: BTreeMap<String, usize>,
    found: Vec<ConfigError>,
    beyond: usize,
}

impl<'a> Problems<'a> {
    pub(super) fn in_text(text: &'a str) -> Self {
        Self { text, places: BTreeMap::new(), found: Vec::new(), beyond: 0 }
    }

    /// Stores the byte offset of the value of a key.
    pub(super) fn place(&mut self, key: &str, offset: usize) {
        self.places.insert(key.to_owned(), offset);
    }

    /// Returns whether the file has this key.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Returns whether a mistake is already reported for the key or for a key inside it.
    pub(super) fn is_reported(&self, key: &str) -> bool {
        let within = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.found.iter().any(|error| error.key.strip_prefix(key).is_some_and(within))
    }

    /// Reports a mistake. Does nothing if a mistake is already reported for the key or for a key
    /// inside it. Mistakes beyond [`MOST`] are only counted.
    pub(super) fn add(&mut self, key: &str, message: &str) {
        if self.is_reported(key) {
            return;
        }
        if self.found.len() == MOST {
            self.beyond += 1;
            return;
        }
        let (line, column) = position(self.text, self.nearest(key));
        self.found.push(ConfigError { line, column, key: key.to_owned(), message: message.to_owned() });
    }

    /// Returns the offset of the key. If the file does not have the key, returns the offset of the
    /// innermost surrounding table that the file has.
    fn nearest(&self, key: &str) -> usize {
        let mut key = key;
        loop {
            if let Some(offset) = self.places.get(key) {
                return *offset;
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return 0,
            }
        }
    }

    /// Returns the value if the file has no mistakes. Otherwise returns the mistakes in the file's
    /// order.
    pub(super) fn or<T>(mut self, value: Option<T>) -> Result<T, Vec<ConfigError>> {
        self.found.sort_by_key(|error| (error.line, error.column));
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                if self.beyond > 0 {
                    let (line, column) = position(self.text, self.text.len());
                    let message = format!("{} more errors are not listed", self.beyond);
                    self.found.push(ConfigError { line, column, key: String::new(), message });
                }
                Err(self.found)
            }
        }
    }
}

/// Quotes a text of the file for an error message. Escapes control characters, and shortens a long
/// text.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
