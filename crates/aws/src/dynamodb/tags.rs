//! What the table knows of tags: those that we put ourselves, and where followed ones were last seen.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use stablepin_rules::caller::{Caller, keep_pusher};
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::event_time::place;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::Subject;
use stablepin_rules::sweep::KnownTag;

use super::{CommitError, Item, ItemKey, Part, Table, TableError, Writes, item, keys, record, sortable};

/// Seconds that a caller is kept for an event of the registry that is late: what it was needed for has a copy.
const CALLER_KEPT: i64 = 30 * 24 * 3600;

/// Seconds that the index of an image is kept for an event of that image's push: EventBridge tries for a day.
const CONTAINED_KEPT: i64 = 2 * 24 * 3600;

impl Table {
    /// The tags that the table knows anything of.
    pub async fn known_tags(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tags: &[ImageTag],
    ) -> Result<BTreeMap<ImageTag, KnownTag>, TableError> {
        let wanted: Vec<ItemKey> = tags.iter().map(|tag| keys::tag(application, repository, tag)).collect();
        let found = self.batch_get_many(&wanted).await?;
        let there =
            tags.iter().zip(&wanted).filter_map(|(tag, key)| Some((tag.clone(), of(found.get(key)?))));
        Ok(there.collect())
    }

    /// Which of these digests a push was answered for.
    pub async fn known_builds(
        &self,
        application: &ApplicationName,
        digests: &[ImageDigest],
    ) -> Result<BTreeSet<ImageDigest>, TableError> {
        let wanted: Vec<ItemKey> = digests.iter().map(|digest| keys::build(application, digest)).collect();
        let found = self.batch_get_many(&wanted).await?;
        let there = digests.iter().zip(&wanted).filter(|(_, key)| found.contains_key(key));
        Ok(there.map(|(digest, _)| digest.clone()).collect())
    }

    /// Who put the tag on the digest, as CloudTrail recorded it; none: it has not told yet, or there is no trail.
    pub async fn caller(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
    ) -> Result<Option<Caller>, TableError> {
        let found = self.get(&keys::caller(application, repository, tag, digest)).await?;
        found.map(|item| record("CALLER", &item)).transpose()
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

    /// The newest build that is an image index and contains this image.
    pub async fn containing_index(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<Option<ContainingIndex>, TableError> {
        let found = self.get(&keys::contained(application, digest)).await?;
        found.map(|item| record("CONTAINED", &item)).transpose()
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

    /// Keeps the item for so many seconds, also where it is told of late. The newest counts, in whatever order they are told.
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
            .expression_attribute_values(":ahead", AttributeValue::S(ahead()))
            .send()
            .await;
        or_newer("PutItem", answer)
    }

    /// Who has put a build's tag on this digest, ever, as far as CloudTrail has told.
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
            .map_err(TableError::call("UpdateItem"))?;
        Ok(())
    }

    /// Nothing can be told any more of these digests having had this tag from us. False where the environment has changed since
    /// that was decided: nothing is forgotten then.
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
        writes.forget(&keys::tag(before.application(), repository, tag), digests);
        match self.transact(writes).await {
            Ok(()) => Ok(true),
            Err(CommitError::Table(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The push of a tag was answered. An older one that comes late does not undo a newer one.
    pub async fn follow(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let update = "SET followed = :digest, followed_at = :at REMOVE unanswered, unanswered_at";
        self.pushed(&keys::tag(application, repository, tag), update, digest, at).await
    }

    /// The push of a tag was told of, and cannot be answered now: the sweep finds it, however old the image is.
    pub async fn leave_unanswered(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let update = "SET unanswered = :digest, unanswered_at = :at";
        self.pushed(&keys::tag(application, repository, tag), update, digest, at).await
    }

    /// Somebody put a tag that is no build and none of ours: retention counts the image's age from then on. One item a tag,
    /// which ends by itself when it is `kept` no longer. It is no part of what is known of tags that are ours or followed,
    /// since that must not end.
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
        or_newer("UpdateItem", answer)
    }

    /// Nothing where a newer push was answered.
    async fn pushed(
        &self,
        tag: &ItemKey,
        update: &str,
        digest: &ImageDigest,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(tag.attributes()))
            .update_expression(update)
            .condition_expression(
                "attribute_not_exists(followed_at) OR followed_at <= :at OR followed_at > :ahead",
            )
            .expression_attribute_values(":digest", AttributeValue::S(digest.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(sortable(at)))
            .expression_attribute_values(":ahead", AttributeValue::S(ahead()))
            .send()
            .await;
        or_newer("UpdateItem", answer)
    }
}

/// A time that was stored and is later than this is no clock's: whatever comes now is newer.
fn ahead() -> String {
    sortable(place(Timestamp::now(), Timestamp::MAX))
}

pub(super) fn pushers_of(item: &Item) -> BTreeSet<String> {
    match item.get("pushers") {
        Some(AttributeValue::Ss(arns)) => {
            // Those that were kept before there was a bound, too.
            let mut known = BTreeSet::new();
            for arn in arns {
                keep_pusher(&mut known, arn);
            }
            known
        }
        _ => BTreeSet::new(),
    }
}

/// Where the condition does not hold there is something newer, and that stays.
fn or_newer<T, E, R>(operation: &'static str, answer: Result<T, SdkError<E, R>>) -> Result<(), TableError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
        Err(error) => Err(TableError::call(operation)(error)),
    }
}

pub(super) fn of(item: &Item) -> KnownTag {
    let intents = match item.get("intents") {
        Some(AttributeValue::Ss(digests)) => {
            digests.iter().filter_map(|digest| ImageDigest::parse(digest).ok()).collect()
        }
        _ => BTreeSet::new(),
    };
    let followed = seen(item, "followed", "followed_at");
    let unanswered = seen(item, "unanswered", "unanswered_at");
    KnownTag { intents, followed, unanswered }
}

/// A digest, and when it was told of.
pub(super) fn seen(item: &Item, digest: &str, at: &str) -> Option<(ImageDigest, Timestamp)> {
    match (item.get(digest), item.get(at)) {
        (Some(AttributeValue::S(digest)), Some(AttributeValue::S(at))) => {
            ImageDigest::parse(digest).ok().zip(at.parse().ok())
        }
        _ => None,
    }
}
