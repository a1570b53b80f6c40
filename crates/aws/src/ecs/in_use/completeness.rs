//! The rule that a list is complete or an error.
//!
//! An item missing from an answer is an error too, unless it is a task or service that ended after
//! it was listed.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::Failure;

use crate::call::{Call, CallError};
use crate::ecs::answer::{left_out, unmentioned};

/// The largest page of any of these lists. ListServices returns ten unless asked for more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
pub(super) const PER_PAGE: i32 = 100;

/// The most pages of a list: ten times a cluster's usual quota of services or tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
pub(super) const MOST_PAGES: usize = 1000;

/// The code for a cluster that was deleted after it was listed. Its lists are empty: ECS does not
/// delete a cluster with services, tasks or instances.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html>
pub(super) const CLUSTER_GONE: &str = "ClusterNotFoundException";

/// Fails at any failure. Deployments and revisions do not end by themselves, so none may be
/// missing.
pub(super) fn none_left_out(call: &Call, failures: &[Failure]) -> Result<(), CallError> {
    failures.first().map_or(Ok(()), |failure| Err(left_out(call, failure)))
}

/// Fails if a requested item is neither in the answer nor missing.
pub(super) fn require_all<'a>(
    call: &Call,
    asked: &[String],
    answered: impl Iterator<Item = Option<&'a str>>,
    missing: &'a [Failure],
) -> Result<(), CallError> {
    let answered: BTreeSet<&str> =
        answered.flatten().chain(missing.iter().filter_map(Failure::arn)).collect();
    match asked.iter().find(|arn| !answered.contains(arn.as_str())) {
        None => Ok(()),
        Some(arn) => Err(unmentioned(call, arn)),
    }
}
