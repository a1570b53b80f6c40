//! Reads of many items, in pages.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::records::{Build, Operation, Pin, Work};

use super::error::TableError;
use super::item::{Item, StoredOperation, record, take, text};
use super::keys::{self, WAKE, sortable};
use super::operation_key::{Key, OperationKey};
use super::table::Table;
use super::uuid_v7::uuid_v7;

/// The end of a page: the sort key of its last item. In [`Table::history`], the id of the page's
/// last operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// The most rollbacks that one read returns. A read covers the rollbacks of all environments.
const ROLLBACKS_A_READ: i32 = 100;

/// The most reads for one page of an environment's rollbacks.
const READS_FOR_ROLLBACKS: u32 = 10;

#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The position after this page. `None` on the last page.
    pub next: Option<Cursor>,
}

pub(super) struct Range<'a> {
    pub(super) partition: String,
    pub(super) prefix: &'a str,
    pub(super) newest_first: bool,
    /// The most items of a page. With `None`, a page is one DynamoDB read of up to 1 MB.
    pub(super) limit: Option<i32>,
    pub(super) after: Option<Cursor>,
}

impl Table {
    /// Every pin that the environment ever had, newest first.
    pub async fn pins(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Pin>, TableError> {
        self.newest_pins(application, environment, usize::MAX).await
    }

    /// Returns at least `least` pins, newest first, or all pins if there are fewer.
    pub async fn newest_pins(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
        least: usize,
    ) -> Result<Vec<Pin>, TableError> {
        let (mut pins, mut after) = (Vec::new(), None);
        while pins.len() < least {
            let page = self.pins_page(application, environment, 1000, after).await?;
            pins.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(pins)
    }

    /// A page of pins, newest first.
    pub async fn pins_page(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<Pin>, TableError> {
        self.query(Range {
            partition: keys::partition(application),
            prefix: &keys::pin_prefix(environment),
            newest_first: true,
            limit: Some(limit),
            after,
        })
        .await
    }

    /// A page of promotions of all environments, newest first.
    pub async fn promotions(
        &self,
        application: &ApplicationName,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<(EnvironmentName, Operation)>, TableError> {
        let page: Page<StoredOperation> = self
            .query(Range {
                partition: keys::partition(application),
                prefix: "PROMOTION#",
                newest_first: true,
                limit: Some(limit),
                after,
            })
            .await?;
        let items = page.items.into_iter().map(|stored| (stored.environment, stored.operation)).collect();
        Ok(Page { items, next: page.next })
    }

    /// A page of an environment's rollbacks, newest first. The keys of rollbacks do not name the
    /// environment, so this method also reads the rollbacks of other environments and omits them.
    /// Even a page before the last page may have fewer than `limit` rollbacks, or none.
    pub async fn rollbacks(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
        limit: i32,
        mut after: Option<Cursor>,
    ) -> Result<Page<Operation>, TableError> {
        let most = usize::try_from(limit).unwrap_or_default();
        for _ in 0..READS_FOR_ROLLBACKS {
            let page: Page<StoredOperation> = self
                .query(Range {
                    partition: keys::partition(application),
                    prefix: keys::ROLLBACKS,
                    newest_first: true,
                    limit: Some(ROLLBACKS_A_READ),
                    after,
                })
                .await?;
            let of_environment = page.items.into_iter().filter(|stored| stored.environment == *environment);
            let mut items: Vec<_> = of_environment.map(|stored| stored.operation).collect();
            let mut next = page.next;
            if items.len() > most {
                items.truncate(most);
                next = items.last().map(|last| Cursor(OperationKey::of(last).to_string()));
            }
            if !items.is_empty() || next.is_none() {
                return Ok(Page { items, next });
            }
            after = next;
        }
        Ok(Page { items: Vec::new(), next: after })
    }

    /// A page of builds, newest first by the time of their first push.
    pub async fn builds(
        &self,
        application: &ApplicationName,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<Build>, TableError> {
        let page: Page<ImageDigest> = self
            .query(Range {
                partition: keys::partition(application),
                prefix: keys::BUILT,
                newest_first: true,
                limit: Some(limit),
                after,
            })
            .await?;
        let wanted: Vec<_> = page.items.iter().map(|digest| keys::build(application, digest)).collect();
        let mut found = self.batch_get_many(&wanted).await?;
        let builds = wanted.iter().filter_map(|key| take(&mut found, key).transpose());
        Ok(Page { items: builds.collect::<Result<_, _>>()?, next: page.next })
    }

    /// Reads an operation and the name of its environment.
    pub async fn operation(
        &self,
        application: &ApplicationName,
        key: OperationKey,
    ) -> Result<Option<(EnvironmentName, Operation)>, TableError> {
        let stored: Option<StoredOperation> = self.stored(&keys::operation(application, key)).await?;
        Ok(stored.map(|stored| (stored.environment, stored.operation)))
    }

    /// A page of a month's audit records, newest first. A month is written `2026-11`.
    pub async fn audit(
        &self,
        application: &ApplicationName,
        month: &str,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<AuditRecord>, TableError> {
        self.query(Range {
            partition: keys::audit_partition(application, month),
            prefix: "",
            newest_first: true,
            limit: Some(limit),
            after,
        })
        .await
    }

    /// Returns the application's audit records that have exactly this time.
    pub async fn audit_at(
        &self,
        application: &ApplicationName,
        at: Timestamp,
    ) -> Result<Vec<AuditRecord>, TableError> {
        let id = uuid_v7(at).to_string();
        let range = Range {
            partition: keys::audit_partition(application, &at.strftime("%Y-%m").to_string()),
            // The id of an audit record begins with its time in milliseconds.
            prefix: &id[..13],
            newest_first: false,
            limit: None,
            after: None,
        };
        let mut records: Vec<AuditRecord> = self.query(range).await?.items;
        records.retain(|record| record.at == at);
        Ok(records)
    }

    /// A page of the names of all applications, in alphabetical order.
    pub async fn applications(
        &self,
        limit: i32,
        after: Option<Cursor>,
    ) -> Result<Page<ApplicationName>, TableError> {
        self.query(Range {
            partition: keys::DIRECTORY.to_owned(),
            prefix: "",
            newest_first: false,
            limit: Some(limit),
            after,
        })
        .await
    }

    /// Lists the operations that are due, in the order of their due times. The index `wake` may be
    /// stale, so the caller must read each operation again before it decides.
    pub async fn due(&self, now: Timestamp, limit: i32) -> Result<Vec<Key>, TableError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name("wake")
            .key_condition_expression("wake = :wake AND wake_at <= :now")
            .expression_attribute_values(":wake", AttributeValue::S(WAKE.to_owned()))
            .expression_attribute_values(":now", AttributeValue::S(sortable(now)))
            .limit(limit)
            .send()
            .await
            .map_err(|error| self.call("Query").failed(error))?;
        let mut due = Vec::new();
        for item in answer.items.unwrap_or_default() {
            match self.key_of(&item).await {
                Ok(key) => due.extend(key),
                // One unreadable record must not delay all other operations.
                Err(error @ TableError::Unreadable { .. }) => {
                    tracing::error!(item.key = ?item.get("sk"), "a due operation cannot be read: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    /// Returns the full key of an operation in the index `wake`. The index contains only the keys
    /// of items, so this method reads the environment from the operation's record.
    async fn key_of(&self, item: &Item) -> Result<Option<Key>, TableError> {
        let application =
            text(item, "pk").strip_prefix("APP#").and_then(|name| ApplicationName::parse(name).ok());
        let (Some(application), Some(operation)) = (application, OperationKey::parse(text(item, "sk")))
        else {
            return Ok(None);
        };
        let found = self.operation(&application, operation).await?;
        Ok(found.map(|(environment, _)| Key { application, environment, operation }))
    }

    /// The latest tag repairs, newest first. Stablepin opens a repair after a person has moved or
    /// deleted one of Stablepin's tags.
    pub async fn repairs(
        &self,
        application: &ApplicationName,
        limit: i32,
    ) -> Result<Vec<(EnvironmentName, Operation)>, TableError> {
        let partition = keys::partition(application);
        let range =
            Range { partition, prefix: "REPAIR#", newest_first: true, limit: Some(limit), after: None };
        let page: Page<StoredOperation> = self.query(range).await?;
        Ok(page.items.into_iter().map(|stored| (stored.environment, stored.operation)).collect())
    }

    /// The open promotions of one environment, or of all environments, newest first.
    pub async fn open_promotions(
        &self,
        application: &ApplicationName,
        environment: Option<&EnvironmentName>,
    ) -> Result<Vec<Key>, TableError> {
        let mut open = Vec::new();
        let mut after = None;
        loop {
            let page = self.promotions(application, 200, after).await?;
            for (of, operation) in page.items {
                if let Work::Promotion(promotion) = &operation.work
                    && environment.is_none_or(|environment| of == *environment)
                    && !promotion.state.is_terminal()
                {
                    open.push(Key {
                        application: application.clone(),
                        environment: of,
                        operation: OperationKey::Promotion(promotion.id),
                    });
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(open),
            }
        }
    }

    pub(super) async fn query<T: DeserializeOwned>(&self, range: Range<'_>) -> Result<Page<T>, TableError> {
        // A cursor from another list gives an empty page, not an error.
        if range.after.as_ref().is_some_and(|Cursor(sk)| !sk.starts_with(range.prefix)) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let page = self.query_page(range).await?;
        let items = page.items.iter().map(record).collect::<Result<_, _>>()?;
        Ok(Page { items, next: page.next })
    }

    /// Reads every item whose sort key begins with the prefix, in the order of the sort keys.
    pub(super) async fn query_all(&self, partition: String, prefix: &str) -> Result<Vec<Item>, TableError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let range =
                Range { partition: partition.clone(), prefix, newest_first: false, limit: None, after };
            let page = self.query_page(range).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn query_page(&self, range: Range<'_>) -> Result<Page<Item>, TableError> {
        let answer =
            self.build_query(range).send().await.map_err(|error| self.call("Query").failed(error))?;
        let next = answer.last_evaluated_key.and_then(|key| match key.get("sk") {
            Some(AttributeValue::S(sk)) => Some(Cursor(sk.clone())),
            _ => None,
        });
        Ok(Page { items: answer.items.unwrap_or_default(), next })
    }

    fn build_query(&self, range: Range<'_>) -> QueryFluentBuilder {
        let after = range.after.map(|Cursor(sk)| {
            Item::from([
                ("pk".to_owned(), AttributeValue::S(range.partition.clone())),
                ("sk".to_owned(), AttributeValue::S(sk)),
            ])
        });
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .scan_index_forward(!range.newest_first)
            .set_limit(range.limit)
            .set_exclusive_start_key(after)
            .expression_attribute_values(":pk", AttributeValue::S(range.partition));
        if range.prefix.is_empty() {
            query.key_condition_expression("pk = :pk")
        } else {
            query
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", AttributeValue::S(range.prefix.to_owned()))
        }
    }
}
