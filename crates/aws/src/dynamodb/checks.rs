//! The checks that pipelines report for a digest. A pipeline may report a check before it pushes
//! the image.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use stablepin_rules::application::CheckName;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::records::{Check, Checks, Recorded};

use super::error::TableError;
use super::item::{Item, item, record};
use super::keys;
use super::table::Table;
use super::transaction::{CommitError, Part, Writes};

/// The time for which the table keeps the checks of a digest after the last report.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The most attempts to record a report. An attempt fails if another report of the digest is
/// recorded at the same moment.
const MOST_RACES: u32 = 8;

/// The number of an environment's newest pins that [`Table::pinned_at`] searches for a digest.
const PINS_SEARCHED: i32 = 100;

impl Table {
    /// Returns the checks of a digest.
    pub async fn checks(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
    ) -> Result<Checks, TableError> {
        Ok(self.stored(&keys::checks(application, digest)).await?.unwrap_or_default())
    }

    /// Records a report, and returns all checks of the digest. Returns `None` and records nothing
    /// if every attempt failed because of another report.
    pub async fn record_check(
        &self,
        application: &ApplicationName,
        digest: &ImageDigest,
        name: &CheckName,
        check: &Check,
        required: &BTreeSet<CheckName>,
    ) -> Result<Option<(Recorded, Checks)>, TableError> {
        let key = keys::checks(application, digest);
        for _ in 0..MOST_RACES {
            let found = self.get(&key).await?;
            let version = found.as_ref().map_or(0, version_of);
            let mut checks: Checks = found.as_ref().map(record).transpose()?.unwrap_or_default();
            let recorded = checks.record(name.clone(), check.clone(), required);
            if recorded != Recorded::New {
                return Ok(Some((recorded, checks)));
            }
            let mut item = item(&key, version + 1, &checks)?;
            let ttl = (Timestamp::now() + KEPT).as_second();
            item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
            let mut writes = Writes::new(&self.name);
            writes.put(item, Some(version), Part::Version);
            match self.transact(writes).await {
                Ok(()) => return Ok(Some((recorded, checks))),
                Err(CommitError::Table(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Returns the time at which the digest last became a pin of the environment. Returns `None` if
    /// the digest is not among the newest pins, or if a rollback has replaced the digest since
    /// then.
    pub async fn pinned_at(
        &self,
        application: &ApplicationName,
        environment: &EnvironmentName,
        digest: &ImageDigest,
    ) -> Result<Option<Timestamp>, TableError> {
        let (pins, subject) = tokio::join!(
            self.pins_page(application, environment, PINS_SEARCHED, None),
            self.configured_environment(application, environment)
        );
        let was_left = subject?.is_some_and(|subject| subject.environment.rolled_back_from.contains(digest));
        let pin = pins?.items.into_iter().find(|pin| pin.digest == *digest && !was_left);
        Ok(pin.map(|pin| pin.at))
    }
}

fn version_of(item: &Item) -> u64 {
    match item.get("version") {
        Some(AttributeValue::N(version)) => version.parse().unwrap_or(0),
        _ => 0,
    }
}
