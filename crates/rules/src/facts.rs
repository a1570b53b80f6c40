//! The facts that an approver sees before voting, as values. The mail and the page show the facts
//! in words. A vote stores the hash of the values, so a new wording does not change the hash.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::audit::Actor;
use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::{ApplicationName, EnvironmentName};
use crate::pin_number::PinNumber;
use crate::pipeline_run::PipelineRun;
use crate::records::{Checks, Freeze, Hold, Subject};

/// The current facts about one promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts<'a> {
    /// The version of this struct's fields. Increase the version when the fields or their order
    /// change.
    version: u8,
    pub application: &'a ApplicationName,
    pub environment: &'a EnvironmentName,
    pub build: &'a BuildTag,
    pub commit: Option<&'a str>,
    pub digest: &'a ImageDigest,
    /// The size in bytes. None for an image index, because the size differs per platform.
    pub size_bytes: Option<u64>,
    pub repository: &'a RepositoryName,
    pub pushed_tag: &'a ImageTag,
    pub pushed_at: Timestamp,
    /// The signer who requested the promotion. None if only pushes led to the promotion.
    pub asked_by: Option<&'a Actor>,
    pub checks: &'a Checks,
    pub run: Option<&'a PipelineRun>,
    pub pushers: &'a BTreeSet<String>,
    pub replaces: Replaced<'a>,
    pub freeze: Option<&'a Freeze>,
    pub hold: Option<&'a Hold>,
}

/// The pin that the build replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Replaced<'a> {
    Nothing,
    Pin {
        number: PinNumber,
        build: &'a BuildTag,
        since: Timestamp,
        size_bytes: Option<u64>,
    },
    /// The build is already pinned, so the record no longer shows which pin the build replaced.
    Earlier,
}

impl Facts<'_> {
    const VERSION: u8 = 2;

    /// Returns the SHA-256 of the facts as JSON, in lower-case hexadecimal. The JSON is canonical:
    /// fields have a fixed order, sets are sorted, and numbers are whole.
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(self).expect("facts are texts and whole numbers");
        Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns the facts of the subject's promotion. None if the subject has no promotion.
pub fn facts(subject: &Subject) -> Option<Facts<'_>> {
    let promotion = subject.promotion()?;
    let (build, environment) = (&promotion.build, &subject.environment);
    let (pushed_tag, pushed_at) = match &promotion.pushed_tag {
        Some(tag) => (tag, promotion.occurrence.at),
        None => (&build.pushed_tag, build.pushed_at),
    };
    let replaces = match environment.pin.as_ref().filter(|pin| pin.by != promotion.id) {
        None if promotion.pin.is_some() => Replaced::Earlier,
        None => Replaced::Nothing,
        Some(pin) => Replaced::Pin {
            number: pin.number,
            build: &pin.build_tag,
            since: pin.at,
            size_bytes: pin.size_bytes,
        },
    };
    Some(Facts {
        version: Facts::VERSION,
        application: subject.application(),
        environment: &subject.name,
        build: &build.build_tag,
        commit: build.commit.as_deref(),
        digest: &promotion.digest,
        size_bytes: build.size_bytes,
        repository: &build.repository,
        pushed_tag,
        pushed_at,
        asked_by: promotion.asked_by.as_ref(),
        checks: &promotion.checks,
        run: build.run.as_ref(),
        pushers: &promotion.pushers,
        replaces,
        freeze: environment.freeze.as_ref(),
        hold: environment.hold.as_ref(),
    })
}
