//! Handles a signed request that names a pushed image. Such a request replaces a missing push
//! event.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;
use stablepin_aws::dynamodb::TableError;
use stablepin_aws::ecr::{EcrError, ImageId};
use stablepin_rules::application::Application;
use stablepin_rules::audit::{Actor, AuditRecord, Kind};
use stablepin_rules::commit::commit_of;
use stablepin_rules::event_time::place;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::pipeline_run::PipelineRun;
use stablepin_rules::records::Subject;
use stablepin_rules::transition::Input;

use crate::clock::now;
use crate::open_promotions::open_promotions;
use crate::push::{self, NoBuild, Push, PushError};
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// The content of a signed request that names an image.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub application: ApplicationName,
    pub image: NamedImage,
    pub run: Option<PipelineRun>,
    /// The ARN of the signer.
    pub by: String,
}

/// The image that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedImage {
    /// The image with this tag. If the request names a digest too, the tag must be on the digest.
    Tag(ImageTag, Option<ImageDigest>),
    Digest(ImageDigest),
}

impl NamedImage {
    fn id(&self) -> ImageId {
        match self {
            Self::Tag(tag, _) => ImageId::Tag(tag.clone()),
            Self::Digest(digest) => ImageId::Digest(digest.clone()),
        }
    }
}

impl Display for NamedImage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag, _) => write!(f, "the tag {tag}"),
            Self::Digest(digest) => write!(f, "the digest {digest}"),
        }
    }
}

#[derive(Debug)]
pub struct Arrived {
    /// The tag that names the build. `None` if the request named only the digest of a known build.
    pub tag: Option<ImageTag>,
    pub digest: ImageDigest,
    /// The open promotions of the image.
    pub promotions: Vec<Subject>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    #[error("there is no such application")]
    NoApplication,
    #[error("{repository} has no image with {image}, and no pull-through cache fetches one")]
    NoImage { repository: RepositoryName, image: NamedImage },
    #[error("the tag {tag} is on {found}: name that digest, or push the tag again")]
    OtherDigest { tag: ImageTag, found: ImageDigest },
    #[error("no pattern of the application's `builds` names the tag {tag}")]
    NoBuild { tag: ImageTag },
    #[error(
        "{digest} has no tag that a pattern of the application's `builds` names: put such a tag on it, or name one"
    )]
    NoTag { digest: ImageDigest },
    #[error("ECR does not have {digest} yet")]
    NotYet { digest: ImageDigest },
    #[error("the table could not be read or written")]
    Table(#[from] TableError),
    #[error("the image could not be read")]
    Ecr(#[from] EcrError),
    #[error("the promotion could not be opened")]
    Push(#[from] PushError),
    #[error("a promotion could not take the run")]
    Reconcile(#[from] ReconcileError),
}

/// Announces an image that is no build yet to the promoter, which opens the promotions. If the
/// image is a known build, passes the run on to the open promotions of the image.
///
/// ECR fetches the image first if the repository belongs to a pull-through cache.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>
pub async fn arrive(
    clients: &Clients,
    arrival: &Arrival,
    deadline: Deadline,
) -> Result<Arrived, ArrivalError> {
    let Arrival { application, image: named, run, by } = arrival;
    let configured = clients.table.configured(application).await?.ok_or(ArrivalError::NoApplication)?;
    let repository = &configured.repository;
    if let NamedImage::Tag(tag, _) = named
        && !configured.builds.matches(tag)
    {
        return Err(ArrivalError::NoBuild { tag: tag.clone() });
    }
    let Some(image) = clients.ecr.image(repository, &[named.id()]).await?.pop() else {
        return Err(ArrivalError::NoImage { repository: repository.clone(), image: named.clone() });
    };
    let mut tag = match named {
        NamedImage::Tag(tag, Some(digest)) if *digest != image.digest => {
            return Err(ArrivalError::OtherDigest { tag: tag.clone(), found: image.digest });
        }
        NamedImage::Tag(tag, _) => Some(tag.clone()),
        NamedImage::Digest(_) => None,
    };
    let by = Actor::Principal { arn: by.clone() };
    // A known build has already had its promotions. Only a promotion request opens a new promotion.
    let mut promotions = Vec::new();
    if clients.table.build(application, &image.digest).await?.is_none() {
        let named_by = match tag.take() {
            Some(tag) => tag,
            None => tag_of(clients, &configured, &image.digest).await?,
        };
        clients.table.put_audit(&announcement(arrival, &named_by, &image.digest, by)).await?;
        tag = Some(named_by);
    } else if let Some(run) = run {
        promotions = name_run(clients, &configured, &image.digest, run, &by, deadline).await?;
    }
    Ok(Arrived { tag, digest: image.digest, promotions })
}

/// Returns the tag that names the build of this digest: a tag with a commit, if there is one.
async fn tag_of(
    clients: &Clients,
    configured: &Application,
    digest: &ImageDigest,
) -> Result<ImageTag, ArrivalError> {
    let mut tags = build_tags(clients, configured, digest).await?;
    tags.sort_by_key(|tag| (commit_of(None, tag, digest).commit().is_none(), tag.clone()));
    tags.into_iter().next().ok_or_else(|| ArrivalError::NoTag { digest: digest.clone() })
}

/// Returns the image's tags that match the application's `builds`. Omits Stablepin's own tags.
async fn build_tags(
    clients: &Clients,
    configured: &Application,
    digest: &ImageDigest,
) -> Result<Vec<ImageTag>, ArrivalError> {
    let found = clients.ecr.describe(&configured.repository, digest).await?;
    let mut tags = found.map(|image| image.tags).unwrap_or_default();
    let known = clients.table.known_tags(&configured.name, &configured.repository, &tags).await?;
    let is_ours = |tag: &ImageTag| known.get(tag).is_some_and(|known| known.intents.contains(digest));
    tags.retain(|tag| configured.builds.matches(tag) && !is_ours(tag));
    Ok(tags)
}

fn announcement(arrival: &Arrival, tag: &ImageTag, digest: &ImageDigest, by: Actor) -> AuditRecord {
    AuditRecord {
        version: AuditRecord::VERSION,
        kind: Kind::ImageNamed,
        application: arrival.application.clone(),
        environment: None,
        id: None,
        digest: Some(digest.clone()),
        from: None,
        to: tag.to_string(),
        reason: None,
        actor: by,
        facts: None,
        run: arrival.run.clone(),
        at: now(),
    }
}

/// Opens the promotions of an announced image. The time of the announcement is its id, so a
/// repeated event opens nothing. The function reads the announcement from the audit trail, not from
/// the event, because only Stablepin can write the audit trail.
pub async fn take(
    clients: &Clients,
    application: &ApplicationName,
    digest: &ImageDigest,
    at: Timestamp,
    deadline: Deadline,
) -> Result<usize, ArrivalError> {
    let announced = clients.table.audit_at(application, at).await?;
    let announced = announced
        .into_iter()
        .find(|record| record.kind == Kind::ImageNamed && record.digest.as_ref() == Some(digest));
    let configured = clients.table.configured(application).await?;
    let (Some(configured), Some(AuditRecord { to, run, actor, .. })) = (configured, announced) else {
        return Ok(0);
    };
    let Ok(tag) = ImageTag::parse(&to) else { return Ok(0) };
    // If the image is already a build, another event has opened the promotions meanwhile.
    let known = clients.table.build(application, digest).await?;
    if known.is_some_and(|build| build.pushed_at != place(now(), at)) {
        let promotions = match run {
            Some(run) => name_run(clients, &configured, digest, &run, &actor, deadline).await?,
            None => Vec::new(),
        };
        return Ok(promotions.len());
    }
    let repository = configured.repository.clone();
    let push = Push { at, repository, digest: digest.clone(), tag, run, is_copied: true };
    match push::take(clients, application, &push, deadline).await? {
        Ok(environments) => {
            // The image gets its promotions only once, even if it has several build tags. So the
            // loop records each of these tags as handled.
            for tag in build_tags(clients, &configured, &push.digest).await? {
                let (repository, digest) = (&push.repository, &push.digest);
                clients.table.put_push(application, repository, &tag, digest, place(now(), at), true).await?;
            }
            Ok(environments)
        }
        // ECR may still fetch the image through a pull-through cache.
        Err(NoBuild::Gone) => Err(ArrivalError::NotYet { digest: push.digest }),
        Err(no_build) => {
            push::keep_ignored(clients, application, &push, &no_build).await;
            Ok(0)
        }
    }
}

/// Passes the run of the pipeline on to the open promotions of a known build, or else records the
/// run with the build.
async fn name_run(
    clients: &Clients,
    configured: &Application,
    digest: &ImageDigest,
    run: &PipelineRun,
    by: &Actor,
    deadline: Deadline,
) -> Result<Vec<Subject>, ArrivalError> {
    let named = || vec![Input::RunNamed { run: run.clone(), by: by.clone() }];
    let digests = BTreeSet::from([digest.clone()]);
    let mut promotions = Vec::new();
    for (key, _) in open_promotions(clients, &configured.name, &digests).await? {
        promotions.push(reconcile(clients, Source::Operation(key), named(), deadline).await?);
    }
    if promotions.is_empty() {
        let found = clients.table.configured_environment(&configured.name, &configured.build_environment);
        let (found, build) = (found.await?, clients.table.build(&configured.name, digest).await?);
        if let (Some(mut subject), Some(build)) = (found, build) {
            subject.build = Some(build);
            reconcile(clients, Source::Subject(Box::new(subject)), named(), deadline).await?;
        }
    }
    Ok(promotions)
}
