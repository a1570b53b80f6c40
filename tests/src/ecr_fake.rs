//! A fake of Amazon ECR: a strict fake that keeps state, at the other end of a real wire.
//!
//! It speaks ECR's protocol (JSON 1.1) and the registry protocol on one loopback port. `AWS_ENDPOINT_URL_ECR`, or a
//! proxy in between, leads a function's real program to it; images are pushed to it as to any registry. What it does
//! follows ECR's documentation; each rule names its page. Where the documentation is silent, the comment says what was
//! assumed.
//!
//! A test says what is there and what happens ([`Ecr`], [`Repository`]), in words of the domain:
//!
//! ```no_run
//! use stablepin_tests::ecr_fake::{EcrFake, Mutability, NewImage};
//! let ecr = EcrFake::start();
//! let web = ecr.creates("prod/web", Mutability::Mutable);
//! let builds = web.put_all((0..100_000).map(|n| NewImage::named(format!("build {n}")).layer("base", 90_000_000)));
//! let index = web.put(NewImage::index_of([NewImage::named("amd64"), NewImage::named("arm64")]).tag("main"));
//! let delete = ecr.pauses("BatchDeleteImage");
//! // … the program begins to delete …
//! delete.comes();
//! web.is_tagged("prod-stable", &builds[0]);
//! delete.goes_on();
//! assert!(web.exists(&index));
//! assert_eq!(ecr.count("BatchDeleteImage"), 1);
//! ```
//!
//! The fake has a clock of its own, which starts at the true time and then stands still until
//! [`Ecr::time_passes`]: restores out of the archive and throttling go by it.
//!
//! Lists come in no order of pushes or names, the same in each run ([`Ecr::shuffles`]).
//!
//! A call, or a member of a request, that the fake does not know is answered with 501 and fails the test when the
//! fake is dropped: what we begin to call must be taught here first.

mod batch_get;
mod by_test;
mod delete;
mod describe;
mod events;
mod images;
mod layers;
mod manifest;
mod mutability;
mod new_image;
mod pause;
mod pull_times;
mod put_image;
mod referrers;
mod registry;
mod repositories;
mod storage_class;
#[cfg(test)]
mod tests;
mod throttle;
mod wire;
mod world;

pub use by_test::{Ecr, EcrFake, Repository};
pub use images::{PushedAt, StorageStatus};
pub use mutability::TagMutability;
pub use new_image::NewImage;
pub use pause::Pause;
pub use world::EcrCall;
