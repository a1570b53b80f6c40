//! Transactions: several writes with their conditions, and an error that names the failed
//! condition.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem};
use stablepin_rules::image::{ImageDigest, ImageTag};

use super::error::TableError;
use super::item::{Item, ItemKey, record};
use super::table::Table;
use crate::failed_call::FailedCall;

/// The reason why a change was not written. DynamoDB writes a change completely or not at all.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("a record that the decision depends on has changed meanwhile")]
    Lost,
    #[error("this push was handled before")]
    AlreadyOpened,
    #[error("retention is deleting {0}")]
    Marked(ImageDigest),
    #[error("{MOST_NEEDED} operations were opened for {0}, and not released")]
    Crowded(ImageDigest),
    #[error("the tag {0} is another digest's")]
    NameTaken(ImageTag),
    #[error("the link was used meanwhile")]
    LinkUsed,
    #[error("{what} is claimed by application {by}")]
    Claimed { what: String, by: String },
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The most promotions that can refer to one image until retention's nightly run removes the
/// references of ended promotions. 1,000 references of 47 bytes use a ninth of an item's 400 kB.
/// Rollbacks can use another 1,000 references, so promotions cannot block rollbacks.
pub const MOST_NEEDED: usize = 1000;

/// The purpose of a write in a transaction. The purpose determines the error if the write's
/// condition fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Version,
    Opened,
    Needed(ImageDigest),
    Token,
    Name(ImageTag),
    Claim(String),
}

pub(super) struct Writes<'a> {
    pub(super) table: &'a str,
    pub(super) items: Vec<TransactWriteItem>,
    pub(super) parts: Vec<Part>,
}

fn version_is(version: u64) -> (&'static str, Option<HashMap<String, AttributeValue>>) {
    match version {
        0 => ("attribute_not_exists(pk)", None),
        _ => {
            let value = AttributeValue::N(version.to_string());
            ("version = :version", Some(HashMap::from([(":version".to_owned(), value)])))
        }
    }
}

impl<'a> Writes<'a> {
    pub(super) fn new(table: &'a str) -> Self {
        Self { table, items: Vec::new(), parts: Vec::new() }
    }

    pub(super) fn push(&mut self, item: TransactWriteItem, part: Part) {
        self.items.push(item);
        self.parts.push(part);
    }

    /// Requires that the item has this version. Version 0 means that the item does not exist.
    pub(super) fn check(&mut self, key: &ItemKey, version: u64, part: Part) {
        let (expression, values) = version_is(version);
        let check = ConditionCheck::builder()
            .table_name(self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(expression)
            .set_expression_attribute_values(values)
            .build()
            .expect("table, key and condition are set");
        self.push(TransactWriteItem::builder().condition_check(check).build(), part);
    }

    /// Writes the item if the stored item has this version. Version 0 means that the table has no
    /// such item yet.
    pub(super) fn put(&mut self, item: Item, version: Option<u64>, part: Part) {
        let mut put = Put::builder().table_name(self.table).set_item(Some(item));
        if let Some(version) = version {
            let (expression, values) = version_is(version);
            put = put.condition_expression(expression).set_expression_attribute_values(values);
        }
        let put = put.build().expect("table and item are set");
        self.push(TransactWriteItem::builder().put(put).build(), part);
    }
}

impl Table {
    /// Writes one item that does not exist yet, in a transaction with one write. The operation
    /// `PutItem` would add 50 kB to a program that does not need this operation elsewhere.
    pub(super) async fn put_new(&self, item: Item) -> Result<(), TableError> {
        let mut writes = Writes::new(&self.name);
        writes.put(item, Some(0), Part::Version);
        self.transact(writes).await.map_err(|error| match error {
            CommitError::Table(error) => error,
            lost => {
                self.call("TransactWriteItems").failed(FailedCall::unusable(lost.to_string(), true)).into()
            }
        })
    }

    pub(super) async fn transact(&self, writes: Writes<'_>) -> Result<(), CommitError> {
        let Writes { items, parts, .. } = writes;
        let call = self.call("TransactWriteItems");
        let answer = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = answer else { return Ok(()) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let failed = |wanted: &dyn Fn(&Part) -> bool| {
                parts.iter().zip(reasons).find(|(part, reason)| {
                    wanted(part) && reason.code().is_some_and(|code| code == "ConditionalCheckFailed")
                })
            };
            // The conditions with a specific error are checked first, because `Lost` says only that
            // something has changed.
            if failed(&|part| *part == Part::Opened).is_some() {
                return Err(CommitError::AlreadyOpened);
            }
            if let Some((Part::Needed(digest), reason)) = failed(&|part| matches!(part, Part::Needed(_))) {
                let crowded = reason.item().is_some_and(|item| !item.contains_key("marked_by"));
                let of = if crowded { CommitError::Crowded } else { CommitError::Marked };
                return Err(of(digest.clone()));
            }
            if failed(&|part| *part == Part::Token).is_some() {
                return Err(CommitError::LinkUsed);
            }
            if let Some((Part::Name(tag), _)) = failed(&|part| matches!(part, Part::Name(_))) {
                return Err(CommitError::NameTaken(tag.clone()));
            }
            if let Some((Part::Claim(what), reason)) = failed(&|part| matches!(part, Part::Claim(_))) {
                let by = reason.item().and_then(|item| record::<String>(item).ok());
                let by = by.unwrap_or_else(|| "another".to_owned());
                return Err(CommitError::Claimed { what: what.clone(), by });
            }
            let raced = |code: &str| matches!(code, "ConditionalCheckFailed" | "TransactionConflict");
            if reasons.iter().any(|reason| reason.code().is_some_and(raced)) {
                return Err(CommitError::Lost);
            }
            // The code of the whole cancellation does not say whether a retry may succeed. The code
            // of a single reason does.
            if let Some(reason) =
                reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"))
            {
                let why = FailedCall::refused(400, reason.code(), reason.message(), None);
                return Err(TableError::from(call.failed(why)).into());
            }
        }
        let failed = call.failed(error);
        match failed.code() {
            Some("TransactionConflictException") => Err(CommitError::Lost),
            _ => Err(TableError::from(failed).into()),
        }
    }
}
