//! The console's links, and the reads for the console's pages. The console writes only links.

use aws_sdk_dynamodb::types::AttributeValue;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{ConsoleLink, Environment, Operation, Subject, TokenHash};

use super::error::TableError;
use super::item::{StoredOperation, configuration_of, item, take};
use super::keys;
use super::lists::{Cursor, Page, Range};
use super::table::Table;
use super::tokens::KEPT_AFTER_EXPIRY;

/// The subjects of one application's environments, in the order of the application's file. These
/// subjects have no build and no operation.
pub type Environments = Vec<Subject>;

impl Table {
    pub async fn put_console_link(&self, link: &ConsoleLink) -> Result<(), TableError> {
        let mut item = item(&keys::console_link(&link.hash), 1, link)?;
        let ttl = link.expires_at.as_second().saturating_add(KEPT_AFTER_EXPIRY);
        item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
        self.put_new(item).await
    }

    /// Reads a console link, even an expired one.
    pub async fn console_link(&self, hash: &TokenHash) -> Result<Option<ConsoleLink>, TableError> {
        self.stored(&keys::console_link(hash)).await
    }

    /// Reads the environments of several applications. Returns one entry for each application:
    /// `None` if the application does not exist, an error if its file or one of its environments is
    /// unreadable.
    pub async fn standing(
        &self,
        applications: &[ApplicationName],
    ) -> Result<Vec<Option<Result<Environments, TableError>>>, TableError> {
        let wanted: Vec<_> = applications.iter().map(keys::configuration).collect();
        let mut found = self.batch_get(&wanted).await?;
        let configurations: Vec<_> =
            wanted.iter().map(|key| found.remove(key).map(|item| configuration_of(&item))).collect();
        let mut wanted = Vec::new();
        for configuration in configurations.iter().flatten().flatten() {
            let application = &configuration.application;
            let names = application.environments.iter().map(|policy| &policy.name);
            wanted.extend(names.map(|name| keys::environment(&application.name, name)));
        }
        let mut found = self.batch_get_many(&wanted).await?;
        let standing = configurations.into_iter().map(|configuration| {
            configuration.map(|configuration| {
                let configuration = configuration?;
                let names: Vec<EnvironmentName> =
                    configuration.application.environments.iter().map(|policy| policy.name.clone()).collect();
                let subjects = names.into_iter().map(|name| {
                    let key = keys::environment(&configuration.application.name, &name);
                    Ok(Subject {
                        configuration: configuration.clone(),
                        name,
                        environment: take(&mut found, &key)?.unwrap_or_else(Environment::untouched),
                        build: None,
                        operation: None,
                    })
                });
                subjects.collect()
            })
        });
        Ok(standing.collect())
    }

    /// Returns a page of an application's promotions, rollbacks and tag repairs, newest first. The
    /// ids of operations sort by time. `before` is the last id of the previous page.
    pub async fn history(
        &self,
        application: &ApplicationName,
        limit: i32,
        before: Option<OperationId>,
    ) -> Result<Page<(EnvironmentName, Operation)>, TableError> {
        let of = async |prefix: &str| -> Result<Page<StoredOperation>, TableError> {
            self.query(Range {
                partition: keys::partition(application),
                prefix,
                newest_first: true,
                limit: Some(limit),
                after: before.map(|id| Cursor(format!("{prefix}{id}"))),
            })
            .await
        };
        let (promotions, rollbacks, repairs) = tokio::join!(of("PROMOTION#"), of("ROLLBACK#"), of("REPAIR#"));
        let pages = [promotions?, rollbacks?, repairs?];
        let mut more = pages.iter().any(|page| page.next.is_some());
        let mut all: Vec<StoredOperation> = pages.into_iter().flat_map(|page| page.items).collect();
        all.sort_by_key(|stored| std::cmp::Reverse(stored.operation.id()));
        let most = usize::try_from(limit).unwrap_or_default();
        more |= all.len() > most;
        all.truncate(most);
        let next = all.last().filter(|_| more).map(|stored| Cursor(stored.operation.id().to_string()));
        let items = all.into_iter().map(|stored| (stored.environment, stored.operation)).collect();
        Ok(Page { items, next })
    }
}
