//! Writes the change of an environment and its operation to the table.

use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Operation, Subject, Work};
use stablepin_rules::transition::{Change, Intent};

use super::audit::audit_item;
use super::item::{StoredOperation, item};
use super::keys::{self, WAKE, sortable};
use super::operation_key::OperationKey;
use super::table::Table;
use super::transaction::{CommitError, MOST_NEEDED, Part, Writes};

impl Table {
    /// Writes a change in one transaction, if every item on which the caller based its decision is
    /// unchanged. Returns the changed subject with its new versions.
    pub async fn commit(&self, before: &Subject, change: &Change) -> Result<Subject, CommitError> {
        let mut after = change.after.clone();
        let mut writes = Writes::new(&self.name);
        let application = after.application().clone();
        writes.check(&keys::configuration(&application), before.configuration.version, Part::Version);

        let environment_key = keys::environment(&application, &after.name);
        if after.environment == before.environment {
            writes.check(&environment_key, before.environment.version, Part::Version);
        } else {
            after.environment.version = before.environment.version + 1;
            let item = item(&environment_key, after.environment.version, &after.environment)?;
            writes.put(item, Some(before.environment.version), Part::Version);
        }
        if after.build != before.build
            && let Some(build) = &mut after.build
        {
            let old = before.build.as_ref().map_or(0, |build| build.version);
            build.version = old + 1;
            if old == 0 {
                let item = item(&keys::built(&application, build), 1, &build.digest)?;
                writes.put(item, None, Part::Version);
            }
            let item = item(&keys::build(&application, &build.digest), build.version, build)?;
            writes.put(item, Some(old), Part::Version);
        }
        if after.operation != before.operation
            && let Some(operation) = &mut after.operation
        {
            let old = before.operation.as_ref().map_or(0, |operation| operation.version);
            operation.version = old + 1;
            if let (Work::Promotion(promotion), Some(build)) = (&mut operation.work, &after.build) {
                promotion.build = build.clone();
            }
            let stored = StoredOperation { environment: after.name.clone(), operation: operation.clone() };
            let mut item = item(&keys::of_operation(&application, operation), operation.version, &stored)?;
            // The promoter need not process a leased operation before the lease ends.
            let look = operation.lease.as_ref().map(|lease| lease.until).or(operation.wake_at);
            if let (Some(at), Some(_)) = (look, operation.wake_at) {
                item.insert("wake".into(), AttributeValue::S(WAKE.into()));
                item.insert("wake_at".into(), AttributeValue::S(sortable(at)));
            }
            writes.put(item, Some(old), Part::Version);
        }
        if let (None, Some(opened)) = (&before.operation, &after.operation) {
            writes.need_image(&application, opened);
        }
        if let Some(pin) = &change.pin {
            let item = item(&keys::pin(&application, &after.name, pin.number), 1, pin)?;
            writes.put(item, Some(0), Part::Version);
        }
        for intent in &change.intents {
            writes.put_intent(&application, intent);
        }
        if let Some(occurrence) = &change.opened {
            let item = item(&keys::opened(&application, &after.name, occurrence), 1, occurrence)?;
            writes.put(item, Some(0), Part::Opened);
        }
        if let Some(token) = &change.token {
            writes.update_token(token);
        }
        for (place, audit) in (0..).zip(&change.audit) {
            writes.put(audit_item(audit, place)?, Some(0), Part::Version);
        }
        self.transact(writes).await?;
        Ok(after)
    }
}

impl Writes<'_> {
    /// Adds a reference from the opened operation to its image. The transaction fails if the image
    /// is marked for deletion or has too many references. Retention cannot mark an image that has a
    /// reference, and removes the reference after the operation has ended.
    fn need_image(&mut self, application: &ApplicationName, opened: &Operation) {
        let (digest, most) = match &opened.work {
            Work::Promotion(promotion) => (&promotion.digest, MOST_NEEDED),
            Work::Rollback(rollback) => (&rollback.target.digest, MOST_NEEDED * 2),
            // A repair restores a tag of the pinned image, which retention never deletes. A drift
            // report needs no image.
            Work::Repair(_) | Work::LiveDrift(_) => return,
        };
        let operation = OperationKey::of(opened).to_string();
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(keys::image(application, digest).attributes()))
            .update_expression("ADD needed_by :operation")
            .condition_expression(
                "attribute_not_exists(marked_by) AND (attribute_not_exists(needed_by) OR size(needed_by) < :most)",
            )
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":operation", AttributeValue::Ss(vec![operation]))
            .expression_attribute_values(":most", AttributeValue::N(most.to_string()))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Needed(digest.clone()));
    }

    fn put_intent(&mut self, application: &ApplicationName, intent: &Intent) {
        let key = keys::tag(application, &intent.repository, &intent.tag);
        let mut update = Update::builder()
            .table_name(self.table)
            .set_key(Some(key.attributes()))
            .update_expression("ADD intents :digest")
            .expression_attribute_values(":digest", AttributeValue::Ss(vec![intent.digest.to_string()]));
        if intent.exclusive {
            update = update
                .condition_expression("attribute_not_exists(intents) OR contains(intents, :own)")
                .expression_attribute_values(":own", AttributeValue::S(intent.digest.to_string()));
        }
        let update = update.build().expect("table, key and expression are set");
        let part = if intent.exclusive { Part::Name(intent.tag.clone()) } else { Part::Version };
        self.push(TransactWriteItem::builder().update(update).build(), part);
    }
}
