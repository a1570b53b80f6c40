//! The rule that a list is complete or an error.
//!
//! An item missing from an answer is an error too, unless it is a task or service that ended after
//! it was listed.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::Failure;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::ecs::answer::others_than_missing;
use crate::ecs::error::EcsError;
use crate::failed_call::FailedCall;
use crate::pages::Endless;

/// The largest page of any of these lists. ListServices returns ten unless asked for more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
pub(super) const PER_PAGE: i32 = 100;

/// The most pages of a list: ten times a cluster's usual quota of services or tasks.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
pub(super) const MOST_PAGES: usize = 1000;

/// Converts a failed call into [`EcsError::Read`].
pub(super) fn read<E>(
    operation: &'static str,
    what: impl Into<String>,
) -> impl FnOnce(SdkError<E, Response<SdkBody>>) -> EcsError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let what = what.into();
    move |error| EcsError::Read { operation, what, source: FailedCall::new(error) }
}

pub(super) fn endless(operation: &'static str, what: impl Into<String>) -> impl FnOnce(Endless) -> EcsError {
    let what = what.into();
    move |Endless| EcsError::Endless { operation, what }
}

/// Returns an empty value if the cluster was deleted after it was listed. ECS does not delete a
/// cluster with services, tasks or instances.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteCluster.html>
pub(super) fn or_empty_if_gone<T: Default>(answer: Result<T, EcsError>) -> Result<T, EcsError> {
    match answer {
        Err(EcsError::Read { source, .. }) if source.code() == Some("ClusterNotFoundException") => {
            Ok(T::default())
        }
        other => other,
    }
}

/// Fails at any failure. Deployments and revisions do not end by themselves, so none may be
/// missing.
pub(super) fn none_left_out(operation: &'static str, failures: &[Failure]) -> Result<(), EcsError> {
    others_than_missing(operation, failures)?;
    match failures.first() {
        None => Ok(()),
        Some(failure) => Err(EcsError::LeftOut {
            operation,
            what: failure.arn().unwrap_or("something").to_owned(),
            reason: failure.reason().unwrap_or("no reason given").to_owned(),
        }),
    }
}

/// Fails if a requested item is neither in the answer nor missing.
pub(super) fn require_all<'a>(
    operation: &'static str,
    asked: &[String],
    answered: impl Iterator<Item = Option<&'a str>>,
    missing: &'a [Failure],
) -> Result<(), EcsError> {
    let answered: BTreeSet<&str> =
        answered.flatten().chain(missing.iter().filter_map(Failure::arn)).collect();
    match asked.iter().find(|arn| !answered.contains(arn.as_str())) {
        None => Ok(()),
        Some(arn) => Err(EcsError::LeftOut {
            operation,
            what: arn.clone(),
            reason: "it is neither found nor missing".to_owned(),
        }),
    }
}
