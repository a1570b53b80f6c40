//! A strict fake of Amazon ECR that keeps state and responds over HTTP.
//!
//! The fake speaks ECR's protocol (JSON 1.1) and the registry protocol on one loopback port. The
//! program of a Lambda function reaches the fake through `AWS_ENDPOINT_URL_ECR` or through a proxy.
//! Tests push images to the fake as to any registry.
//!
//! The fake follows ECR's documentation, and each rule in the code names its page of the
//! documentation. Where the documentation says nothing, a comment states the assumption.
//!
//! A test sets up the repositories and changes them through [`Ecr`] and [`Repository`]:
//!
//! ```no_run
//! use stablepin_tests::ecr_fake::{EcrFake, NewImage, TagMutability};
//! let ecr = EcrFake::start();
//! let web = ecr.creates("prod/web", TagMutability::Mutable);
//! let build = |n| NewImage::named(format!("build {n}")).layer("base", 90_000_000);
//! let builds = web.put_all((0..100_000).map(build));
//! let children = ["amd64", "arm64"].map(NewImage::named);
//! let index = web.put(NewImage::index_of(children).tag("main"));
//! let delete = ecr.pauses("BatchDeleteImage");
//! // … the program begins to delete …
//! delete.comes();
//! web.is_tagged("prod-stable", &builds[0]);
//! delete.goes_on();
//! assert!(web.exists(&index));
//! assert_eq!(ecr.count("BatchDeleteImage"), 1);
//! ```
//!
//! The fake has its own clock, which starts at the true time. The clock advances when a test calls
//! [`Ecr::time_passes`], and by one microsecond at each change. The clock decides when ECR has
//! restored an archived image, and which calls ECR throttles.
//!
//! The order of a list does not depend on push times or names, and is the same in each run.
//! [`Ecr::shuffles`] changes the order.
//!
//! The fake responds with status 501 to unknown calls, and to requests with unknown fields.
//! Dropping the fake then fails the test. Before our programs use a new call or field, a developer
//! must add this call or field to the fake.

mod authorization;
mod batch_get;
mod by_test;
mod caller;
mod delete;
mod describe;
mod dispatch;
mod events;
mod image_id;
mod images;
mod layers;
mod manifest;
mod mount;
mod mutability;
mod new_image;
mod pause;
mod pull_times;
mod put_image;
mod referrers;
mod registry;
mod repositories;
mod repository;
mod server;
mod storage_class;
#[cfg(test)]
mod tests;
mod throttle;
mod uploads;
mod wire;
mod world;

pub use by_test::{Ecr, Repository};
pub use images::{PushedAt, StorageStatus};
pub use mount::Encryption;
pub use mutability::TagMutability;
pub use new_image::NewImage;
pub use pause::Pause;
pub use server::EcrFake;
pub use world::EcrCall;
