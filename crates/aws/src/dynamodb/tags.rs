//! The records of tags: the digests on which Stablepin put a tag, and the newest push of the tag
//! among the pushes that Stablepin has handled.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use jiff::{SignedDuration, Timestamp};
use stablepin_rules::caller::{Caller, keep_pusher};
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::event_time::place;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::Subject;
use stablepin_rules::sweep::KnownTag;

use super::error::TableError;
use super::item::{Item, ItemKey, item};
use super::keys::{self, sortable};
use super::table::Table;
use super::transaction::{CommitError, Part, Writes};

/// The time for which the table keeps a [`Caller`], in seconds. A push event of ECR that arrives
/// late still needs the caller. Records that need the caller for longer contain a copy.
const CALLER_KEPT: i64 = 30 * 24 * 3600;

/// The time for which the table keeps a [`ContainingIndex`], in seconds. The push event of the
/// contained image may arrive a day late, because EventBridge retries an event for one day.
const CONTAINED_KEPT: i64 = 2 * 24 * 3600;

impl Table {
    /// Returns the [`KnownTag`] of each of these tags. Omits tags that are not in the table.
    pub async fn known_tags(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tags: &[ImageTag],
    ) -> Result<BTreeMap<ImageTag, KnownTag>, TableError> {
        let wanted: Vec<ItemKey> = tags.iter().map(|tag| keys::tag(application, repository, tag)).collect();
        let found = self.batch_get_many(&wanted).await?;
        let known =
            tags.iter().zip(&wanted).filter_map(|(tag, key)| Some((tag.clone(), known_tag(found.get(key)?))));
        Ok(known.collect())
    }

    /// Returns the digests with a build in the table. Stablepin has handled a push of each of these
    /// digests.
    pub async fn known_builds(
        &self,
        application: &ApplicationName,
        digests: &[ImageDigest],
    ) -> Result<BTreeSet<ImageDigest>, TableError> {
        let wanted: Vec<ItemKey> = digests.iter().map(|digest| keys::build(application, digest)).collect();
        let found = self.batch_get_many(&wanted).await?;
        let known = digests.iter().zip(&wanted).filter(|(_, key)| found.contains_key(key));
        Ok(known.map(|(digest, _)| digest.clone()).collect())
    }

    /// Returns the principal that put the tag on the digest, according to CloudTrail. Returns
    /// `None` if CloudTrail has not yet reported the `PutImage` call, or if there is no trail.
    pub async fn caller(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
    ) -> Result<Option<Caller>, TableError> {
        self.stored(&keys::caller(application, repository, tag, digest)).await
    }

    pub async fn put_caller(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
        caller: &Caller,
    ) -> Result<(), TableError> {
        let item = item(&keys::caller(application, repository, tag, digest), 1, caller)?;
        self.put_newest(item, caller.at, CALLER_KEPT).await
    }

    /// Returns the newest image index that is a build and contains this image.
    pub async fn containing_index(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<Option<ContainingIndex>, TableError> {
        self.stored(&keys::contained(application, digest)).await
    }

    pub async fn put_containing_index(
        &self,
        application: &ApplicationName,
        contained: &ImageDigest,
        index: &ContainingIndex,
    ) -> Result<(), TableError> {
        let item = item(&keys::contained(application, contained), 1, index)?;
        self.put_newest(item, index.pushed_at, CONTAINED_KEPT).await
    }

    /// Writes the item, unless the table has an item from a newer report. Reports may arrive in any
    /// order. The item expires `seconds` after now, or after `at` if `at` is in the future. So the
    /// item of a late report does not expire immediately.
    async fn put_newest(&self, mut item: Item, at: Timestamp, seconds: i64) -> Result<(), TableError> {
        let ttl = at.max(Timestamp::now()).as_second().saturating_add(seconds);
        item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
        item.insert("called_at".into(), AttributeValue::S(sortable(at)));
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(called_at) OR called_at <= :at OR called_at > :ahead")
            .expression_attribute_values(":at", AttributeValue::S(sortable(at)))
            .expression_attribute_values(":ahead", AttributeValue::S(latest_valid_time()))
            .send()
            .await;
        // If the condition is false, the table has a newer item.
        self.conditional("PutItem", answer)?;
        Ok(())
    }

    /// The ARNs of the principals that put a build tag on this digest, according to CloudTrail.
    pub async fn pushers(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<BTreeSet<String>, TableError> {
        let found = self.get(&keys::pushers(application, digest)).await?;
        Ok(found.map(|item| pushers_of(&item)).unwrap_or_default())
    }

    pub async fn add_pusher(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
        arn: &str,
    ) -> Result<(), TableError> {
        self.client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::pushers(application, digest).attributes()))
            .update_expression("ADD pushers :arn")
            .expression_attribute_values(":arn", AttributeValue::Ss(vec![arn.to_owned()]))
            .send()
            .await
            .map_err(|error| self.call("UpdateItem").failed(error))?;
        Ok(())
    }

    /// Deletes the record that Stablepin put the tag on these digests. The caller must know that no
    /// push event of this tag on these digests can still arrive. Returns false and changes nothing
    /// if the environment has changed since the caller decided.
    pub async fn forget_intents(
        &self,
        before: &Subject,
        repository: &RepositoryName,
        tag: &ImageTag,
        digests: &[ImageDigest],
    ) -> Result<bool, TableError> {
        let mut writes = Writes::new(&self.name);
        let environment = keys::environment(before.application(), &before.name);
        writes.check(&environment, before.environment.version, Part::Version);
        let digests = digests.iter().map(ToString::to_string).collect();
        writes.forget_intents(&keys::tag(before.application(), repository, tag), digests);
        match self.transact(writes).await {
            Ok(()) => Ok(true),
            Err(CommitError::Table(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Records a push of a tag, unless Stablepin has handled a newer push of the tag. `is_answered`
    /// is false if Stablepin could not handle the push because retention was deleting the image.
    /// The sweep handles such a push later, however old the image is.
    pub async fn put_push(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
        at: Timestamp,
        is_answered: bool,
    ) -> Result<(), TableError> {
        let update = match is_answered {
            true => "SET followed = :digest, followed_at = :at REMOVE unanswered, unanswered_at",
            false => "SET unanswered = :digest, unanswered_at = :at",
        };
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::tag(application, repository, tag).attributes()))
            .update_expression(update)
            .condition_expression(
                "attribute_not_exists(followed_at) OR followed_at <= :at OR followed_at > :ahead",
            )
            .expression_attribute_values(":digest", AttributeValue::S(digest.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(sortable(at)))
            .expression_attribute_values(":ahead", AttributeValue::S(latest_valid_time()))
            .send()
            .await;
        self.conditional("UpdateItem", answer)?;
        Ok(())
    }

    /// Records the push of a foreign tag: neither a build tag nor a tag that Stablepin put.
    /// Retention counts the image's age from that push. The record is not part of the [`KnownTag`],
    /// because the record expires after `kept` and a [`KnownTag`] must not expire.
    pub async fn was_tagged(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
        at: Timestamp,
        kept: SignedDuration,
    ) -> Result<(), TableError> {
        let ends = at.as_second().saturating_add(kept.as_secs());
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::tagged(application, repository, tag).attributes()))
            .update_expression("SET tagged = :digest, tagged_at = :at, #ttl = :ttl")
            .condition_expression("attribute_not_exists(tagged_at) OR tagged_at <= :at")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":digest", AttributeValue::S(digest.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(sortable(at)))
            .expression_attribute_values(":ttl", AttributeValue::N(ends.to_string()))
            .send()
            .await;
        self.conditional("UpdateItem", answer)?;
        Ok(())
    }
}

impl Writes<'_> {
    fn forget_intents(&mut self, tag: &ItemKey, digests: Vec<String>) {
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(tag.attributes()))
            .update_expression("DELETE intents :digests")
            .expression_attribute_values(":digests", AttributeValue::Ss(digests))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Version);
    }
}

/// The latest time that a correct clock can report. A stored time that is later is wrong, so any
/// new report replaces that stored time.
fn latest_valid_time() -> String {
    sortable(place(Timestamp::now(), Timestamp::MAX))
}

pub(super) fn pushers_of(item: &Item) -> BTreeSet<String> {
    match item.get("pushers") {
        Some(AttributeValue::Ss(arns)) => {
            // An old item may have more ARNs than `keep_pusher` keeps: older versions had no limit.
            let mut known = BTreeSet::new();
            for arn in arns {
                keep_pusher(&mut known, arn);
            }
            known
        }
        _ => BTreeSet::new(),
    }
}

pub(super) fn known_tag(item: &Item) -> KnownTag {
    let intents = match item.get("intents") {
        Some(AttributeValue::Ss(digests)) => {
            digests.iter().filter_map(|digest| ImageDigest::parse(digest).ok()).collect()
        }
        _ => BTreeSet::new(),
    };
    let followed = digest_and_time(item, "followed", "followed_at");
    let unanswered = digest_and_time(item, "unanswered", "unanswered_at");
    KnownTag { intents, followed, unanswered }
}

/// Reads a digest and its time from two attributes of an item.
pub(super) fn digest_and_time(item: &Item, digest: &str, at: &str) -> Option<(ImageDigest, Timestamp)> {
    match (item.get(digest), item.get(at)) {
        (Some(AttributeValue::S(digest)), Some(AttributeValue::S(at))) => {
            ImageDigest::parse(digest).ok().zip(at.parse().ok())
        }
        _ => None,
    }
}
