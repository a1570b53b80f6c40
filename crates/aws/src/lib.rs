//! The clients of AWS services: one concrete struct per service, with typed requests and responses.
//! Only this package uses the SDK crates.

#[cfg(feature = "retention")]
pub mod batch;
pub mod call;
pub mod dynamodb;
pub mod ecr;
pub mod ecs;
pub mod elb;
pub mod errors;
pub mod eventbridge;
pub mod failed_call;
#[cfg(feature = "retention")]
pub mod lambda;
#[cfg(feature = "retention")]
pub mod mentioned;
mod pages;
#[cfg(feature = "retention")]
pub mod pipes;
mod plain_http;
pub mod probe;
#[cfg(feature = "retention")]
pub mod s3;
#[cfg(feature = "retention")]
pub mod scheduler;
pub mod session;
#[cfg(feature = "retention")]
pub mod signed_json;
pub mod sns;
pub mod sqs;
