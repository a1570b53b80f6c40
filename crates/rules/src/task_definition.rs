//! The next revision of a task definition. Only the images of the application's containers change.
//!
//! The code works on the JSON from ECS. Rust types would drop fields that ECS added after this
//! program was built.

mod at_digest;
mod compare;
mod containers;
mod copy;
mod errors;
mod own;
mod platform;

pub use self::at_digest::{Clone, at_digest, described_digest};
pub use self::compare::same_but_image;
pub use self::containers::{ContainerRole, container_roles, is_health_checked};
pub use self::copy::{OUTPUT_ONLY, copy};
pub use self::errors::TaskDefinitionError;
pub use self::own::OwnContainers;
pub use self::platform::wrong_platform;

#[cfg(test)]
mod tests;
