//! Puts tags on manifests. Stablepin sends the bytes of a manifest exactly as ECR returned them.

use stablepin_aws::ecr::{EcrError, ImageId, Manifest, PutTag};
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::build_tag::{current as current_tag, latest as latest_tag, numbered};
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::records::{Build, NotPut, Pin, Subject, TakenTag, Work};

use super::{problem, words};
use crate::Clients;
use crate::clock::now;
use crate::errors::chain;

/// Puts the build tag, which is unique. If another digest already has this tag, the tag is not
/// moved.
pub(super) async fn build(clients: &Clients, build: &Build) -> Outcome {
    let tag = build.build_tag.tag();
    let ids = [ImageId::Digest(build.digest.clone()), ImageId::Tag(tag.clone())];
    let found = match clients.ecr.image(&build.repository, &ids).await {
        Ok(found) => found,
        Err(error) if error.is_refusal() => return Outcome::BuildTagRefused(words(&error)),
        Err(error) => return problem(&error),
    };
    if let Some(named) = found.iter().find(|manifest| manifest.tag.as_ref() == Some(&tag)) {
        return if named.digest == build.digest { Outcome::BuildTagged } else { Outcome::BuildTagTaken(tag) };
    }
    let Some(manifest) = found.iter().find(|manifest| manifest.digest == build.digest) else {
        return Outcome::BuildTagRefused(is_gone(&build.repository, &build.digest));
    };
    match clients.ecr.put_tag(&build.repository, manifest, &tag).await {
        Ok(PutTag::Put | PutTag::AlreadyThere) => Outcome::BuildTagged,
        Ok(PutTag::PointsElsewhere) => Outcome::BuildTagTaken(tag),
        Err(error) if error.is_refusal() => Outcome::BuildTagRefused(words(&error)),
        Err(error) => problem(&error),
    }
}

/// Puts the stable tag. If the repository forbids moving the tag, puts a numbered tag of this pin
/// instead.
pub(super) async fn stable(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    pin: &Pin,
) -> Outcome {
    let (manifest, repository) = tokio::join!(
        manifest(clients, &policy.repository, &pin.digest),
        clients.ecr.repository(&policy.repository),
    );
    let tag = match &repository {
        Ok(Some(repository)) if !repository.mutability.can_move(&policy.stable_tag) => {
            numbered(&policy.stable_tag, pin.number)
        }
        Ok(_) | Err(_) => policy.stable_tag.clone(),
    };
    let refused = |reason: String, tag: ImageTag| {
        let why = NotPut::Refused { reason, at: now() };
        Outcome::StableTaken(TakenTag { pin: pin.number, tag, why })
    };
    let failed = |error: &EcrError, tag: ImageTag| match error.is_refusal() {
        true => refused(words(error), tag),
        false => problem(error),
    };
    let manifest = match (manifest, repository) {
        (Ok(Some(manifest)), Ok(Some(_))) => manifest,
        (Ok(None), Ok(_)) => return refused(is_gone(&policy.repository, &pin.digest), tag),
        (Ok(_), Ok(None)) => {
            return Outcome::Problem(format!("there is no repository {}", policy.repository));
        }
        (Err(error), _) | (_, Err(error)) => return failed(&error, tag),
    };
    match clients.ecr.put_tag(&policy.repository, &manifest, &tag).await {
        Ok(PutTag::Put | PutTag::AlreadyThere) => Outcome::StableTagged(pin.number),
        Ok(PutTag::PointsElsewhere) => taken(clients, subject, policy, pin, tag).await,
        Err(error) => failed(&error, tag),
    }
}

/// Returns the outcome for a tag that belongs to another image and cannot be moved. The outcome
/// names that image and, if known, the caller who tagged it.
async fn taken(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    pin: &Pin,
    tag: ImageTag,
) -> Outcome {
    let on = match clients.ecr.image(&policy.repository, &[ImageId::Tag(tag.clone())]).await {
        Ok(found) => found.into_iter().next().map(|manifest| manifest.digest),
        Err(error) => return problem(&error),
    };
    match on {
        Some(on) if on == pin.digest => Outcome::StableTagged(pin.number),
        Some(on) => {
            let caller = clients.table.caller(subject.application(), &policy.repository, &tag, &on).await;
            let by = caller.ok().flatten().map(|caller| caller.arn);
            Outcome::StableTaken(TakenTag { pin: pin.number, tag, why: NotPut::Taken { on, by } })
        }
        None => Outcome::Problem(format!("the tag {tag} was on another image, and is gone")),
    }
}

/// Puts the current tag on the live digest, for people and pipelines. A repository that forbids
/// moving the tag has no current tag.
pub(super) async fn current(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    digest: &ImageDigest,
) -> Outcome {
    let tag = current_tag(&policy.name);
    let put = put(clients, &policy.repository, &tag, digest).await;
    let repairs = subject.operation.as_ref().is_some_and(|one| matches!(one.work, Work::Repair(_)));
    current_put(repairs, &tag, digest, put)
}

/// Returns the outcome of an attempt to put the current tag. Only a repair waits for this tag: a
/// repair ends when the tag is put.
fn current_put(repairs: bool, tag: &ImageTag, digest: &ImageDigest, put: Result<PutTag, String>) -> Outcome {
    let why = match put {
        Ok(PutTag::Put | PutTag::AlreadyThere) => None,
        // In a repository that forbids moving the tag, the first digest keeps the tag.
        Ok(PutTag::PointsElsewhere) if !repairs => None,
        Ok(PutTag::PointsElsewhere) => {
            Some("it is on another image, and the repository does not let it move: delete it".to_owned())
        }
        Err(why) => Some(why),
    };
    match why {
        Some(why) if repairs => Outcome::Problem(format!("the tag {tag} was not put: {why}")),
        Some(why) => {
            warn(tag, &why);
            Outcome::CurrentTried(digest.clone())
        }
        None => Outcome::CurrentTried(digest.clone()),
    }
}

/// Puts the tag `latest` on the digest. If the repository forbids moving the tag, the tag does not
/// change.
pub(super) async fn latest(clients: &Clients, repository: &RepositoryName, digest: &ImageDigest) -> Outcome {
    let tag = latest_tag();
    let described = match clients.ecr.repository(repository).await {
        Ok(described) => described,
        Err(error) => {
            warn(&tag, &chain(&error));
            return Outcome::LatestTried(digest.clone());
        }
    };
    // In a repository that forbids moves, the tag would stay on its first image.
    if described.is_none_or(|described| !described.mutability.can_move(&tag)) {
        return Outcome::LatestTried(digest.clone());
    }
    match put(clients, repository, &tag, digest).await {
        Ok(PutTag::Put | PutTag::AlreadyThere) => {}
        Ok(PutTag::PointsElsewhere) => warn(&tag, "the repository does not let it move"),
        Err(why) => warn(&tag, &why),
    }
    Outcome::LatestTried(digest.clone())
}

/// Puts a backup tag. A rollback does not wait for this tag, and does not fail if ECR refuses the
/// tag.
pub(super) async fn backup(
    clients: &Clients,
    policy: &EnvironmentPolicy,
    tag: &ImageTag,
    digest: &ImageDigest,
) -> Outcome {
    if let Err(why) = put(clients, &policy.repository, tag, digest).await {
        warn(tag, &why);
    }
    Outcome::BackupTried
}

fn warn(tag: &ImageTag, why: &str) {
    tracing::warn!(image.tag = %tag, "the tag {tag} was not put: {why}");
}

async fn put(
    clients: &Clients,
    repository: &RepositoryName,
    tag: &ImageTag,
    digest: &ImageDigest,
) -> Result<PutTag, String> {
    let found = manifest(clients, repository, digest).await.map_err(|error| chain(&error))?;
    let manifest = found.ok_or_else(|| is_gone(repository, digest))?;
    clients.ecr.put_tag(repository, &manifest, tag).await.map_err(|error| chain(&error))
}

async fn manifest(
    clients: &Clients,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Option<Manifest>, EcrError> {
    let found = clients.ecr.image(repository, &[ImageId::Digest(digest.clone())]).await?;
    Ok(found.into_iter().next())
}

fn is_gone(repository: &RepositoryName, digest: &ImageDigest) -> String {
    format!("the image {repository}@{digest} is no longer in the registry: push it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(repairs: bool, put: Result<PutTag, String>) -> Outcome {
        let tag = ImageTag::parse("production-current").unwrap();
        current_put(repairs, &tag, &digest(), put)
    }

    fn digest() -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", "a1".repeat(32))).unwrap()
    }

    #[test]
    fn operation_continues_if_the_current_tag_cannot_be_put() {
        for tried in [
            Ok(PutTag::Put),
            Ok(PutTag::AlreadyThere),
            Ok(PutTag::PointsElsewhere),
            Err("refused".to_owned()),
        ] {
            assert_eq!(put(false, tried), Outcome::CurrentTried(digest()));
        }
    }

    #[test]
    fn repair_ends_only_when_the_current_tag_is_put() {
        for answer in [PutTag::Put, PutTag::AlreadyThere] {
            assert_eq!(put(true, Ok(answer)), Outcome::CurrentTried(digest()));
        }
        let Outcome::Problem(why) = put(true, Err("refused".to_owned())) else {
            panic!("a refused tag must be a problem")
        };
        assert_eq!(why, "the tag production-current was not put: refused");
        assert!(matches!(put(true, Ok(PutTag::PointsElsewhere)), Outcome::Problem(_)));
    }
}
