//! Builds and parses items. An item has the attributes of its key, a version and a record.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stablepin_rules::application::Application;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::{Configuration, Operation};

use super::error::TableError;

pub(super) type Item = HashMap<String, AttributeValue>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ItemKey {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl ItemKey {
    pub(super) fn attributes(&self) -> Item {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    pub(super) fn of(item: &Item) -> Option<Self> {
        match (item.get("pk"), item.get("sk")) {
            (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) => {
                Some(Self { pk: pk.clone(), sk: sk.clone() })
            }
            _ => None,
        }
    }
}

#[derive(Serialize, serde::Deserialize)]
pub(super) struct StoredOperation {
    pub(super) environment: EnvironmentName,
    pub(super) operation: Operation,
}

#[derive(Serialize, serde::Deserialize)]
pub(super) struct StoredConfiguration {
    pub(super) text: String,
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) by: String,
}

pub(super) fn configuration_of(item: &Item) -> Result<Configuration, TableError> {
    let stored: StoredConfiguration = record(item)?;
    let application = Application::parse(&stored.text, None).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        unreadable("CONFIG", errors.join("; "))
    })?;
    Ok(Configuration { application, version: stored.version })
}

pub(super) fn record<T: DeserializeOwned>(item: &Item) -> Result<T, TableError> {
    let value = item.get("record").cloned().unwrap_or(AttributeValue::Null(true));
    serde_dynamo::aws_sdk_dynamodb_1::from_attribute_value(value)
        .map_err(|error| unreadable(text(item, "sk"), error.to_string()))
}

/// Removes an item from the result of a read, and returns the item's record.
pub(super) fn take<T: DeserializeOwned>(
    found: &mut HashMap<ItemKey, Item>,
    key: &ItemKey,
) -> Result<Option<T>, TableError> {
    found.remove(key).map(|item| record(&item)).transpose()
}

/// Returns a text attribute of an item, or an empty text if the item lacks that attribute.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    match item.get(name) {
        Some(AttributeValue::S(text)) => text,
        _ => "",
    }
}

pub(super) fn unreadable(key: &str, reason: impl Into<String>) -> TableError {
    TableError::Unreadable { key: key.to_owned(), reason: reason.into() }
}

pub(super) fn item<T: Serialize>(key: &ItemKey, version: u64, value: &T) -> Result<Item, TableError> {
    let value = serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(value)
        .map_err(|error| unreadable(&key.sk, error.to_string()))?;
    let mut item = key.attributes();
    item.insert("version".into(), AttributeValue::N(version.to_string()));
    item.insert("record".into(), value);
    Ok(item)
}
