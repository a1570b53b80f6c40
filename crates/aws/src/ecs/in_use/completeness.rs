//! Checks that reads are complete: a list has all its pages, or its read fails.
//!
//! A read also fails if the response lacks a requested item. The exceptions are tasks and services
//! that ended after they were listed.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::Failure;

use crate::call::{Call, CallError};
use crate::ecs::answer::{left_out, unmentioned};

/// The largest page of any of these lists. By default, a page of ListServices has only ten
/// services.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
pub(super) const PER_PAGE: i32 = 100;

/// The most pages of a list: ten times a cluster's usual quota of services or tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
pub(super) const MOST_PAGES: usize = 1000;

/// The error code for a cluster that was deleted after it was listed. The client treats the lists
/// of such a cluster as empty, because ECS deletes no cluster with services, tasks or instances.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html>
pub(super) const CLUSTER_GONE: &str = "ClusterNotFoundException";

/// Fails if ECS reports any failure, even `MISSING`. Deployments and revisions do not disappear
/// between two calls, so none of them may be missing.
pub(super) fn none_left_out(call: &Call, failures: &[Failure]) -> Result<(), CallError> {
    failures.first().map_or(Ok(()), |failure| Err(left_out(call, failure)))
}

/// Fails if ECS neither returns a requested item nor reports it as missing.
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
