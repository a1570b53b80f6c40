//! The DynamoDB table, the source of truth. Most items have the attributes `pk`, `sk`, `version`
//! and `record`. An item in the secondary index `wake` also has the attributes `wake` and
//! `wake_at`.
//!
//! A write of several items is one transaction. The transaction checks the versions of all items on
//! which the caller based its decision. If another writer has changed one of these items, the
//! transaction fails, and its error names the conflict. Every caller must handle this error.

mod applications;
mod audit;
mod checks;
mod commit;
mod console;
mod error;
mod health;
mod ignored;
mod item;
mod keys;
mod lists;
mod operation_key;
mod push_context;
mod retention;
mod runs;
mod subjects;
mod table;
mod tags;
mod tokens;
mod transaction;
mod uuid_v7;

pub use applications::{PutApplication, PutApplicationError, StoredApplication};
pub use console::Environments;
pub use error::TableError;
pub use health::{About, Health};
pub use lists::{Cursor, Page};
pub use operation_key::{Key, OperationKey};
pub use push_context::PushContext;
pub use retention::Mark;
pub use table::Table;
pub use transaction::{CommitError, MOST_NEEDED};
pub use uuid_v7::uuid_v7;
