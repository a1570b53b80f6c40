//! The keys of all items. A name cannot contain `#`, so two different items never have the same
//! key.

use jiff::Timestamp;
use stablepin_retention_rules::run::RunId;
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Build, Occurrence, Operation, TokenHash};

use super::item::ItemKey;
use super::operation_key::OperationKey;

/// The only partition of the sparse index `wake`. This index sorts operations by the time at which
/// the promoter must process them next.
pub(super) const WAKE: &str = "WAKE";

/// Formats a time as text that sorts by time: whole seconds in UTC, always 20 characters. Fractions
/// of a second are rounded up, so that a query returns no operation before its due time.
pub(super) fn sortable(at: Timestamp) -> String {
    let up = if at.subsec_nanosecond() > 0 { jiff::SignedDuration::from_secs(1) } else { Default::default() };
    let at = at.saturating_add(up).unwrap_or(at);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn key(pk: String, sk: String) -> ItemKey {
    ItemKey { pk, sk }
}

pub(super) fn partition(application: &ApplicationName) -> String {
    format!("APP#{application}")
}

fn app(application: &ApplicationName, sk: String) -> ItemKey {
    key(partition(application), sk)
}

pub(super) fn configuration(application: &ApplicationName) -> ItemKey {
    key(format!("CONFIG#{application}"), "CONFIG".to_owned())
}

/// The partition that lists all applications.
pub(super) const DIRECTORY: &str = "CONFIG";

pub(super) fn directory(application: &ApplicationName) -> ItemKey {
    key(DIRECTORY.to_owned(), application.to_string())
}

pub(super) fn environment(application: &ApplicationName, environment: &EnvironmentName) -> ItemKey {
    app(application, format!("{ENVIRONMENTS}{environment}"))
}

pub(super) fn build(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
    app(application, format!("BUILD#{digest}"))
}

/// The prefix of the items that list builds by the time of their first push.
pub(super) const BUILT: &str = "BUILT#";

pub(super) fn built(application: &ApplicationName, build: &Build) -> ItemKey {
    app(application, format!("{BUILT}{}#{}", sortable(build.pushed_at), build.digest))
}

pub(super) const ROLLBACKS: &str = "ROLLBACK#";

pub(super) const ENVIRONMENTS: &str = "ENV#";

pub(super) const PINS: &str = "PIN#";

pub(super) fn pin_prefix(environment: &EnvironmentName) -> String {
    format!("{PINS}{environment}#")
}

pub(super) fn pin(
    application: &ApplicationName,
    environment: &EnvironmentName,
    number: PinNumber,
) -> ItemKey {
    app(application, format!("{}{}", pin_prefix(environment), number.padded()))
}

pub(super) fn operation(application: &ApplicationName, operation: OperationKey) -> ItemKey {
    app(application, operation.to_string())
}

pub(super) fn of_operation(application: &ApplicationName, of: &Operation) -> ItemKey {
    operation(application, OperationKey::of(of))
}

pub(super) fn opened(
    application: &ApplicationName,
    environment: &EnvironmentName,
    occurrence: &Occurrence,
) -> ItemKey {
    app(application, format!("OPENED#{environment}#{}#{}", occurrence.digest, sortable(occurrence.at)))
}

pub(super) fn tag_prefix(repository: &RepositoryName) -> String {
    format!("TAG#{repository}#")
}

pub(super) fn tagged_prefix(repository: &RepositoryName) -> String {
    format!("TAGGED#{repository}#")
}

pub(super) fn tagged(application: &ApplicationName, repository: &RepositoryName, tag: &ImageTag) -> ItemKey {
    app(application, format!("{}{tag}", tagged_prefix(repository)))
}

pub(super) fn tag(application: &ApplicationName, repository: &RepositoryName, tag: &ImageTag) -> ItemKey {
    app(application, format!("{}{tag}", tag_prefix(repository)))
}

pub(super) fn ignored_prefix(repository: &RepositoryName) -> String {
    format!("IGNORED#{repository}#")
}

pub(super) fn ignored(
    application: &ApplicationName,
    repository: &RepositoryName,
    at: Timestamp,
    tag: &ImageTag,
) -> ItemKey {
    app(application, format!("{}{}#{tag}", ignored_prefix(repository), sortable(at)))
}

pub(super) fn caller(
    application: &ApplicationName,
    repository: &RepositoryName,
    tag: &ImageTag,
    digest: &ImageDigest,
) -> ItemKey {
    app(application, format!("CALLER#{repository}#{tag}#{digest}"))
}

pub(super) fn pushers(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
    app(application, format!("PUSHERS#{digest}"))
}

pub(super) fn checks(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
    app(application, format!("CHECKS#{digest}"))
}

pub(super) fn contained(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
    app(application, format!("CONTAINED#{digest}"))
}

pub(super) const RUNS: &str = "RUN#";

pub(super) fn run(application: &ApplicationName, id: RunId) -> ItemKey {
    app(application, format!("{RUNS}{id}"))
}

/// The partition of an application's marks and locks. The IAM policy of retention's role allows the
/// deletion of items only in partitions whose key begins with `IMAGES#`.
pub(super) fn images(application: &ApplicationName) -> String {
    format!("IMAGES#{application}")
}

pub(super) const IMAGES: &str = "IMAGE#";

pub(super) fn image(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
    key(images(application), format!("{IMAGES}{digest}"))
}

/// The key of the lock that a retention run has on the images of an application.
pub(super) fn retention(application: &ApplicationName) -> ItemKey {
    key(images(application), "RETENTION".to_owned())
}

pub(super) fn claim(what: &str) -> ItemKey {
    key(format!("CLAIM#{what}"), "CLAIM".to_owned())
}

pub(super) fn token(hash: &TokenHash) -> ItemKey {
    key(format!("TOKEN#{}", hash.0), "TOKEN".to_owned())
}

/// The partition that lists all health findings.
pub(super) const HEALTH: &str = "HEALTH";

pub(super) fn health(about: String) -> ItemKey {
    key(HEALTH.to_owned(), about)
}

pub(super) fn mails(address: &str, second: &str) -> ItemKey {
    key(format!("MAILS#{address}"), second.to_owned())
}

pub(super) fn console_link(hash: &TokenHash) -> ItemKey {
    key(format!("CONSOLE#{}", hash.0), "CONSOLE".to_owned())
}

pub(super) fn audit_partition(application: &ApplicationName, month: &str) -> String {
    format!("AUDIT#{application}#{month}")
}

pub(super) fn audit(audit: &AuditRecord, id: &str) -> ItemKey {
    let month = audit.at.strftime("%Y-%m").to_string();
    key(audit_partition(&audit.application, &month), id.to_owned())
}
