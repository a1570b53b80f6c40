//! The secret links in mails.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use jiff::Timestamp;
use stablepin_rules::records::Token;

use super::error::TableError;
use super::item::item;
use super::keys;
use super::table::Table;
use super::transaction::{Part, Writes};

/// The time between a link's expiry and the expiry of its item, in seconds.
pub(super) const KEPT_AFTER_EXPIRY: i64 = 7 * 24 * 3600;

impl Table {
    /// Stores a link. The caller mails the link afterwards.
    pub async fn put_token(&self, token: &Token) -> Result<(), TableError> {
        let mut item = item(&keys::token(&token.hash), 1, token)?;
        // DynamoDB deletes the item a week or more after the link expires. Until that deletion, the
        // link's page can say that the link has expired.
        let ttl = token.expires_at.as_second().saturating_add(KEPT_AFTER_EXPIRY);
        item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await
            .map_err(|error| self.call("PutItem").failed(error))?;
        Ok(())
    }
}

impl Writes<'_> {
    /// Records the use of a link or a wrong code. The transaction fails if the link has expired, or
    /// if another request has used the link or entered a wrong code meanwhile.
    pub(super) fn update_token(&mut self, token: &Token) {
        let (set, before) = match token.used_at {
            Some(at) => (("used_at", AttributeValue::S(at.to_string())), token.wrong_codes),
            None => {
                let count = AttributeValue::N(token.wrong_codes.to_string());
                (("wrong_codes", count), token.wrong_codes.saturating_sub(1))
            }
        };
        let unexpired = Timestamp::now().as_second().saturating_add(KEPT_AFTER_EXPIRY);
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(keys::token(&token.hash).attributes()))
            .update_expression("SET #record.#set = :set")
            .condition_expression(
                "attribute_type(#record.used_at, :null) AND #record.wrong_codes = :before AND #ttl > :unexpired",
            )
            .expression_attribute_names("#record", "record")
            .expression_attribute_names("#set", set.0)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":set", set.1)
            .expression_attribute_values(":before", AttributeValue::N(before.to_string()))
            .expression_attribute_values(":unexpired", AttributeValue::N(unexpired.to_string()))
            .expression_attribute_values(":null", AttributeValue::S("NULL".to_owned()))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Token);
    }
}
