//! An application with numbered images, operations and runs.

use jiff::Timestamp;
use stablepin_aws::dynamodb::{OperationKey, Table};
use stablepin_retention_rules::run::RunId;
use stablepin_rules::application::Application;
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Configuration, Environment, Operation, Subject};
use stablepin_rules::transition::Change;

use crate::wire::{Answer, Wire, error};

pub(super) const PROMOTION: &str = include_str!("../../../../rules/src/records/samples/promotion.json");

pub(crate) fn table(wire: &Wire) -> Table {
    Table::new(&wire.session(), "stablepin".to_owned())
}

pub(crate) fn web() -> ApplicationName {
    ApplicationName::parse("web").unwrap()
}

pub(super) fn repository() -> RepositoryName {
    RepositoryName::parse("team/web").unwrap()
}

pub(super) fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

pub(super) fn operation(n: u8) -> OperationKey {
    OperationKey::Promotion(
        OperationId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap(),
    )
}

pub(super) fn rollback(n: u8) -> OperationKey {
    OperationKey::Rollback(OperationId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap())
}

pub(super) fn run(n: u8) -> RunId {
    RunId::parse(&format!("0199184a-{n:02x}00-7000-8000-000000000001")).unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn condition_failed() -> Answer {
    error(400, "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException")
}

pub(super) fn in_transaction() -> Answer {
    error(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException")
}

/// Returns a subject without an operation, and the change that opens this operation.
pub(crate) fn opens(operation: &str) -> (Subject, Change) {
    let file = r#"
name = "web"
repository = "web"
builds = ["main"]
[[approver]]
name = "lead"
mail = "lead@example.com"
[[environment]]
name = "production"
stable_tag = "prod-stable"
deploy = "never"
approval = { required = 1, approvers = ["lead"] }
"#;
    let before = Subject {
        configuration: Configuration { application: Application::parse(file, None).unwrap(), version: 1 },
        name: EnvironmentName::parse("production").unwrap(),
        environment: Environment::untouched(),
        build: None,
        operation: None,
    };
    let operation: Operation = serde_json::from_str(operation).unwrap();
    let after = Subject { operation: Some(operation), ..before.clone() };
    let change =
        Change { after, pin: None, intents: Vec::new(), opened: None, token: None, audit: Vec::new() };
    (before, change)
}
