//! Tests of retention's calls of ECR.

mod deletion;
mod fixtures;
mod inventory;
mod manifests;
mod policies;
