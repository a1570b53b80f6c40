//! The items of audit records.

use aws_sdk_dynamodb::types::AttributeValue;
use stablepin_rules::audit::AuditRecord;

use super::error::TableError;
use super::item::{Item, item};
use super::keys;
use super::uuid_v7::uuid_v7_at;

/// Builds the item of an audit record. All records of one transaction have the same time, so
/// `place` becomes part of the id and keeps the records in order.
pub(super) fn audit_item(audit: &AuditRecord, place: u8) -> Result<Item, TableError> {
    let id = uuid_v7_at(audit.at, Some(place)).to_string();
    let mut item = item(&keys::audit(audit, &id), 1, audit)?;
    item.insert("detail_type".into(), AttributeValue::S(audit.kind.detail_type().to_owned()));
    Ok(item)
}
