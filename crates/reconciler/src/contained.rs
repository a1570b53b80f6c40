//! One release in several pushes: an image that a build's image index contains asks for nothing of its own.
//!
//! The index records what it contains before its promotion is opened, and cancels afterwards the open questions that it
//! finds. The contained image looks before its promotion is opened, and once more afterwards, for an index that has been
//! opened. So one of the two sees the other, in whatever order their events come, and the image of an index that is never
//! asked for is asked for itself.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_aws::ecr::{EcrError, ImageId};
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::manifest::{ImageIndex, Manifest};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::Work;
use stablepin_rules::transition::Input;

use crate::attribution::PROMOTIONS;
use crate::errors::chain;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// The most images of an index that are looked at, and how deep indexes may contain indexes. No real build has more.
const MOST_CONTAINED: usize = 100;
const DEEPEST: usize = 4;

/// How many are written at a time.
const AT_A_TIME: usize = 25;

/// Everything that the index contains, and that indexes in it contain.
pub(crate) async fn images(
    clients: &Clients,
    repository: &RepositoryName,
    index: ImageIndex,
) -> Result<BTreeSet<ImageDigest>, EcrError> {
    let mut all = BTreeSet::new();
    let mut indexes = vec![index];
    for _ in 0..DEEPEST {
        let mut nested = Vec::new();
        for child in indexes.iter().flat_map(|index| &index.children) {
            let is_new = all.len() < MOST_CONTAINED && all.insert(child.digest.clone());
            if is_new && child.is_index() {
                nested.push(child.digest.clone());
            }
        }
        if nested.is_empty() {
            break;
        }
        indexes.clear();
        for one in &nested {
            indexes.extend(nested_index(clients, repository, one).await?);
        }
    }
    Ok(all)
}

/// None for what ECR will not give however often it is asked, or what is no index: nothing is known of its images, and
/// the build that contains it is asked for all the same.
async fn nested_index(
    clients: &Clients,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Option<ImageIndex>, EcrError> {
    let id = [ImageId::Digest(digest.clone())];
    let unread =
        match clients.ecr.image(repository, &id).await.map(|read| read.first().map(|one| one.parse())) {
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
        "an index in an index was passed over: {unread}"
    );
    Ok(None)
}

/// The index that is asked for instead of the image. None while the index has no promotion, which may never come to it:
/// ECR or retention refuse it. Where it comes later, the index cancels the image's question.
pub(crate) async fn asked_instead(
    clients: &Clients,
    application: &ApplicationName,
    index: Option<ContainingIndex>,
) -> Result<Option<ContainingIndex>, TableError> {
    let Some(index) = index else { return Ok(None) };
    let builds = clients.table.known_builds(application, std::slice::from_ref(&index.digest)).await?;
    Ok((!builds.is_empty()).then_some(index))
}

/// Before the index's promotion is opened.
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

/// Cancels the questions about what the index contains that nobody has answered: those are among the newest promotions.
pub(crate) async fn cancel(
    clients: &Clients,
    application: &ApplicationName,
    index: &ContainingIndex,
    contained: &BTreeSet<ImageDigest>,
    deadline: Deadline,
) -> Result<(), ReconcileError> {
    for (environment, operation) in clients.table.promotions(application, PROMOTIONS, None).await?.items {
        let Work::Promotion(promotion) = &operation.work else { continue };
        if promotion.state.is_terminal() || !contained.contains(&promotion.digest) {
            continue;
        }
        let operation = OperationKey::of(&operation);
        let key = Key { application: application.clone(), environment, operation };
        reconcile(clients, Source::Operation(key), vec![Input::Contained(index.clone())], deadline).await?;
    }
    Ok(())
}
