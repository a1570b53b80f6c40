//! A reader of TOML tables and values. It reports each mistake at its position and continues, so
//! that people see all mistakes at once. The caller gets no value for a wrong setting.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::errors::{Problems, quoted};

/// A table of the file, such as `environment[0].approval`. A missing table counts as empty.
pub(super) struct Section<'a> {
    key: String,
    table: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
    /// The keys that the reader has already read from the surrounding table. In TOML, a key belongs
    /// to the last table header above it, so people often write a key below the wrong header.
    known_around: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn of_file(document: &'a DeTable<'a>) -> Self {
        Self { key: String::new(), table: Some(document), known: Vec::new(), known_around: Vec::new() }
    }

    /// Returns the path of a key of this table.
    pub(super) fn path(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }

    fn take(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<(String, &'a DeValue<'a>)> {
        self.known.push(key);
        let path = self.path(key);
        let value = self.table?.get(key)?;
        problems.place(&path, value.span().start);
        Some((path, value.get_ref()))
    }

    /// Reads a text with the parser `read`. An error message begins with the quoted text, and the
    /// parser's error continues the sentence.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (path, value) = self.take(key, problems)?;
        text(&path, value, problems, read)
    }

    /// Reads a required text.
    pub(super) fn required_text<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.table.is_none_or(|table| !table.contains_key(key)) {
            problems.add(&self.path(key), "is missing");
        }
        self.text(key, problems, read)
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let (path, value) = self.take(key, problems)?;
        let DeValue::Integer(written) = value else {
            problems.add(&path, &format!("is {}, and must be a whole number", kind(value)));
            return None;
        };
        let number = whole(written).filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            problems.add(&path, &format!("is {}, and must be from {least} to {most}", shortened(written)));
        }
        number
    }

    /// Reads a list of texts. None if the value is missing or is not a list, or if one of the texts
    /// is wrong.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (path, value) = self.take(key, problems)?;
        texts(&path, value, problems, read)
    }

    /// Reads a text or a list of texts.
    pub(super) fn text_or_texts<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (path, value) = self.take(key, problems)?;
        if value.as_str().is_some() {
            return text(&path, value, problems, read).map(|one| vec![one]);
        }
        texts(&path, value, problems, read)
    }

    /// Reads a table inside this table: `approval = { … }` or `[environment.approval]`.
    pub(super) fn table(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Section<'a> {
        let table = self.take(key, problems).and_then(|(path, value)| {
            if value.as_table().is_none() {
                problems
                    .add(&path, &format!("is {}, and must be a table: write {key} = {{ … }}", kind(value)));
            }
            value.as_table()
        });
        self.within(self.path(key), table)
    }

    fn within(&self, key: String, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section { key, table, known: Vec::new(), known_around: self.known.clone() }
    }

    /// Reads the tables that begin with `[[key]]`. None if the value is not a list of tables, or if
    /// the list has more than `most` tables. Empty if the key is missing.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
        most: usize,
    ) -> Option<Vec<Section<'a>>> {
        let Some((path, value)) = self.take(key, problems) else { return Some(Vec::new()) };
        let items = value.as_array().filter(|items| items.iter().all(|item| item.get_ref().is_table()));
        let Some(items) = items else {
            let message =
                format!("is {}, and must be a list of tables: begin each with [[{key}]]", kind(value));
            problems.add(&path, &message);
            return None;
        };
        if items.len() > most {
            let message = format!("is written {} times, and may be {most} times", items.len());
            problems.add(&path, &message);
            return None;
        }
        let section = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let key = format!("{path}[{index}]");
            problems.place(&key, item.span().start);
            self.within(key, item.get_ref().as_table())
        };
        Some(items.iter().enumerate().map(section).collect())
    }

    /// Reports every unknown key. The caller must first read all known keys.
    pub(super) fn refuse_other_keys(self, problems: &mut Problems<'_>) {
        for written in self.table.into_iter().flat_map(DeTable::keys) {
            let name = written.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let bare =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            let path = self.path(&if bare && name.len() <= 80 { name.to_owned() } else { quoted(name) });
            problems.place(&path, written.span().start);
            let message = if self.known_around.contains(&name) {
                "is not a key of this table, but of the one around it: write it above the line that begins this table"
                    .to_owned()
            } else {
                let meant = self.known.iter().find(|known| is_similar(name, known));
                let meant = meant.map_or(String::new(), |known| format!("; did you mean {known}?"));
                format!("is not known here{meant} (known: {})", self.known.join(", "))
            };
            problems.add(&path, &message);
        }
    }
}

fn texts<'a, T>(
    path: &str,
    value: &'a DeValue<'a>,
    problems: &mut Problems<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let DeValue::Array(items) = value else {
        problems.add(path, &format!("is {}, and must be a list: write it in [ ]", kind(value)));
        return None;
    };
    let read_item = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
        let path = format!("{path}[{index}]");
        problems.place(&path, item.span().start);
        text(&path, item.get_ref(), problems, &read)
    };
    let texts: Vec<Option<T>> = items.iter().enumerate().map(read_item).collect();
    texts.into_iter().collect()
}

fn text<T>(
    path: &str,
    value: &DeValue<'_>,
    problems: &mut Problems<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let Some(written) = value.as_str() else {
        problems.add(path, &format!("is {}, and must be text: write it in quotes", kind(value)));
        return None;
    };
    match read(written) {
        Ok(value) => Some(value),
        Err(message) => {
            problems.add(path, &format!("{} {message}", quoted(written)));
            None
        }
    }
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => format!("the number {}", shortened(number)),
        DeValue::Float(_) => "a number with a fraction".to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn whole(written: &DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(written.as_str(), written.radix()).ok()
}

fn shortened(written: &DeInteger<'_>) -> String {
    let text = written.to_string();
    if text.len() > 24 { format!("{}…", &text[..24]) } else { text }
}

/// Returns whether two keys are nearly equal: they differ by at most two letters, or by one letter
/// if the known key has at most four letters. Case is ignored, and a hyphen counts as an
/// underscore.
fn is_similar(written: &str, known: &str) -> bool {
    let written = written.to_lowercase().replace('-', "_");
    written.len() <= 40 && distance(&written, known) <= if known.len() > 4 { 2 } else { 1 }
}

/// Returns the Levenshtein distance: the smallest number of letters to insert, delete or replace.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
