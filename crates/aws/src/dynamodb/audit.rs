//! The items of audit records.

use aws_sdk_dynamodb::types::AttributeValue;
use stablepin_rules::audit::AuditRecord;

use super::error::TableError;
use super::item::{Item, item};
use super::keys;
use super::table::Table;
use super::uuid_v7::uuid_v7_at;

impl Table {
    /// Writes an audit record that belongs to no other change. The table's stream publishes it.
    pub async fn put_audit(&self, audit: &AuditRecord) -> Result<(), TableError> {
        self.put_new(audit_item(audit, 0)?).await
    }
}

/// Builds the item of an audit record. `place` is the record's position in its transaction. The id
/// contains `place`, because all audit records of a transaction have the same time.
pub(super) fn audit_item(audit: &AuditRecord, place: u8) -> Result<Item, TableError> {
    let id = uuid_v7_at(audit.at, Some(place)).to_string();
    let mut item = item(&keys::audit(audit, &id), 1, audit)?;
    item.insert("detail_type".into(), AttributeValue::S(audit.kind.detail_type().to_owned()));
    Ok(item)
}
