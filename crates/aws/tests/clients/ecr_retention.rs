//! Tests of retention's calls to ECR.

mod deletion;
mod fixtures;
mod inventory;
mod manifests;
mod policies;
