//! The DynamoDB table, the source of truth. An item has `pk`, `sk`, `version`, the attributes of an
//! index, and the record itself.
//!
//! A write of several items is one transaction, which checks the versions of all items that the
//! decision was based on. A lost race is a normal result, and its error names what was lost.

mod applications;
mod audit;
mod commit;
mod console;
mod error;
mod health;
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
