//! Requests only one approval for an image index. The images inside the image index need no
//! separate approvals.
//!
//! The push of an image index records the contained images, opens a promotion, and then cancels the
//! open promotions of these images. The push of an image checks for a promoted image index before
//! and after it opens its own promotion. So at least one of the two pushes finds the other push. If
//! the image index gets no promotion, its images get their own promotions.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use stablepin_aws::dynamodb::TableError;
use stablepin_aws::ecr::{Ecr, EcrError, ImageId};
use stablepin_oci::{ImageIndex, Manifest};
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Promotion, PromotionReason};
use stablepin_rules::transition::Input;

use crate::errors::chain;
use crate::open_promotions::{newest_promotions, open_promotions};
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// The most images of an image index that are examined. No real build has more.
const MOST_CONTAINED: usize = 100;
/// The most levels of nested image indexes that are examined. No real build has more.
const DEEPEST: usize = 4;

/// The most records that are written at the same time.
const AT_A_TIME: usize = 25;

/// Returns all images that the image index contains, including the images of nested image indexes.
pub(crate) async fn images(
    ecr: &Ecr,
    repository: &RepositoryName,
    index: ImageIndex,
) -> Result<BTreeSet<ImageDigest>, EcrError> {
    let mut all = BTreeSet::new();
    let mut nested = keep_children(&mut all, &index);
    drop(index);
    for _ in 1..DEEPEST {
        let mut deeper = Vec::new();
        // An image index may have 4 MB, so the loop keeps only one in memory at a time.
        for one in &nested {
            if let Some(index) = nested_index(ecr, repository, one).await? {
                deeper.extend(keep_children(&mut all, &index));
            }
        }
        nested = deeper;
    }
    Ok(all)
}

/// Adds the children of an image index, up to the limit. Returns the new nested image indexes.
fn keep_children(all: &mut BTreeSet<ImageDigest>, index: &ImageIndex) -> Vec<ImageDigest> {
    let mut nested = Vec::new();
    for child in &index.children {
        let is_new = all.len() < MOST_CONTAINED && all.insert(child.digest.clone());
        if is_new && child.is_index() {
            nested.push(child.digest.clone());
        }
    }
    nested
}

/// Returns the nested image index. Returns `None` if the digest is not an image index, or if ECR
/// permanently refuses to return it. After such a refusal, the nested images are unknown, but the
/// outer image index still gets its promotion.
async fn nested_index(
    ecr: &Ecr,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Option<ImageIndex>, EcrError> {
    let id = [ImageId::Digest(digest.clone())];
    let unread = match ecr.image(repository, &id).await.map(|read| read.first().map(|one| one.parse())) {
        Ok(Some(Ok(Manifest::Index(index)))) => return Ok(Some(index)),
        Ok(Some(Ok(Manifest::Image(_)))) => "it is no index".to_owned(),
        Ok(Some(Err(error))) => chain(&error),
        Ok(None) => "ECR does not give it".to_owned(),
        Err(error) if error.is_retryable() => return Err(error),
        Err(error) => chain(&error),
    };
    tracing::warn!(
        repository.name = %repository,
        image.digest = %digest,
        "a nested image index was ignored: {unread}"
    );
    Ok(None)
}

/// Returns the image index that is promoted instead of the image. Returns `None` if the image index
/// has no promotion (ECR or retention refused it), or if it is invalid. If the image index gets a
/// promotion later, that promotion cancels the image's promotion.
pub(crate) async fn asked_instead(
    clients: &Clients,
    application: &ApplicationName,
    index: Option<ContainingIndex>,
) -> Result<Option<ContainingIndex>, TableError> {
    let Some(index) = index else { return Ok(None) };
    let builds = clients.table.known_builds(application, std::slice::from_ref(&index.digest)).await?;
    if builds.is_empty() {
        return Ok(None);
    }
    let digests = BTreeSet::from([index.digest.clone()]);
    let promotions = newest_promotions(clients, application, &digests, 1).await?;
    let is_invalid = |one: &Promotion| matches!(one.reason, Some(PromotionReason::Invalid(_)));
    let never = !promotions.is_empty() && promotions.iter().all(|(_, one)| is_invalid(one));
    Ok((!never).then_some(index))
}

/// Records which images the image index contains, before the promotion of the image index opens.
pub(crate) async fn record(
    clients: &Clients,
    application: &ApplicationName,
    index: &ContainingIndex,
    contained: &BTreeSet<ImageDigest>,
) -> Result<(), TableError> {
    let contained: Vec<&ImageDigest> = contained.iter().collect();
    for some in contained.chunks(AT_A_TIME) {
        let puts = some.iter().map(|digest| clients.table.put_containing_index(application, digest, index));
        try_join_all(puts).await?;
    }
    Ok(())
}

/// Cancels the promotions of the images in the image index. A promotion with a vote, or with a
/// signed request for it, continues. Only the newest promotions are searched, because they include
/// all open promotions.
pub(crate) async fn cancel(
    clients: &Clients,
    application: &ApplicationName,
    index: &ContainingIndex,
    contained: &BTreeSet<ImageDigest>,
    deadline: Deadline,
) -> Result<(), ReconcileError> {
    for (key, _) in open_promotions(clients, application, contained).await? {
        reconcile(clients, Source::Operation(key), vec![Input::Contained(index.clone())], deadline).await?;
    }
    Ok(())
}
