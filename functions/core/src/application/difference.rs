//! What changes between two application files, setting by setting, for people to read and for the audit.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// One setting that two files do not agree on. Values are as TOML writes them: `"72h"`, `2`, `["lead"]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Such as `retention.days`, or `environment[production].approval.expires`: tables that have names are
    /// called by them, so that nothing seems to change when their order does.
    pub key: String,
    /// None: it was not written.
    pub from: Option<String>,
    /// None: it is not written any more.
    pub to: Option<String>,
}

/// The settings that are written differently, sorted by key; before the first file, nothing was written. A
/// setting that is written with its default's value differs from one that is not written.
///
/// Both texts must have been parsed as application files; what is not TOML counts as nothing written.
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
    for (key, value) in text.parse::<Table>().unwrap_or_default() {
        flatten(key, value, DEEPEST, &mut settings);
    }
    settings
}

/// How many tables within tables are taken apart; an application file has three.
const DEEPEST: usize = 5;

fn flatten(key: String, value: Value, deeper: usize, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) if deeper > 0 => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, deeper - 1, settings);
            }
        }
        Value::Array(items) if deeper > 0 && !items.is_empty() && items.iter().all(Value::is_table) => {
            let names: BTreeSet<&str> = items.iter().filter_map(name).collect();
            let by_name = names.len() == items.len();
            for (index, item) in items.into_iter().enumerate() {
                let called = name(&item).filter(|_| by_name).map_or(index.to_string(), str::to_owned);
                flatten(format!("{key}[{called}]"), item, deeper - 1, settings);
            }
        }
        value => {
            settings.insert(key, value.to_string());
        }
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}
