//! What is wrong with an application file, and where.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::MAX_FILE_BYTES;

/// One thing that is wrong with an application file: where it stands, what it is, what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters; a tab is one.
    pub column: usize,
    /// Which setting, such as `environment[0].services[1]`; empty where it is the file as a whole.
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

/// Line and column, from 1, of a place in the text.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}

/// How many errors one answer holds; who has more, has another kind of file.
const MOST: usize = 50;

/// Gathers what is wrong while a file is read, and knows where each key stands.
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

    /// Remembers that the value of this key stands at this byte.
    pub(super) fn place(&mut self, key: &str, offset: usize) {
        self.places.insert(key.to_owned(), offset);
    }

    /// Whether the file writes this key.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Whether the key, or something in it, is reported.
    pub(super) fn is_reported(&self, key: &str) -> bool {
        let within = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.found.iter().any(|error| error.key.strip_prefix(key).is_some_and(within))
    }

    /// Reports a key, unless it or something in it is reported already: one mistake is one error.
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

    /// Where the key stands; where it is not written, what it would be part of.
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

    /// The value, if nothing was wrong.
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

/// A text of the file as an error repeats it: in quotes, control characters escaped, its beginning if long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
