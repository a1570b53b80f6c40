//! The differences between two application files, for people and for audit records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

/// A setting that differs between two files. Values are in TOML notation: `"72h"`, `2`, `["lead"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The setting, such as `retention.days` or `environment[production].approval.expires`. If all
    /// tables of a list have distinct names, the key contains a table's name instead of its number.
    /// So reordering these tables makes no difference.
    pub key: String,
    /// The value in the earlier file. None: the earlier file does not have the setting.
    pub from: Option<String>,
    /// The value in the later file. None: the later file does not have the setting.
    pub to: Option<String>,
}

impl fmt::Display for Difference {
    /// Shows `retention.days: 90 → 30`, with a dash for a missing value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
        write!(f, "{}: {} → {}", self.key, shown(&self.from), shown(&self.to))
    }
}

/// Returns the settings that differ, sorted by key. Without an earlier file, every setting is new.
/// A missing setting differs from a setting with the default value.
///
/// The parser of application files must have accepted both texts. Text that is not TOML counts as
/// an empty file.
pub fn difference(before: Option<&str>, after: &str) -> Vec<Difference> {
    let (before, after) = (before.map(settings).unwrap_or_default(), settings(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |key: &String| Difference {
        key: key.clone(),
        from: before.get(key).cloned(),
        to: after.get(key).cloned(),
    };
    keys.into_iter().map(change).filter(|change| change.from != change.to).collect()
}

fn settings(text: &str) -> BTreeMap<String, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut settings = BTreeMap::new();
    if let Ok(document) = DeTable::parse(text) {
        for (key, value) in document.get_ref() {
            flatten(key.get_ref().to_string(), value.get_ref(), DEEPEST, &mut settings);
        }
    }
    settings
}

/// The number of nested table levels that are compared setting by setting. An application file has
/// only three levels.
const DEEPEST: usize = 5;

fn flatten(key: String, value: &DeValue<'_>, deeper: usize, settings: &mut BTreeMap<String, String>) {
    match value {
        DeValue::Table(table) if deeper > 0 => {
            for (name, value) in table {
                flatten(format!("{key}.{}", name.get_ref()), value.get_ref(), deeper - 1, settings);
            }
        }
        DeValue::Array(items) if deeper > 0 && items.iter().any(|item| item.get_ref().is_table()) => {
            let names: BTreeSet<&str> = items.iter().filter_map(|item| name(item.get_ref())).collect();
            let by_name = names.len() == items.len();
            for (index, item) in items.iter().enumerate() {
                let item = item.get_ref();
                let called = name(item).filter(|_| by_name).map_or(index.to_string(), str::to_owned);
                flatten(format!("{key}[{called}]"), item, deeper - 1, settings);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            settings.insert(key, written(value, DEEPEST));
        }
    }
}

fn name<'a>(item: &'a DeValue<'_>) -> Option<&'a str> {
    item.get("name").and_then(|name| name.get_ref().as_str())
}

/// Returns the value on one line, even if it spans several lines in the file.
fn written(value: &DeValue<'_>, deeper: usize) -> String {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()).to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) if deeper > 0 => {
            let items: Vec<String> = items.iter().map(|item| written(item.get_ref(), deeper - 1)).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Array(_) | DeValue::Table(_) => "…".to_owned(),
    }
}
