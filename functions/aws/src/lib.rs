//! The doors to AWS: one concrete struct per service, typed in, typed out. Only this package names an SDK crate.

pub mod dynamodb;
pub mod ecr;
pub mod ecs;
pub mod elb;
pub mod eventbridge;
pub mod failed_call;
#[cfg(feature = "retention")]
pub mod lambda;
mod pages;
mod plain_http;
pub mod probe;
#[cfg(feature = "retention")]
pub mod s3;
pub mod session;
pub mod sns;
pub mod sqs;
