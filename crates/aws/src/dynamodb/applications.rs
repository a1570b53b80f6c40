//! The files and the claims of applications. Two applications cannot claim the same repository, ECS
//! service or stable tag.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use jiff::Timestamp;
use stablepin_rules::application::{Allowed, Application};
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

use super::audit::audit_item;
use super::error::TableError;
use super::item::{StoredConfiguration, configuration_of, item};
use super::keys;
use super::table::Table;
use super::transaction::{CommitError, Part, Writes};

/// The latest version of an application's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApplication {
    pub text: String,
    pub version: u64,
    pub at: Timestamp,
    /// The ARN of the principal that put the file.
    pub by: String,
}

/// The new file of an application, parsed and checked. The new file replaces the file `before`, if
/// there is one.
#[derive(Debug)]
pub struct PutApplication<'a> {
    pub application: &'a Application,
    pub text: &'a str,
    pub before: Option<&'a StoredApplication>,
    pub allowed: &'a Allowed,
    pub by: &'a str,
    pub at: Timestamp,
    pub audit: &'a AuditRecord,
}

#[derive(Debug, thiserror::Error)]
pub enum PutApplicationError {
    #[error("another change of this application came first: read it again, and put yours on top of it")]
    Lost,
    #[error("{what} is claimed by application {by}: two applications cannot share it")]
    Claimed { what: String, by: String },
    #[error("it claims {count} repositories, services and stable tags: at most {most} fit one application")]
    TooMany { count: usize, most: usize },
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The most claims that one new file of an application may write and delete together. A DynamoDB
/// transaction accepts at most 100 writes, and some of the writes are for other items.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const MOST_CLAIMS: usize = 95;

impl Table {
    /// Returns the application that claims the repository. Reads only one item.
    pub async fn claimant(&self, repository: &RepositoryName) -> Result<Option<ApplicationName>, TableError> {
        self.claimant_of(repository.as_str()).await
    }

    /// Returns the application that claims `what`: a repository's name or an ECS service's ARN.
    pub async fn claimant_of(&self, what: &str) -> Result<Option<ApplicationName>, TableError> {
        self.stored(&keys::claim(what)).await
    }

    /// Returns the parsed file of an application. A file that this version of Stablepin cannot read
    /// is an error.
    pub async fn configured(&self, name: &ApplicationName) -> Result<Option<Application>, TableError> {
        let found = self.get(&keys::configuration(name)).await?;
        Ok(found.as_ref().map(configuration_of).transpose()?.map(|stored| stored.application))
    }

    pub async fn application(&self, name: &ApplicationName) -> Result<Option<StoredApplication>, TableError> {
        let stored: Option<StoredConfiguration> = self.stored(&keys::configuration(name)).await?;
        Ok(stored.map(|stored| StoredApplication {
            text: stored.text,
            version: stored.version,
            at: stored.at,
            by: stored.by,
        }))
    }

    /// Writes an application with its claims and an audit record in one transaction. Returns the
    /// application's new version.
    pub async fn put_application(&self, put: &PutApplication<'_>) -> Result<u64, PutApplicationError> {
        let name = &put.application.name;
        let of = |application: &Application| -> BTreeSet<String> {
            application.claims(put.allowed).into_iter().map(|claim| claim.what).collect()
        };
        let claims = of(put.application);
        let before = put.before.and_then(|before| Application::parse(&before.text, None).ok());
        let before = before.as_ref().map(of).unwrap_or_default();
        let dropped: Vec<_> = before.difference(&claims).collect();
        let count = claims.len() + dropped.len();
        if count > MOST_CLAIMS {
            return Err(PutApplicationError::TooMany { count, most: MOST_CLAIMS });
        }

        let old = put.before.map_or(0, |before| before.version);
        let stored = StoredConfiguration {
            text: put.text.to_owned(),
            version: old + 1,
            at: put.at,
            by: put.by.to_owned(),
        };
        let mut writes = Writes::new(&self.name);
        writes.put(item(&keys::configuration(name), old + 1, &stored)?, Some(old), Part::Version);
        writes.put(item(&keys::directory(name), 1, name)?, None, Part::Version);
        for claim in &claims {
            writes.claim(claim, name)?;
        }
        for claim in &dropped {
            writes.drop_claim(claim, name);
        }
        writes.put(audit_item(put.audit, 0)?, Some(0), Part::Version);
        match self.transact(writes).await {
            Ok(()) => Ok(old + 1),
            Err(CommitError::Claimed { what, by }) => Err(PutApplicationError::Claimed { what, by }),
            Err(CommitError::Table(error)) => Err(error.into()),
            Err(
                CommitError::Lost
                | CommitError::AlreadyOpened
                | CommitError::Marked(_)
                | CommitError::Crowded(_)
                | CommitError::NameTaken(_)
                | CommitError::LinkUsed,
            ) => Err(PutApplicationError::Lost),
        }
    }
}

impl Writes<'_> {
    fn claim(&mut self, what: &str, name: &ApplicationName) -> Result<(), TableError> {
        let put = Put::builder()
            .table_name(self.table)
            .set_item(Some(item(&keys::claim(what), 1, name)?))
            .condition_expression("attribute_not_exists(pk) OR #record = :name")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":name", AttributeValue::S(name.to_string()))
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            )
            .build()
            .expect("table and item are set");
        self.push(TransactWriteItem::builder().put(put).build(), Part::Claim(what.to_owned()));
        Ok(())
    }

    fn drop_claim(&mut self, what: &str, name: &ApplicationName) {
        let delete = Delete::builder()
            .table_name(self.table)
            .set_key(Some(keys::claim(what).attributes()))
            .condition_expression("attribute_not_exists(pk) OR #record = :name")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":name", AttributeValue::S(name.to_string()))
            .build()
            .expect("table and key are set");
        self.push(TransactWriteItem::builder().delete(delete).build(), Part::Version);
    }
}
