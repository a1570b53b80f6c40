//! The latest findings of health checks, and the number of mails to each address in each second.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::MailAddress;
use stablepin_rules::name::ApplicationName;

use super::error::TableError;
use super::item::{ItemKey, item, record};
use super::keys::{self, sortable};
use super::table::Table;

/// The subscribers or approvers that a health check is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The subscribers of the topics that carry secret links.
    Topics,
    /// An application's approvers.
    Approvers(ApplicationName),
}

/// The findings of one health check, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The subject of the findings: an application's name, or `topics` for the SNS topics.
    pub about: String,
    pub findings: BTreeSet<String>,
    /// The time of the last change of the findings.
    pub since: Timestamp,
}

/// The most mails to one address in one second. SNS disables an address that gets more than 10
/// mails a second. This limit is half of SNS's limit, because the clocks of Lambda functions
/// differ.
/// <https://repost.aws/knowledge-center/sns-email-subscription-disabled>
const MAILS_A_SECOND: u8 = 5;

/// The time for which the table keeps a mail count, in seconds. Each count is for one second.
const COUNT_KEPT: i64 = 3600;

impl About {
    fn key(&self) -> ItemKey {
        match self {
            Self::Topics => keys::health("TOPICS".to_owned()),
            Self::Approvers(application) => keys::health(format!("APPROVERS#{application}")),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topics => "topics".to_owned(),
            Self::Approvers(application) => application.to_string(),
        }
    }
}

impl Table {
    /// Returns the latest findings of a health check, or `None` if the check has not run yet.
    pub async fn health(&self, about: &About) -> Result<Option<Health>, TableError> {
        self.stored(&about.key()).await
    }

    pub async fn put_health(
        &self,
        about: &About,
        findings: &BTreeSet<String>,
        at: Timestamp,
    ) -> Result<(), TableError> {
        let health = Health { about: about.name(), findings: findings.clone(), since: at };
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item(&about.key(), 1, &health)?))
            .send()
            .await
            .map_err(|error| self.call("PutItem").failed(error))?;
        Ok(())
    }

    /// The latest findings of all health checks.
    pub async fn all_health(&self) -> Result<Vec<Health>, TableError> {
        self.query_all(keys::HEALTH.to_owned(), "").await?.iter().map(record).collect()
    }

    /// Counts one more mail to an address in the current second. Returns false if the address has
    /// reached the limit.
    pub async fn may_mail(&self, mail: &MailAddress, now: Timestamp) -> Result<bool, TableError> {
        let ttl = now.as_second().saturating_add(COUNT_KEPT);
        let answer = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(keys::mails(&mail.lower(), &sortable(now)).attributes()))
            .update_expression("SET #ttl = :ttl ADD mails :one")
            .condition_expression("attribute_not_exists(mails) OR mails < :most")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", AttributeValue::N(ttl.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":most", AttributeValue::N(MAILS_A_SECOND.to_string()))
            .send()
            .await;
        Ok(self.conditional("UpdateItem", answer)?.is_some())
    }
}
