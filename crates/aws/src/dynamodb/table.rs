//! The client of the table, and its consistent reads of items by key.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use serde::de::DeserializeOwned;

use super::error::TableError;
use super::item::{Item, ItemKey, record};
use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;
use crate::session::Session;

/// A client of the stack's only table.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

/// The most keys that one BatchGetItem call accepts.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const PER_READ: usize = 100;

/// The most requests for one batch or one write. DynamoDB may leave keys of a batch unprocessed,
/// and a write may conflict with a transaction.
pub(super) const MOST_ROUNDS: u32 = 6;

impl Table {
    pub fn new(session: &Session, name: String) -> Self {
        Self { client: session.dynamodb(), name }
    }

    /// Describes a call to this operation, for the texts of errors.
    pub(super) fn call(&self, operation: &'static str) -> Call {
        let acts_on = if matches!(operation, "BatchGetItem" | "Query") { "read" } else { "write to" };
        Call::new(operation, format!("{acts_on} the table {}", self.name))
    }

    /// Returns the response to a conditional write. Returns `None` if the condition of the write is
    /// false.
    pub(super) fn conditional<T>(
        &self,
        operation: &'static str,
        answer: Result<T, impl Into<FailedCall>>,
    ) -> Result<Option<T>, CallError> {
        self.call(operation).none_if(&["ConditionalCheckFailedException"], answer)
    }

    /// Reads the record of an item.
    pub(super) async fn stored<T: DeserializeOwned>(&self, key: &ItemKey) -> Result<Option<T>, TableError> {
        self.get(key).await?.map(|item| record(&item)).transpose()
    }

    /// Reads one item as a batch. `GetItem` would do the same, but would add another SDK operation
    /// to each zip file.
    pub(super) async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        Ok(self.batch_get(std::slice::from_ref(key)).await?.remove(key))
    }

    /// Reads any number of items, in batches of [`PER_READ`].
    pub(super) fn batch_get_many(
        &self,
        wanted: &[ItemKey],
    ) -> impl Future<Output = Result<HashMap<ItemKey, Item>, TableError>> {
        self.batch_get_attributes(wanted, None)
    }

    /// Reads only these attributes of any number of items. `None` reads all attributes.
    pub(super) async fn batch_get_attributes(
        &self,
        wanted: &[ItemKey],
        attributes: Option<&str>,
    ) -> Result<HashMap<ItemKey, Item>, TableError> {
        let mut found = HashMap::new();
        for part in wanted.chunks(PER_READ) {
            found.extend(self.batch_get_part(part, attributes).await?);
        }
        Ok(found)
    }

    pub(super) fn batch_get(
        &self,
        wanted: &[ItemKey],
    ) -> impl Future<Output = Result<HashMap<ItemKey, Item>, TableError>> {
        self.batch_get_part(wanted, None)
    }

    /// Reads up to [`PER_READ`] items consistently, in one request. Requests unprocessed keys
    /// again.
    async fn batch_get_part(
        &self,
        wanted: &[ItemKey],
        attributes: Option<&str>,
    ) -> Result<HashMap<ItemKey, Item>, TableError> {
        let call = self.call("BatchGetItem");
        let mut found = HashMap::new();
        let mut open: Vec<_> = wanted.iter().map(ItemKey::attributes).collect();
        let mut rounds = 0;
        while !open.is_empty() {
            if rounds == MOST_ROUNDS {
                let why = format!("{} of {} keys stayed unprocessed", open.len(), wanted.len());
                return Err(call.failed(FailedCall::unusable(why, true)).into());
            }
            if rounds > 0 {
                tokio::time::sleep(Duration::from_millis(25 << rounds)).await;
            }
            rounds += 1;
            let ask = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_projection_expression(attributes.map(str::to_owned))
                .set_keys(Some(open))
                .build()
                .expect("the keys are set");
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.name, ask)
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                if let Some(key) = ItemKey::of(&item) {
                    found.insert(key, item);
                }
            }
            open = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|keys| keys.keys)
                .collect();
        }
        Ok(found)
    }
}
