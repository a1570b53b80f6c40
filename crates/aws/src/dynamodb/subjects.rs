//! Reads subjects. A subject is an environment with its configuration, its build and one operation.

use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::records::{Build, Configuration, Environment, Subject, Token, TokenHash, Work};

use super::error::TableError;
use super::item::{StoredOperation, configuration_of, record, take};
use super::keys;
use super::operation_key::Key;
use super::table::Table;

impl Table {
    /// Reads a subject without an operation, for a push or a requested rollback.
    pub async fn environment(
        &self,
        configuration: Configuration,
        environment: &EnvironmentName,
        build: Option<Build>,
    ) -> Result<Subject, TableError> {
        let key = keys::environment(&configuration.application.name, environment);
        Ok(Subject {
            configuration,
            name: environment.clone(),
            environment: self.stored(&key).await?.unwrap_or_else(Environment::untouched),
            build,
            operation: None,
        })
    }

    /// Reads the current configuration and the environment's record in one read. Returns `None` if
    /// the application does not exist.
    pub async fn configured_environment(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
    ) -> Result<Option<Subject>, TableError> {
        let wanted = [keys::configuration(application), keys::environment(application, environment)];
        let mut found = self.batch_get(&wanted).await?;
        let Some(configuration) = found.remove(&wanted[0]) else { return Ok(None) };
        let record: Option<Environment> = take(&mut found, &wanted[1])?;
        Ok(Some(Subject {
            configuration: configuration_of(&configuration)?,
            name: environment.clone(),
            environment: record.unwrap_or_else(Environment::untouched),
            build: None,
            operation: None,
        }))
    }

    pub async fn build(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<Option<Build>, TableError> {
        self.stored(&keys::build(application, digest)).await
    }

    /// Reads an operation's subject and the link with this hash, in one consistent read. A build
    /// without a confirmed tag needs a second read. Returns `None` if the operation does not exist.
    pub async fn subject(
        &self,
        key: &Key,
        token: Option<&TokenHash>,
    ) -> Result<Option<(Subject, Option<Token>)>, TableError> {
        let mut wanted = vec![
            keys::configuration(&key.application),
            keys::environment(&key.application, &key.environment),
            keys::operation(&key.application, key.operation),
        ];
        wanted.extend(token.map(keys::token));
        let mut found = self.batch_get(&wanted).await?;
        let (Some(configuration), Some(operation)) = (found.remove(&wanted[0]), found.remove(&wanted[2]))
        else {
            return Ok(None);
        };
        let environment: Option<Environment> = take(&mut found, &wanted[1])?;
        let token = match wanted.get(3) {
            Some(key) => take(&mut found, key)?,
            None => None,
        };
        let stored: StoredOperation = record(&operation)?;
        if stored.environment != key.environment {
            return Ok(None);
        }
        let build = match &stored.operation.work {
            Work::Promotion(promotion) if promotion.build.tagged => Some(promotion.build.clone()),
            Work::Promotion(promotion) => self.build(&key.application, &promotion.digest).await?,
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        };
        let subject = Subject {
            configuration: configuration_of(&configuration)?,
            name: key.environment.clone(),
            environment: environment.unwrap_or_else(Environment::untouched),
            build,
            operation: Some(stored.operation),
        };
        Ok(Some((subject, token)))
    }
}
