//! The pushes that opened no promotion. The table keeps them, so that a developer can read the
//! reasons.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::IgnoredPush;

use super::error::TableError;
use super::item::item;
use super::keys;
use super::lists::Range;
use super::table::Table;

/// The time for which the table keeps an ignored push.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The most ignored pushes that [`Table::ignored_pushes`] returns.
const SHOWN: i32 = 100;

impl Table {
    /// Records an ignored push. A repeated push event only overwrites the same record.
    pub async fn put_ignored_push(
        &self,
        application: &ApplicationName,
        push: &IgnoredPush,
    ) -> Result<(), TableError> {
        let mut item = item(&keys::ignored(application, &push.repository, push.at, &push.tag), 1, push)?;
        let ttl = (Timestamp::now() + KEPT).as_second();
        item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| self.call("PutItem").failed(error))?;
        Ok(())
    }

    /// Returns the newest ignored pushes of a repository, newest first.
    pub async fn ignored_pushes(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<Vec<IgnoredPush>, TableError> {
        let range = Range {
            partition: keys::partition(application),
            prefix: &keys::ignored_prefix(repository),
            newest_first: true,
            limit: Some(SHOWN),
            after: None,
        };
        Ok(self.query(range).await?.items)
    }
}
