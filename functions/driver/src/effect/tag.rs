//! Tags: names put on manifest bytes that the registry has, exactly as it has them.

use stablepin_aws::ecr::{EcrError, ImageId, Manifest, PutTag};
use stablepin_core::application::Environment as Policy;
use stablepin_core::build_tag::{current as current_tag, numbered};
use stablepin_core::effect::Outcome;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::records::{Build, Pin};

use super::problem;
use crate::Doors;
use crate::errors::chain;

/// The build tag: unique, so that a name on another digest is never moved.
pub(super) async fn build(doors: &Doors, build: &Build) -> Outcome {
    let tag = build.build_tag.tag();
    let ids = [ImageId::Digest(build.digest.clone()), ImageId::Tag(tag.clone())];
    let found = match doors.ecr.image(&build.repository, &ids).await {
        Ok(found) => found,
        Err(error) => return problem(&error),
    };
    if let Some(named) = found.iter().find(|manifest| manifest.tag.as_ref() == Some(&tag)) {
        return if named.digest == build.digest { Outcome::BuildTagged } else { Outcome::BuildTagTaken(tag) };
    }
    let Some(manifest) = found.iter().find(|manifest| manifest.digest == build.digest) else {
        return gone(&build.repository, &build.digest);
    };
    match doors.ecr.put_tag(&build.repository, manifest, &tag).await {
        Ok(PutTag::Put | PutTag::AlreadyThere) => Outcome::BuildTagged,
        Ok(PutTag::PointsElsewhere) => Outcome::BuildTagTaken(tag),
        Err(error) => problem(&error),
    }
}

/// The stable tag: moved where the repository lets it move, else this pin's own numbered tag.
pub(super) async fn stable(doors: &Doors, policy: &Policy, pin: &Pin) -> Outcome {
    let (manifest, repository) = tokio::join!(
        manifest(doors, &policy.repository, &pin.digest),
        doors.ecr.repository(&policy.repository),
    );
    let (manifest, repository) = match (manifest, repository) {
        (Ok(Some(manifest)), Ok(Some(repository))) => (manifest, repository),
        (Ok(None), Ok(_)) => return gone(&policy.repository, &pin.digest),
        (Ok(_), Ok(None)) => {
            return Outcome::Problem(format!("there is no repository {}", policy.repository));
        }
        (Err(error), _) | (_, Err(error)) => return problem(&error),
    };
    let tag = if repository.mutability.can_move(&policy.stable_tag) {
        policy.stable_tag.clone()
    } else {
        numbered(&policy.stable_tag, pin.number)
    };
    match doors.ecr.put_tag(&policy.repository, &manifest, &tag).await {
        Ok(PutTag::Put | PutTag::AlreadyThere) => Outcome::StableTagged(pin.number),
        Ok(PutTag::PointsElsewhere) => Outcome::Problem(format!(
            "the tag {tag} of {} is on another image and the repository does not let it move: delete that tag",
            policy.repository
        )),
        Err(error) => problem(&error),
    }
}

/// What runs now, for people and pipelines. Where the repository does not let the tag move, there is none.
pub(super) async fn current(doors: &Doors, policy: &Policy, digest: &ImageDigest) -> Outcome {
    best_effort(doors, policy, &current_tag(&policy.name), digest).await;
    Outcome::CurrentTried(digest.clone())
}

/// A rollback does not wait for it, and does not fail with it.
pub(super) async fn backup(doors: &Doors, policy: &Policy, tag: &ImageTag, digest: &ImageDigest) -> Outcome {
    best_effort(doors, policy, tag, digest).await;
    Outcome::BackupTried
}

async fn best_effort(doors: &Doors, policy: &Policy, tag: &ImageTag, digest: &ImageDigest) {
    let tried = match manifest(doors, &policy.repository, digest).await {
        Ok(Some(manifest)) => doors.ecr.put_tag(&policy.repository, &manifest, tag).await.map(|_| ()),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = tried {
        tracing::warn!(image.tag = %tag, "the tag {tag} was not put: {}", chain(&error));
    }
}

async fn manifest(
    doors: &Doors,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Option<Manifest>, EcrError> {
    let found = doors.ecr.image(repository, &[ImageId::Digest(digest.clone())]).await?;
    Ok(found.into_iter().next())
}

fn gone(repository: &RepositoryName, digest: &ImageDigest) -> Outcome {
    Outcome::Problem(format!(
        "the image {repository}@{digest} is not in the registry any more: push it again"
    ))
}
