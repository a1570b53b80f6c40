//! A fake of Amazon ECS: a strict fake that keeps state, at the other end of a real wire.
//!
//! It speaks ECS's protocol (JSON 1.1) on a loopback port. `AWS_ENDPOINT_URL_ECS`, or a proxy in between, leads a
//! function's real program to it. What it does follows ECS's documentation; each rule names its page. Where the
//! documentation is silent, the comment says what was assumed.
//!
//! A test says what the world is like and what will happen ([`Ecs`], [`Service`]), in words of the domain:
//!
//! ```no_run
//! use stablepin_tests::ecs_fake::{EcsFake, Outcome};
//! let ecs = EcsFake::start();
//! let web = ecs.service("prod/web").runs("111.example/web@sha256:…").desired(2).circuit_breaker(true).create();
//! web.will(Outcome::CrashesUntilTheBreaker);
//! // … the program deploys, and polls …
//! assert_eq!(ecs.count("UpdateService"), 1);
//! ```
//!
//! Deployments move one step each time that their service is described, after the answer: so that what polls sees
//! `PENDING`, `IN_PROGRESS`, and the end. [`Ecs::by_hand`] leaves it to [`Ecs::advance`].
//!
//! The fake has a clock of its own, which starts at the true time and then stands still until
//! [`Ecs::time_passes`].
//!
//! A call, or a member of a request, that the fake does not know is answered with 501 and fails the test when the
//! fake is dropped: what we begin to call must be taught here first.

mod by_test;
mod deployments;
mod events;
mod home;
mod new_service;
mod service_deployments;
mod services;
mod task_definitions;
mod tasks;
#[cfg(test)]
mod tests;
mod throttle;
mod wire;
mod world;

pub use by_test::{Ecs, EcsFake, Reported, Service};
pub use deployments::{DeploymentOutcome, Stage, WayBack};
pub use new_service::{ControllerKind, NewService, Strategy};
pub use world::EcsCall;
