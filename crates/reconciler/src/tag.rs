//! Checks Stablepin's own tags, and restores the tags that other callers moved or deleted.

use stablepin_aws::dynamodb::{TableError, uuid_v7};
use stablepin_aws::ecr::{EcrError, ImageId};
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::build_tag::{current, numbered};
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::mutability::Mutability;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Environment, Subject};
use stablepin_rules::transition::{Drifted, Input};

use crate::clock::now;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

#[derive(Debug, thiserror::Error)]
pub enum TagError {
    #[error("the tag could not be looked up")]
    Table(#[from] TableError),
    #[error("the tag could not be read")]
    Ecr(#[from] EcrError),
    #[error("the tag could not be corrected")]
    Reconcile(#[from] ReconcileError),
}

/// Returns whether the tag is one of Stablepin's own tags in the environment.
pub fn is_kept(policy: &EnvironmentPolicy, tag: &ImageTag) -> bool {
    let number =
        tag.as_str().strip_prefix(policy.stable_tag.as_str()).and_then(|rest| rest.strip_prefix('-'));
    let is_numbered =
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()) && number.len() >= 6);
    *tag == policy.stable_tag || *tag == current(&policy.name) || is_numbered
}

/// Returns the stable tag and the current tag, each with the digest that must have the tag.
pub fn kept(
    policy: &EnvironmentPolicy,
    environment: &Environment,
    mutability: &Mutability,
) -> Vec<(ImageTag, ImageDigest)> {
    let stable = environment.pin.as_ref().map(|pin| {
        let tag = if mutability.can_move(&policy.stable_tag) {
            policy.stable_tag.clone()
        } else {
            numbered(&policy.stable_tag, pin.number)
        };
        (tag, pin.digest.clone())
    });
    // A repository that forbids moving the current tag has no current tag.
    let live = environment
        .current
        .as_ref()
        .map(|live| (current(&policy.name), live.digest.clone()))
        .filter(|(tag, _)| mutability.can_move(tag));
    stable.into_iter().chain(live).collect()
}

/// Reads which image has the tag now, and restores the tag if the image is wrong. Returns whether
/// the tag had drifted.
pub async fn look_at(
    clients: &Clients,
    subject: Subject,
    tag: &ImageTag,
    deadline: Deadline,
) -> Result<bool, TagError> {
    let Some(policy) = subject.policy().cloned() else { return Ok(false) };
    let ids = [ImageId::Tag(tag.clone())];
    let (repository, found) =
        tokio::join!(clients.ecr.repository(&policy.repository), clients.ecr.image(&policy.repository, &ids));
    let Some(repository) = repository? else { return Ok(false) };
    let wanted = kept(&policy, &subject.environment, &repository.mutability);
    if !wanted.iter().any(|(kept, _)| kept == tag) {
        return Ok(false);
    }
    let found = found?.into_iter().next().map(|manifest| manifest.digest);
    put_right(clients, subject, tag, found, deadline).await
}

/// Restores a tag that was just read, if the tag is on a wrong image. Returns whether the tag had
/// drifted.
pub async fn put_right(
    clients: &Clients,
    subject: Subject,
    tag: &ImageTag,
    found: Option<ImageDigest>,
    deadline: Deadline,
) -> Result<bool, TagError> {
    let by = match (&found, subject.policy()) {
        (Some(digest), Some(policy)) => {
            let found = clients.table.caller(subject.application(), &policy.repository, tag, digest).await?;
            // An old record names the caller of an earlier change, not the caller who has moved the
            // tag now.
            found.filter(|caller| caller.is_recent(now()))
        }
        _ => None,
    };
    let drifted = Drifted { id: OperationId::new(uuid_v7(now())), tag: tag.clone(), found, by };
    let observed = vec![Input::Drifted(drifted)];
    let after = reconcile(clients, Source::Subject(Box::new(subject)), observed, deadline).await?;
    Ok(after.operation.is_some())
}
