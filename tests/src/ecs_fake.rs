//! A strict fake of Amazon ECS that keeps state and responds over HTTP.
//!
//! The fake speaks ECS's protocol (JSON 1.1) on a loopback port. The program of a Lambda function
//! reaches the fake through `AWS_ENDPOINT_URL_ECS` or through a proxy.
//!
//! The fake follows ECS's documentation, and each rule in the code names its page of the
//! documentation. Where the documentation says nothing, a comment states the assumption.
//!
//! A test sets up services and decides how their deployments end, through [`Ecs`] and [`Service`]:
//!
//! ```no_run
//! use stablepin_tests::ecs_fake::{DeploymentOutcome, EcsFake};
//! let ecs = EcsFake::start();
//! let web = ecs.service("prod/web").runs("111.example/web@sha256:…").create();
//! web.will(DeploymentOutcome::CrashesUntilTheBreaker);
//! // … the program deploys, and polls …
//! assert_eq!(ecs.count("UpdateService"), 1);
//! ```
//!
//! A deployment advances one step after each response that describes its service. A caller that
//! polls therefore sees `PENDING`, `IN_PROGRESS`, and the final state. After a call to
//! [`Ecs::by_hand`], deployments advance only by [`Ecs::advance`].
//!
//! The fake has its own clock, which starts at the true time. The clock advances when a test calls
//! [`Ecs::time_passes`], and by one microsecond at each change.
//!
//! The fake responds with status 501 to unknown calls, and to requests with unknown fields.
//! Dropping the fake then fails the test. Before our programs use a new call or field, a developer
//! must add this call or field to the fake.

mod by_test;
mod clusters;
mod deployment;
mod deployments;
mod dispatch;
mod events;
mod home;
mod new_service;
mod placement;
mod rollback;
mod scaling;
mod server;
mod service;
mod service_deployments;
mod services;
mod stage;
mod task;
mod task_definition;
mod task_definitions;
mod tasks;
#[cfg(test)]
mod tests;
mod throttle;
mod wire;
mod world;

pub use by_test::{Ecs, Reported, Service};
pub use deployment::{DeploymentOutcome, WayBack};
pub use new_service::{NewService, Strategy};
pub use server::EcsFake;
pub use service::ControllerKind;
pub use stage::Stage;
pub use world::EcsCall;
