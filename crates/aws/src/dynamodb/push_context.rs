//! Reads everything about a push from the table.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Build, Configuration};

use super::error::TableError;
use super::item::{configuration_of, take};
use super::keys;
use super::table::Table;
use super::tags::pushers_of;

/// Everything in the table about one push.
#[derive(Debug)]
pub struct PushContext {
    pub configuration: Configuration,
    /// True if Stablepin put this tag on this digest.
    pub ours: bool,
    pub build: Option<Build>,
    /// The ARNs of the principals that pushed the image, according to CloudTrail.
    pub pushers: BTreeSet<String>,
    /// The newest image index that is a build and contains this image.
    pub contained_in: Option<ContainingIndex>,
}

impl Table {
    /// Reads everything about a push with one request. Returns `None` if the application does not
    /// exist.
    pub async fn push_context(
        &self,
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
        digest: &ImageDigest,
    ) -> Result<Option<PushContext>, TableError> {
        let wanted = [
            keys::configuration(application),
            keys::tag(application, repository, tag),
            keys::build(application, digest),
            keys::pushers(application, digest),
            keys::contained(application, digest),
        ];
        let mut found = self.batch_get(&wanted).await?;
        let Some(configuration) = found.remove(&wanted[0]) else { return Ok(None) };
        let pushers = found.remove(&wanted[3]).map(|item| pushers_of(&item)).unwrap_or_default();
        let ours = found.remove(&wanted[1]).is_some_and(|item| {
            matches!(item.get("intents"), Some(AttributeValue::Ss(digests)) if digests.iter().any(|d| d == digest.as_str()))
        });
        let build = take(&mut found, &wanted[2])?;
        let contained_in = take(&mut found, &wanted[4])?;
        let configuration = configuration_of(&configuration)?;
        Ok(Some(PushContext { configuration, ours, build, pushers, contained_in }))
    }
}
