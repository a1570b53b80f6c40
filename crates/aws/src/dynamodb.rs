//! The DynamoDB table, the source of truth. An item has `pk`, `sk`, `version`, the attributes of an
//! index, and the record itself.
//!
//! A write of several items is one transaction, which checks the versions of all items that the
//! decision was based on. A lost race is a normal result, and its error names what was lost.

mod applications;
mod console;
mod health;
mod lists;
mod retention;
mod runs;
mod tags;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stablepin_rules::application::Application;
use stablepin_rules::audit::AuditRecord;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Build, Configuration, Environment, Occurrence, Operation, Subject, Token, TokenHash, Work,
};
use stablepin_rules::retention::run::RunId;
use stablepin_rules::transition::{Change, Intent};
use uuid::Uuid;

use crate::session::Session;

pub use applications::{PutApplication, PutApplicationError, StoredApplication};
pub use console::Environments;
pub use health::{About, Health};
pub use lists::{Cursor, Page};
pub use retention::Mark;

/// A client of the stack's only table.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("DynamoDB did not answer {operation}: {message}")]
    Call { operation: &'static str, message: String, retryable: bool },
    #[error("the item {key} in the table is not readable")]
    Unreadable { key: String, source: serde_dynamo::Error },
    #[error("the item {key} in the table is not readable: {reason}")]
    Malformed { key: String, reason: String },
}

impl TableError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call { retryable, .. } => *retryable,
            Self::Unreadable { .. } | Self::Malformed { .. } => false,
        }
    }

    fn call<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        move |error| {
            let denied = matches!(
                error.code(),
                Some("AccessDeniedException" | "ValidationException" | "ResourceNotFoundException")
            );
            let message = DisplayErrorContext(&error).to_string();
            Self::Call { operation, message, retryable: !denied }
        }
    }
}

/// Why a change was not written. In each case DynamoDB wrote no part of it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("something that the decision was made on has changed meanwhile")]
    Lost,
    #[error("this push was answered before")]
    AlreadyOpened,
    #[error("retention is deleting {0}")]
    Marked(ImageDigest),
    #[error("{MOST_NEEDED} operations were opened for {0}, and not released")]
    Crowded(ImageDigest),
    #[error("the tag {0} is another digest's")]
    NameTaken(ImageTag),
    #[error("the link was used meanwhile")]
    LinkUsed,
    #[error("{what} is claimed by application {by}")]
    Claimed { what: String, by: String },
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The key of an operation. It names every item that its subject is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    pub operation: OperationKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKey {
    Promotion(OperationId),
    Rollback(OperationId),
    Repair(OperationId),
    LiveDrift(OperationId),
}

/// Everything about a push event that the table knows.
#[derive(Debug)]
pub struct PushContext {
    pub configuration: Configuration,
    /// Whether Stablepin put this tag on this digest.
    pub ours: bool,
    pub build: Option<Build>,
    /// The ARNs of everybody who pushed the image, as far as CloudTrail has reported.
    pub pushers: BTreeSet<String>,
    /// The newest build that is an image index containing this image.
    pub contained_in: Option<ContainingIndex>,
}

impl OperationKey {
    pub fn of(operation: &Operation) -> Self {
        match &operation.work {
            Work::Promotion(promotion) => Self::Promotion(promotion.id),
            Work::Rollback(rollback) => Self::Rollback(rollback.id),
            Work::Repair(repair) => Self::Repair(repair.id),
            Work::LiveDrift(report) => Self::LiveDrift(report.id),
        }
    }

    fn parse(sort_key: &str) -> Option<Self> {
        let (kind, id) = sort_key.split_once('#')?;
        let id = OperationId::parse(id)?;
        match kind {
            "PROMOTION" => Some(Self::Promotion(id)),
            "ROLLBACK" => Some(Self::Rollback(id)),
            "REPAIR" => Some(Self::Repair(id)),
            "LIVE_DRIFT" => Some(Self::LiveDrift(id)),
            _ => None,
        }
    }
}

/// Writes the operation's sort key.
impl std::fmt::Display for OperationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Promotion(id) => write!(f, "PROMOTION#{id}"),
            Self::Rollback(id) => write!(f, "ROLLBACK#{id}"),
            Self::Repair(id) => write!(f, "REPAIR#{id}"),
            Self::LiveDrift(id) => write!(f, "LIVE_DRIFT#{id}"),
        }
    }
}

impl Key {
    /// Returns the key of the subject's operation. `None` if the operation does not exist yet.
    pub fn of(subject: &Subject) -> Option<Self> {
        let operation = OperationKey::of(subject.operation.as_ref()?);
        Some(Self {
            application: subject.application().clone(),
            environment: subject.name.clone(),
            operation,
        })
    }
}

impl Table {
    pub fn new(session: &Session, name: String) -> Self {
        Self { client: session.dynamodb(), name }
    }

    /// Returns the application that takes builds from a repository, in one read.
    pub async fn claimant(&self, repository: &RepositoryName) -> Result<Option<ApplicationName>, TableError> {
        self.claimant_of(repository.as_str()).await
    }

    /// Returns the application that claims `what`: a repository's name or a service's ARN.
    pub async fn claimant_of(&self, what: &str) -> Result<Option<ApplicationName>, TableError> {
        let item = self.get(&keys::claim(what)).await?;
        item.map(|item| record("CLAIM", &item)).transpose()
    }

    /// Reads everything about a push in one read. Returns `None` if the application does not exist.
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
        let pushers = found.remove(&wanted[3]).map(|item| tags::pushers_of(&item)).unwrap_or_default();
        let ours = found.remove(&wanted[1]).is_some_and(|item| {
            matches!(item.get("intents"), Some(AttributeValue::Ss(digests)) if digests.iter().any(|d| d == digest.as_str()))
        });
        let build = found.remove(&wanted[2]).map(|item| record("BUILD", &item)).transpose()?;
        let contained_in = found.remove(&wanted[4]).map(|item| record("CONTAINED", &item)).transpose()?;
        let configuration = configuration_of(&configuration)?;
        Ok(Some(PushContext { configuration, ours, build, pushers, contained_in }))
    }

    /// Reads a subject that has no operation yet, for a push or a requested rollback.
    pub async fn environment(
        &self,
        configuration: Configuration,
        environment: &EnvironmentName,
        build: Option<Build>,
    ) -> Result<Subject, TableError> {
        let key = keys::environment(&configuration.application.name, environment);
        let record = self.get(&key).await?.map(|item| record("ENV", &item)).transpose()?;
        Ok(Subject {
            configuration,
            name: environment.clone(),
            environment: record.unwrap_or_else(Environment::untouched),
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
        let record = found.remove(&wanted[1]).map(|item| record("ENV", &item)).transpose()?;
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
        let item = self.get(&keys::build(application, digest)).await?;
        item.map(|item| record("BUILD", &item)).transpose()
    }

    /// Reads an operation's subject and the link that the caller presented, in one consistent read.
    /// A build without a confirmed tag needs a second read. Returns `None` if the operation does
    /// not exist.
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
        let environment = found.remove(&wanted[1]).map(|item| record("ENV", &item)).transpose()?;
        let token = match wanted.get(3).and_then(|key| found.remove(key)) {
            Some(item) => Some(record("TOKEN", &item)?),
            None => None,
        };
        let stored: StoredOperation = record("operation", &operation)?;
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

    /// Writes a change in one transaction, if everything that the decision was based on is
    /// unchanged. Returns the subject with its new versions.
    pub async fn commit(&self, before: &Subject, change: &Change) -> Result<Subject, CommitError> {
        let mut after = change.after.clone();
        let mut writes = Writes::new(&self.name);
        let application = after.application().clone();
        writes.check(&keys::configuration(&application), before.configuration.version, Part::Version);

        let environment_key = keys::environment(&application, &after.name);
        if after.environment == before.environment {
            writes.check(&environment_key, before.environment.version, Part::Version);
        } else {
            after.environment.version = before.environment.version + 1;
            let item = item(&environment_key, after.environment.version, &after.environment)?;
            writes.put(item, Some(before.environment.version), Part::Version);
        }
        if after.build != before.build
            && let Some(build) = &mut after.build
        {
            let old = before.build.as_ref().map_or(0, |build| build.version);
            build.version = old + 1;
            let item = item(&keys::build(&application, &build.digest), build.version, build)?;
            writes.put(item, Some(old), Part::Version);
        }
        if after.operation != before.operation
            && let Some(operation) = &mut after.operation
        {
            let old = before.operation.as_ref().map_or(0, |operation| operation.version);
            operation.version = old + 1;
            if let (Work::Promotion(promotion), Some(build)) = (&mut operation.work, &after.build) {
                promotion.build = build.clone();
            }
            let stored = StoredOperation { environment: after.name.clone(), operation: operation.clone() };
            let mut item = item(&keys::of_operation(&application, operation), operation.version, &stored)?;
            // The promoter need not look at a leased operation before the lease ends.
            let look = operation.lease.as_ref().map(|lease| lease.until).or(operation.wake_at);
            if let (Some(at), Some(_)) = (look, operation.wake_at) {
                item.insert("wake".into(), AttributeValue::S(WAKE.into()));
                item.insert("wake_at".into(), AttributeValue::S(sortable(at)));
            }
            writes.put(item, Some(old), Part::Version);
        }
        if let (None, Some(opened)) = (&before.operation, &after.operation) {
            writes.need_image(&application, opened);
        }
        if let Some(pin) = &change.pin {
            let item = item(&keys::pin(&application, &after.name, pin.number), 1, pin)?;
            writes.put(item, Some(0), Part::Version);
        }
        for intent in &change.intents {
            writes.put_intent(&application, intent);
        }
        if let Some(occurrence) = &change.opened {
            let item = item(&keys::opened(&application, &after.name, occurrence), 1, occurrence)?;
            writes.put(item, Some(0), Part::Opened);
        }
        if let Some(token) = &change.token {
            writes.update_token(token);
        }
        for (place, audit) in (0..).zip(&change.audit) {
            writes.put(audit_item(audit, place)?, Some(0), Part::Version);
        }
        self.transact(writes).await?;
        Ok(after)
    }

    /// Stores a link before it is mailed.
    pub async fn put_token(&self, token: &Token) -> Result<(), TableError> {
        let mut item = item(&keys::token(&token.hash), 1, token)?;
        // DynamoDB deletes the item within days after its expiry. Until then the page can say that
        // the link has expired.
        let ttl = token.expires_at.as_second().saturating_add(KEPT_AFTER_EXPIRY);
        item.insert("ttl".into(), AttributeValue::N(ttl.to_string()));
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await
            .map_err(TableError::call("PutItem"))?;
        Ok(())
    }

    async fn transact(&self, writes: Writes<'_>) -> Result<(), CommitError> {
        let Writes { items, parts, .. } = writes;
        let answer = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let error = match answer {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let failed = |wanted: &dyn Fn(&Part) -> bool| {
                parts.iter().zip(reasons).find(|(part, reason)| {
                    wanted(part) && reason.code().is_some_and(|code| code == "ConditionalCheckFailed")
                })
            };
            // An error with a specific cause takes precedence over an error that only reports a
            // change.
            if failed(&|part| *part == Part::Opened).is_some() {
                return Err(CommitError::AlreadyOpened);
            }
            if let Some((Part::Needed(digest), reason)) = failed(&|part| matches!(part, Part::Needed(_))) {
                let crowded = reason.item().is_some_and(|item| !item.contains_key("marked_by"));
                let of = if crowded { CommitError::Crowded } else { CommitError::Marked };
                return Err(of(digest.clone()));
            }
            if failed(&|part| *part == Part::Token).is_some() {
                return Err(CommitError::LinkUsed);
            }
            if let Some((Part::Name(tag), _)) = failed(&|part| matches!(part, Part::Name(_))) {
                return Err(CommitError::NameTaken(tag.clone()));
            }
            if let Some((Part::Claim(what), reason)) = failed(&|part| matches!(part, Part::Claim(_))) {
                let by = reason.item().and_then(|item| record::<String>("CLAIM", item).ok());
                let by = by.unwrap_or_else(|| "another".to_owned());
                return Err(CommitError::Claimed { what: what.clone(), by });
            }
            let raced = |code: &str| matches!(code, "ConditionalCheckFailed" | "TransactionConflict");
            if reasons.iter().any(|reason| reason.code().is_some_and(raced)) {
                return Err(CommitError::Lost);
            }
        }
        if error.code() == Some("TransactionConflictException") {
            return Err(CommitError::Lost);
        }
        Err(TableError::call("TransactWriteItems")(error).into())
    }

    /// Reads an item as a batch of one: `GetItem` would add another SDK operation to each zip file
    /// and does nothing more.
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        Ok(self.batch_get(std::slice::from_ref(key)).await?.remove(key))
    }

    /// Reads any number of items, in batches of [`PER_READ`].
    fn batch_get_many(
        &self,
        wanted: &[ItemKey],
    ) -> impl Future<Output = Result<HashMap<ItemKey, Item>, TableError>> {
        self.batch_get_attributes(wanted, None)
    }

    /// Reads only the given attributes. `None` reads the whole items.
    async fn batch_get_attributes(
        &self,
        wanted: &[ItemKey],
        attributes: Option<&str>,
    ) -> Result<HashMap<ItemKey, Item>, TableError> {
        let mut found = HashMap::new();
        for part in wanted.chunks(PER_READ) {
            found.extend(self.batch_get_part(part, attributes).await?);
        }
        Ok(found)
    }

    fn batch_get(
        &self,
        wanted: &[ItemKey],
    ) -> impl Future<Output = Result<HashMap<ItemKey, Item>, TableError>> {
        self.batch_get_part(wanted, None)
    }

    /// Reads consistently, in one round trip. It requests again what DynamoDB left unprocessed.
    async fn batch_get_part(
        &self,
        wanted: &[ItemKey],
        attributes: Option<&str>,
    ) -> Result<HashMap<ItemKey, Item>, TableError> {
        let mut found = HashMap::new();
        let mut open: Vec<_> = wanted.iter().map(ItemKey::attributes).collect();
        let mut rounds = 0;
        while !open.is_empty() {
            if rounds == MOST_ROUNDS {
                let message = format!("{} of {} keys stayed unprocessed", open.len(), wanted.len());
                return Err(TableError::Call { operation: "BatchGetItem", message, retryable: true });
            }
            if rounds > 0 {
                tokio::time::sleep(Duration::from_millis(25 << rounds)).await;
            }
            rounds += 1;
            let ask = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_projection_expression(attributes.map(str::to_owned))
                .set_keys(Some(open))
                .build()
                .expect("the keys are set");
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.name, ask)
                .send()
                .await
                .map_err(TableError::call("BatchGetItem"))?;
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                if let Some(key) = ItemKey::of(&item) {
                    found.insert(key, item);
                }
            }
            open = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|keys| keys.keys)
                .collect();
        }
        Ok(found)
    }
}

/// The most promotions that may be opened for one image before retention's nightly run releases the
/// ended ones. At 47 bytes each, they take a ninth of an item's space. Rollbacks have the same
/// number on top, so promotions cannot keep them out.
pub const MOST_NEEDED: usize = 1000;

/// The seconds that a link is kept after its expiry.
const KEPT_AFTER_EXPIRY: i64 = 7 * 24 * 3600;

/// The most keys that DynamoDB takes in one read.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const PER_READ: usize = 100;

/// The most requests for one batch, counting those for what DynamoDB left unprocessed.
const MOST_ROUNDS: u32 = 6;

/// The only partition of the sparse index. It sorts operations by the time to look at them next.
const WAKE: &str = "WAKE";

/// Formats a time as text that sorts by time: whole seconds in UTC, always 20 characters. It rounds
/// up, so that nothing is found before it is due.
fn sortable(at: Timestamp) -> String {
    let up = if at.subsec_nanosecond() > 0 { jiff::SignedDuration::from_secs(1) } else { Default::default() };
    let at = at.saturating_add(up).unwrap_or(at);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

type Item = HashMap<String, AttributeValue>;

#[derive(Serialize, serde::Deserialize)]
struct StoredOperation {
    environment: EnvironmentName,
    operation: Operation,
}

#[derive(Serialize, serde::Deserialize)]
struct StoredConfiguration {
    text: String,
    version: u64,
    at: Timestamp,
    by: String,
}

fn configuration_of(item: &Item) -> Result<Configuration, TableError> {
    let stored: StoredConfiguration = record("CONFIG", item)?;
    let application = Application::parse(&stored.text, None).map_err(|errors| TableError::Malformed {
        key: "CONFIG".to_owned(),
        reason: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })?;
    Ok(Configuration { application, version: stored.version })
}

fn record<T: DeserializeOwned>(key: &str, item: &Item) -> Result<T, TableError> {
    let value = item.get("record").cloned().unwrap_or(AttributeValue::Null(true));
    serde_dynamo::aws_sdk_dynamodb_1::from_attribute_value(value)
        .map_err(|source| TableError::Unreadable { key: key.to_owned(), source })
}

fn item<T: Serialize>(key: &ItemKey, version: u64, value: &T) -> Result<Item, TableError> {
    let value = serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(value)
        .map_err(|source| TableError::Unreadable { key: key.sk.clone(), source })?;
    let mut item = key.attributes();
    item.insert("version".into(), AttributeValue::N(version.to_string()));
    item.insert("record".into(), value);
    Ok(item)
}

/// Builds an audit record's item. The records of one transaction have the same time; `place` keeps
/// their order.
fn audit_item(audit: &AuditRecord, place: u8) -> Result<Item, TableError> {
    let id = uuid_v7_at(audit.at, Some(place)).to_string();
    let mut item = item(&keys::audit(audit, &id), 1, audit)?;
    item.insert("detail_type".into(), AttributeValue::S(audit.kind.detail_type().to_owned()));
    Ok(item)
}

/// Creates a fresh id that sorts by this time.
pub fn uuid_v7(at: Timestamp) -> Uuid {
    uuid_v7_at(at, None)
}

fn uuid_v7_at(at: Timestamp, place: Option<u8>) -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    // These bits follow the time. <https://www.rfc-editor.org/rfc/rfc9562#section-6.2>
    if let Some(place) = place {
        [random[0], random[1]] = [0, place];
    }
    let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The meaning of a write in a transaction, so that an error can name what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Version,
    Opened,
    Needed(ImageDigest),
    Token,
    Name(ImageTag),
    Claim(String),
}

struct Writes<'a> {
    table: &'a str,
    items: Vec<TransactWriteItem>,
    parts: Vec<Part>,
}

impl<'a> Writes<'a> {
    fn new(table: &'a str) -> Self {
        Self { table, items: Vec::new(), parts: Vec::new() }
    }

    fn push(&mut self, item: TransactWriteItem, part: Part) {
        self.items.push(item);
        self.parts.push(part);
    }

    /// Requires that the item still has this version. 0 means that the item does not exist.
    fn check(&mut self, key: &ItemKey, version: u64, part: Part) {
        let (expression, values) = version_is(version);
        let check = ConditionCheck::builder()
            .table_name(self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(expression)
            .set_expression_attribute_values(values)
            .build()
            .expect("table, key and condition are set");
        self.push(TransactWriteItem::builder().condition_check(check).build(), part);
    }

    /// Writes the item if it still has this version. 0 means that the item does not exist yet.
    fn put(&mut self, item: Item, version: Option<u64>, part: Part) {
        let mut put = Put::builder().table_name(self.table).set_item(Some(item));
        if let Some(version) = version {
            let (expression, values) = version_is(version);
            put = put.condition_expression(expression).set_expression_attribute_values(values);
        }
        let put = put.build().expect("table and item are set");
        self.push(TransactWriteItem::builder().put(put).build(), part);
    }

    /// Records that the opened operation needs its image. The write fails if retention is deleting
    /// the image, and afterwards retention cannot mark it. When the operation ends, retention
    /// itself removes the reference.
    fn need_image(&mut self, application: &ApplicationName, opened: &Operation) {
        let (digest, most) = match &opened.work {
            Work::Promotion(promotion) => (&promotion.digest, MOST_NEEDED),
            Work::Rollback(rollback) => (&rollback.target.digest, MOST_NEEDED * 2),
            // A repair restores a tag of the pinned image, and a drift report only notifies people.
            Work::Repair(_) | Work::LiveDrift(_) => return,
        };
        let operation = OperationKey::of(opened).to_string();
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(keys::image(application, digest).attributes()))
            .update_expression("ADD needed_by :operation")
            .condition_expression(
                "attribute_not_exists(marked_by) AND (attribute_not_exists(needed_by) OR size(needed_by) < :most)",
            )
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_values(":operation", AttributeValue::Ss(vec![operation]))
            .expression_attribute_values(":most", AttributeValue::N(most.to_string()))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Needed(digest.clone()));
    }

    fn put_intent(&mut self, application: &ApplicationName, intent: &Intent) {
        let key = keys::tag(application, &intent.repository, &intent.tag);
        let mut update = Update::builder()
            .table_name(self.table)
            .set_key(Some(key.attributes()))
            .update_expression("ADD intents :digest")
            .expression_attribute_values(":digest", AttributeValue::Ss(vec![intent.digest.to_string()]));
        if intent.exclusive {
            update = update
                .condition_expression("attribute_not_exists(intents) OR contains(intents, :own)")
                .expression_attribute_values(":own", AttributeValue::S(intent.digest.to_string()));
        }
        let update = update.build().expect("table, key and expression are set");
        let part = if intent.exclusive { Part::Name(intent.tag.clone()) } else { Part::Version };
        self.push(TransactWriteItem::builder().update(update).build(), part);
    }

    fn forget_intents(&mut self, tag: &ItemKey, digests: Vec<String>) {
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(tag.attributes()))
            .update_expression("DELETE intents :digests")
            .expression_attribute_values(":digests", AttributeValue::Ss(digests))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Version);
    }

    /// Stores a link after its use or after a wrong code. The write fails if the link has expired,
    /// was used, or got another wrong code meanwhile.
    fn update_token(&mut self, token: &Token) {
        let (set, before) = match token.used_at {
            Some(at) => (("used_at", AttributeValue::S(at.to_string())), token.wrong_codes),
            None => {
                let count = AttributeValue::N(token.wrong_codes.to_string());
                (("wrong_codes", count), token.wrong_codes.saturating_sub(1))
            }
        };
        let unexpired = Timestamp::now().as_second().saturating_add(KEPT_AFTER_EXPIRY);
        let update = Update::builder()
            .table_name(self.table)
            .set_key(Some(keys::token(&token.hash).attributes()))
            .update_expression("SET #record.#set = :set")
            .condition_expression(
                "attribute_type(#record.used_at, :null) AND #record.wrong_codes = :before AND #ttl > :unexpired",
            )
            .expression_attribute_names("#record", "record")
            .expression_attribute_names("#set", set.0)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":set", set.1)
            .expression_attribute_values(":before", AttributeValue::N(before.to_string()))
            .expression_attribute_values(":unexpired", AttributeValue::N(unexpired.to_string()))
            .expression_attribute_values(":null", AttributeValue::S("NULL".to_owned()))
            .build()
            .expect("table, key and expression are set");
        self.push(TransactWriteItem::builder().update(update).build(), Part::Token);
    }
}

fn version_is(version: u64) -> (&'static str, Option<HashMap<String, AttributeValue>>) {
    match version {
        0 => ("attribute_not_exists(pk)", None),
        _ => {
            let value = AttributeValue::N(version.to_string());
            ("version = :version", Some(HashMap::from([(":version".to_owned(), value)])))
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ItemKey {
    pk: String,
    sk: String,
}

impl ItemKey {
    fn attributes(&self) -> Item {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    fn of(item: &Item) -> Option<Self> {
        match (item.get("pk"), item.get("sk")) {
            (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) => {
                Some(Self { pk: pk.clone(), sk: sk.clone() })
            }
            _ => None,
        }
    }
}

/// Every key of the table. A name cannot contain `#`, so no two keys are equal.
mod keys {
    use super::{
        ApplicationName, AuditRecord, EnvironmentName, ImageDigest, ImageTag, ItemKey, Occurrence, Operation,
        OperationKey, PinNumber, RepositoryName, RunId, TokenHash, sortable,
    };

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

    pub(super) fn tagged(
        application: &ApplicationName,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> ItemKey {
        app(application, format!("{}{tag}", tagged_prefix(repository)))
    }

    pub(super) fn tag(application: &ApplicationName, repository: &RepositoryName, tag: &ImageTag) -> ItemKey {
        app(application, format!("{}{tag}", tag_prefix(repository)))
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

    pub(super) fn contained(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
        app(application, format!("CONTAINED#{digest}"))
    }

    pub(super) const RUNS: &str = "RUN#";

    pub(super) fn run(application: &ApplicationName, id: RunId) -> ItemKey {
        app(application, format!("{RUNS}{id}"))
    }

    /// The partition of marks and locks. Only here may retention delete items, so that its role's
    /// policy can name the partition.
    pub(super) fn images(application: &ApplicationName) -> String {
        format!("IMAGES#{application}")
    }

    pub(super) const IMAGES: &str = "IMAGE#";

    pub(super) fn image(application: &ApplicationName, digest: &ImageDigest) -> ItemKey {
        key(images(application), format!("{IMAGES}{digest}"))
    }

    /// The lock of the run that works on a repository's images.
    pub(super) fn retention(application: &ApplicationName, repository: &RepositoryName) -> ItemKey {
        key(images(application), format!("RETENTION#{repository}"))
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
}
