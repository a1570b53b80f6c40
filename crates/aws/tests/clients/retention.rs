//! Tests of retention's requests to the table: references, marks, and the lock of a repository.

mod environments;
pub(crate) mod fixtures;
mod lock;
mod marks;
mod references;
mod tags;
