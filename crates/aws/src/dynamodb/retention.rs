//! References to images, and marks on images. In the item `IMAGE#{digest}`, the attribute
//! `needed_by` lists the operations that need the image. The attribute `marked_by` names the
//! retention run that deletes the image. An item never has both attributes.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;
use stablepin_retention_rules::inventory::WasLive;
use stablepin_retention_rules::run::RunId;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Environment, Pin, Work};
use stablepin_rules::sweep::KnownTag;
use stablepin_rules::target::live;
use uuid::Uuid;

use super::error::TableError;
use super::item::{Item, ItemKey, StoredOperation, item, record, text, unreadable};
use super::keys;
use super::operation_key::OperationKey;
use super::table::{MOST_ROUNDS, Table};
use super::tags;
use super::transaction::{CommitError, Part, Writes};
use crate::call::CallError;
use crate::failed_call::FailedCall;

/// The references to one image, or the mark on the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub digest: ImageDigest,
    /// The operations that Stablepin opened for the image. Some of them may have ended.
    pub needed_by: BTreeSet<OperationKey>,
    /// The retention run that marked the image for deletion. The run may have stopped before ECR
    /// deleted the image.
    pub marked_by: Option<RunId>,
}

impl Table {
    /// The references and marks of all images that an operation needs or a retention run has
    /// marked.
    pub async fn marks(&self, application: &ApplicationName) -> Result<Vec<Mark>, TableError> {
        let items = self.query_all(keys::images(application), keys::IMAGES).await?;
        items.iter().map(mark).collect()
    }

    /// Returns which of these operations are finished or do not exist. An operation with a pending
    /// tag or mail is not finished, even if its state is final.
    pub async fn ended(
        &self,
        application: &ApplicationName,
        operations: &[OperationKey],
    ) -> Result<BTreeSet<OperationKey>, TableError> {
        // DynamoDB refuses a request that names a key twice.
        let operations: BTreeSet<OperationKey> = operations.iter().copied().collect();
        let wanted: Vec<ItemKey> =
            operations.iter().map(|operation| keys::operation(application, *operation)).collect();
        let found = self.batch_get_attributes(&wanted, Some("pk, sk, wake")).await?;
        // Every unfinished operation has the attribute `wake`, the partition key of the secondary
        // index.
        let ended = operations
            .iter()
            .zip(&wanted)
            .filter(|(_, key)| found.get(key).is_none_or(|item| !item.contains_key("wake")));
        Ok(ended.map(|(operation, _)| *operation).collect())
    }

    /// Removes the references from these operations to the image. Keeps references that another
    /// writer adds meanwhile.
    pub async fn release(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
        operations: &BTreeSet<OperationKey>,
    ) -> Result<(), TableError> {
        if operations.is_empty() {
            return Ok(());
        }
        let key = keys::image(application, digest);
        let ended = operations.iter().map(ToString::to_string).collect();
        let release = self
            .client
            .update_item()
            .update_expression("DELETE needed_by :ended")
            .condition_expression("attribute_exists(needed_by)")
            .expression_attribute_values(":ended", AttributeValue::Ss(ended));
        match self.update_where(&key, release).await? {
            Some(left) if !left.contains_key("needed_by") && !left.contains_key("marked_by") => {
                let unmarked = self.client.delete_item().condition_expression(
                    "attribute_not_exists(needed_by) AND attribute_not_exists(marked_by)",
                );
                self.delete_where(&key, unmarked).await?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Marks the image, so that Stablepin cannot open an operation for the image. Returns false and
    /// marks nothing if an operation needs the image or another run has marked the image. Returns
    /// true if the same run has already marked the image.
    pub async fn mark_for_deletion(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
        run: RunId,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        let mark_for_deletion = self
            .client
            .update_item()
            .update_expression("SET marked_by = :run, marked_at = if_not_exists(marked_at, :now)")
            .condition_expression(
                "attribute_not_exists(needed_by) AND (attribute_not_exists(marked_by) OR marked_by = :run)",
            )
            .expression_attribute_values(":run", AttributeValue::S(run.to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()));
        Ok(self.update_where(&keys::image(application, digest), mark_for_deletion).await?.is_some())
    }

    /// Removes the image's mark, even if another run set the mark. If ECR may have deleted the
    /// image of a build, the caller must use [`was_deleted`](Self::was_deleted) instead.
    pub async fn unmark(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<(), TableError> {
        let key = keys::image(application, digest);
        // An item never has both `needed_by` and `marked_by`, so an item without `needed_by` has
        // only the mark and can be deleted.
        let unneeded = self.client.delete_item().condition_expression("attribute_not_exists(needed_by)");
        if !self.delete_where(&key, unneeded).await? {
            let unmark = self
                .client
                .update_item()
                .update_expression("REMOVE marked_by, marked_at")
                .condition_expression("attribute_exists(marked_by)");
            self.update_where(&key, unmark).await?;
        }
        Ok(())
    }

    /// Removes the image's mark, and sets the build's `tagged` to false, so that Stablepin puts the
    /// build tag again after a new push of the image. After a crash, a caller may call this method
    /// even if ECR has not deleted the image: Stablepin then only checks the build tag.
    pub async fn was_deleted(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<(), TableError> {
        for round in 0..MOST_ROUNDS {
            self.pause(round).await;
            let Some(mut build) = self.build(application, digest).await?.filter(|build| build.tagged) else {
                return self.unmark(application, digest).await;
            };
            let old = build.version;
            (build.tagged, build.version) = (false, old + 1);
            let mut writes = Writes::new(&self.name);
            let item = item(&keys::build(application, digest), build.version, &build)?;
            writes.put(item, Some(old), Part::Version);
            match self.transact(writes).await {
                Ok(()) => return self.unmark(application, digest).await,
                Err(CommitError::Table(error)) => return Err(error),
                Err(
                    CommitError::Lost
                    | CommitError::AlreadyOpened
                    | CommitError::Marked(_)
                    | CommitError::Crowded(_)
                    | CommitError::NameTaken(_)
                    | CommitError::LinkUsed
                    | CommitError::Claimed { .. },
                ) => {}
            }
        }
        Err(self.contended("TransactWriteItems", &keys::build(application, digest)))
    }

    /// Every pin of every environment, including environments that are no longer in the
    /// configuration.
    pub async fn pins_of_all(
        &self,
        application: &ApplicationName,
    ) -> Result<Vec<(EnvironmentName, PinNumber, ImageDigest)>, TableError> {
        let items = self.query_all(keys::partition(application), keys::PINS).await?;
        let pin = |item: &Item| {
            let environment = named(item, keys::PINS, |rest| {
                rest.split_once('#').and_then(|(name, _)| EnvironmentName::parse(name).ok())
            })?;
            let pin: Pin = record(item)?;
            Ok((environment, pin.number, pin.digest))
        };
        items.iter().map(pin).collect()
    }

    /// The images that were live at the start of each rollback.
    pub async fn was_live(&self, application: &ApplicationName) -> Result<Vec<WasLive>, TableError> {
        let items = self.query_all(keys::partition(application), keys::ROLLBACKS).await?;
        let mut found = Vec::new();
        for item in &items {
            let StoredOperation { environment, operation } = record(item)?;
            let Work::Rollback(rollback) = operation.work else { continue };
            let live = live(&rollback.rollout.services, None).into_iter();
            found.extend(live.map(|digest| WasLive {
                environment: environment.clone(),
                at: rollback.requested_at,
                digest,
            }));
        }
        Ok(found)
    }

    /// Every environment with a record, including environments that are no longer in the
    /// configuration.
    pub async fn environments_of(
        &self,
        application: &ApplicationName,
    ) -> Result<Vec<(EnvironmentName, Environment)>, TableError> {
        let items = self.query_all(keys::partition(application), keys::ENVIRONMENTS).await?;
        let environment = |item: &Item| {
            let name = named(item, keys::ENVIRONMENTS, |name| EnvironmentName::parse(name).ok())?;
            Ok((name, record(item)?))
        };
        items.iter().map(environment).collect()
    }

    /// Returns the [`KnownTag`] of each tag that the table has for the repository.
    pub async fn tags_of(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<HashMap<ImageTag, KnownTag>, TableError> {
        let prefix = keys::tag_prefix(repository);
        let items = self.query_all(keys::partition(application), &prefix).await?;
        let of =
            |item: &Item| Ok((named(item, &prefix, |tag| ImageTag::parse(tag).ok())?, tags::known_tag(item)));
        items.iter().map(of).collect()
    }

    /// Returns the digest and the time of the newest push of each foreign tag. A foreign tag is
    /// neither a build tag nor a tag that Stablepin put.
    pub async fn tagged_of(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<HashMap<ImageTag, (ImageDigest, Timestamp)>, TableError> {
        let prefix = keys::tagged_prefix(repository);
        let items = self.query_all(keys::partition(application), &prefix).await?;
        let mut found = HashMap::with_capacity(items.len());
        for item in &items {
            let tag = named(item, &prefix, |tag| ImageTag::parse(tag).ok())?;
            found.extend(tags::digest_and_time(item, "tagged", "tagged_at").map(|seen| (tag, seen)));
        }
        Ok(found)
    }

    /// Locks the images of an application for one retention run until the time `until`, in all its
    /// repositories, because a deletion mark belongs to a digest. Returns false if another holder
    /// has a lock that has not expired. The current holder may extend its lock.
    pub async fn lock_images(
        &self,
        application: &ApplicationName,
        run: RunId,
        holder: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, TableError> {
        let milliseconds = |at: Timestamp| AttributeValue::N(at.as_millisecond().to_string());
        let take = self
            .client
            .update_item()
            .update_expression("SET #run = :run, #holder = :holder, #until = :until")
            .condition_expression("attribute_not_exists(pk) OR #until <= :now OR #holder = :holder")
            .expression_attribute_names("#run", "run")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":run", AttributeValue::S(run.to_string()))
            .expression_attribute_values(":holder", AttributeValue::S(holder.to_string()))
            .expression_attribute_values(":until", milliseconds(until))
            .expression_attribute_values(":now", milliseconds(now));
        Ok(self.update_where(&keys::retention(application), take).await?.is_some())
    }

    /// Releases the lock. Does nothing if another holder has the lock.
    pub async fn unlock_images(&self, application: &ApplicationName, holder: Uuid) -> Result<(), TableError> {
        let own = self
            .client
            .delete_item()
            .condition_expression("#holder = :holder")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_values(":holder", AttributeValue::S(holder.to_string()));
        self.delete_where(&keys::retention(application), own).await?;
        Ok(())
    }

    /// Updates the item and returns it. Returns `None` if the condition of the update is false.
    async fn update_where(
        &self,
        key: &ItemKey,
        update: UpdateItemFluentBuilder,
    ) -> Result<Option<Item>, TableError> {
        let update =
            update.table_name(&self.name).set_key(Some(key.attributes())).return_values(ReturnValue::AllNew);
        for round in 0..MOST_ROUNDS {
            self.pause(round).await;
            match self.conditional("UpdateItem", update.clone().send().await) {
                Err(failed) if is_in_transaction(&failed) => {}
                done => return Ok(done?.map(|answer| answer.attributes.unwrap_or_default())),
            }
        }
        Err(self.contended("UpdateItem", key))
    }

    /// Deletes the item. Returns false if the condition of the deletion is false.
    async fn delete_where(&self, key: &ItemKey, delete: DeleteItemFluentBuilder) -> Result<bool, TableError> {
        let delete = delete.table_name(&self.name).set_key(Some(key.attributes()));
        for round in 0..MOST_ROUNDS {
            self.pause(round).await;
            match self.conditional("DeleteItem", delete.clone().send().await) {
                Err(failed) if is_in_transaction(&failed) => {}
                done => return Ok(done?.is_some()),
            }
        }
        Err(self.contended("DeleteItem", key))
    }

    async fn pause(&self, round: u32) {
        if round > 0 {
            tokio::time::sleep(Duration::from_millis(25 << round)).await;
        }
    }

    fn contended(&self, operation: &'static str, key: &ItemKey) -> TableError {
        let why = format!("others kept writing {}", key.sk);
        self.call(operation).failed(FailedCall::unusable(why, true)).into()
    }
}

/// Returns true if a write failed because a transaction was writing the same item. The SDK does not
/// retry such a write.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling>
fn is_in_transaction(failed: &CallError) -> bool {
    failed.code() == Some("TransactionConflictException")
}

/// Parses the part of an item's sort key after the prefix.
fn named<T>(item: &Item, prefix: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, TableError> {
    let sk = text(item, "sk");
    sk.strip_prefix(prefix).and_then(parse).ok_or_else(|| unreadable(sk, "its key has no name in it"))
}

/// Parses a mark. An unreadable mark is an error, so that retention deletes nothing.
fn mark(item: &Item) -> Result<Mark, TableError> {
    let digest = named(item, keys::IMAGES, |digest| ImageDigest::parse(digest).ok())?;
    let malformed = |reason: &str| unreadable(text(item, "sk"), reason);
    let needed_by = match item.get("needed_by") {
        None => BTreeSet::new(),
        Some(AttributeValue::Ss(operations)) => operations
            .iter()
            .map(|operation| OperationKey::parse(operation))
            .collect::<Option<_>>()
            .ok_or_else(|| malformed("it is needed by something that is no operation"))?,
        Some(_) => return Err(malformed("needed_by is no set of strings")),
    };
    let marked_by = match item.get("marked_by") {
        None => None,
        Some(AttributeValue::S(run)) => {
            Some(RunId::parse(run).ok_or_else(|| malformed("marked_by is no run's id"))?)
        }
        Some(_) => return Err(malformed("marked_by is no string")),
    };
    Ok(Mark { digest, needed_by, marked_by })
}
