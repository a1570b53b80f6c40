//! Contract tests of the clients over a real connection. They check which requests the clients
//! send, and how the clients read the responses.

#![expect(clippy::unwrap_used, reason = "a failing test should say where")]

mod ecr;
mod ecr_fake;
mod ecr_retention;
mod ecs;
mod ecs_fake;
mod ecs_in_use;
mod ecs_service_deployments;
mod elb;
mod eventbridge;
mod lambda;
mod lists;
mod probe;
mod retention;
mod runs;
mod s3;
mod session;
mod sns;
mod sources;
mod sqs;
mod wire;
