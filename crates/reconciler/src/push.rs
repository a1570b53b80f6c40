//! Turns a push into a build, and into a promotion for each environment of the application.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{PushContext, TableError, uuid_v7};
use stablepin_aws::ecr::{EcrError, ImageId, Manifest};
use stablepin_oci::Manifest as Parsed;
use stablepin_rules::commit::commit_of;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::event_time::{is_ahead, place};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::link::Link;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pipeline_run::{PipelineRun, RunSource};
use stablepin_rules::records::{IgnoredPush, Occurrence};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, Opening};
use stablepin_rules::validation::{Inspection, platforms};

use crate::attribution::{self, AttributionError};
use crate::clock::now;
use crate::errors::chain;
use crate::{Clients, Deadline, ReconcileError, Source, contained, reconcile};

/// A push of an image with a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub at: jiff::Timestamp,
    pub repository: RepositoryName,
    pub digest: ImageDigest,
    pub tag: ImageTag,
    /// The run of the pipeline that made the image, if a signed request named it.
    pub run: Option<PipelineRun>,
    /// True if ECR copies the image, by replication or through a pull-through cache. Layers and
    /// child images may then arrive after their manifest.
    pub is_copied: bool,
}

/// The reason why a push does not become a build. Such pushes are normal traffic of the registry,
/// not errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBuild {
    #[error("it is a signature, an attestation or another artifact")]
    Artifact,
    #[error("no application takes builds from the repository")]
    NotRegistered,
    #[error("no pattern of the application's `builds` names the tag")]
    NotABuild,
    /// Builds come only from the application's own repository.
    #[error("the repository gets its images from Stablepin: push to the application's repository")]
    NotPushedTo,
    #[error("the tag was put by Stablepin itself")]
    Ours,
    #[error("it is {}", .0.reason())]
    Contained(Box<ContainingIndex>),
    #[error("the image is no longer in the registry")]
    Gone,
}

/// An error after which Lambda retries the event. Every step may run twice, so a retry completes
/// the work.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error("the push could not be looked up")]
    Table(#[from] TableError),
    #[error("the image could not be read")]
    Ecr(#[from] EcrError),
    #[error("the promotion could not be opened")]
    Reconcile(#[from] ReconcileError),
    #[error("who pushed it could not be recorded")]
    Attribution(#[from] AttributionError),
}

impl PushError {
    /// Returns whether retention has marked the image for deletion. If retention keeps the image
    /// after all, the sweep handles the push later.
    pub fn is_of_marked_image(&self) -> bool {
        matches!(self, Self::Reconcile(ReconcileError::Refused(Refusal::ImageMarkedForDeletion { .. })))
    }
}

const REVISION: &str = "org.opencontainers.image.revision";

/// Handles a push, and returns the number of environments that the push concerns.
pub async fn take(
    clients: &Clients,
    application: &ApplicationName,
    push: &Push,
    deadline: Deadline,
) -> Result<Result<usize, NoBuild>, PushError> {
    let ids = [ImageId::Digest(push.digest.clone())];
    let (context, found) = tokio::join!(
        clients.table.push_context(application, &push.repository, &push.tag, &push.digest),
        clients.ecr.image(&push.repository, &ids),
    );
    let Some(context) = context? else { return Ok(Err(NoBuild::NotRegistered)) };
    let configured = &context.configuration.application;
    // Stablepin records each of its own tags in the table before it puts the tag. This record alone
    // decides whether a tag is Stablepin's own. The form of the tag does not matter.
    if context.ours {
        return Ok(Err(NoBuild::Ours));
    }
    if configured.repository != push.repository {
        let is_environments = configured.environments.iter().any(|one| one.repository == push.repository);
        return Ok(Err(if is_environments { NoBuild::NotPushedTo } else { NoBuild::NotRegistered }));
    }
    if !configured.builds.matches(&push.tag) {
        return Ok(Err(NoBuild::NotABuild));
    }
    let manifest = match found {
        // The bytes in ECR do not hash to the digest. The promotion fails, and its notice says why.
        Err(error) if error.is_unusable() => {
            let (digest, tag) = (push.digest.clone(), None);
            Manifest { digest, tag, media_type: String::new(), bytes: String::new() }
        }
        found => match found?.into_iter().next() {
            Some(manifest) => manifest,
            None => return Ok(Err(NoBuild::Gone)),
        },
    };
    let known = context.pushers.clone();
    let parsed = manifest.parse();
    // A manifest of another kind, such as a signature, does not become a build.
    let is_artifact = parsed.as_ref().is_ok_and(|manifest| !manifest.kind().is_image());
    let same_release = |index: &ContainingIndex| index.includes_push(place(now(), push.at));
    let mut news = false;
    let containing = context.contained_in.clone().filter(same_release);
    let taken = if let Some(index) = contained::asked_instead(clients, application, containing).await? {
        Err(NoBuild::Contained(Box::new(index)))
    } else if is_artifact {
        Err(NoBuild::Artifact)
    } else {
        let contained = match parsed {
            Ok(Parsed::Index(index)) => contained::images(&clients.ecr, &push.repository, index).await?,
            // A push with an invalid manifest also becomes a build. Its promotion then fails, and a
            // notice says why.
            Ok(Parsed::Image(_)) | Err(_) => BTreeSet::new(),
        };
        let index = as_index(push);
        contained::record(clients, application, &index, &contained).await?;
        let opened = open(clients, push, context, manifest, deadline).await.map(|opened| {
            news = opened.news;
            opened.environments
        });
        if opened.as_ref().is_err_and(PushError::is_of_marked_image) {
            // While the image is marked, all three attempts of Lambda may fail. If retention keeps
            // the image after all, the sweep would regard the old push as handled. So the push is
            // recorded as not handled yet.
            let Push { at, repository, digest, tag, run: _, is_copied: _ } = push;
            clients.table.put_push(application, repository, tag, digest, *at, false).await?;
        }
        let opened = opened?;
        if !contained.is_empty()
            && contained::asked_instead(clients, application, Some(index.clone())).await?.is_some()
        {
            contained::cancel(clients, application, &index, &contained, deadline).await?;
        }
        // The push of an image index may have arrived while this promotion opened.
        let containing = clients.table.containing_index(application, &push.digest).await?;
        if let Some(index) = contained::asked_instead(clients, application, containing).await? {
            let this = BTreeSet::from([push.digest.clone()]);
            contained::cancel(clients, application, &index, &this, deadline).await?;
        }
        Ok(opened)
    };
    // Records the push as handled, so that the sweep skips it. A push with a time in the future is
    // recorded only the first time, because a second record would give the push a later time.
    if news || !is_ahead(now(), push.at) {
        let at = place(now(), push.at);
        clients.table.put_push(application, &push.repository, &push.tag, &push.digest, at, true).await?;
    }
    if taken.is_ok() {
        attribution::catch_up(clients, application, &push.digest, &known, deadline).await?;
    }
    Ok(taken)
}

/// Records a push that opened no promotion, so that its developer can read the reason. Leaves out
/// tags that Stablepin itself put, and pushes to the own repository of an environment.
pub async fn keep_ignored(clients: &Clients, application: &ApplicationName, push: &Push, why: &NoBuild) {
    if [NoBuild::Ours, NoBuild::NotPushedTo].contains(why) {
        return;
    }
    let ignored = IgnoredPush {
        repository: push.repository.clone(),
        tag: push.tag.clone(),
        digest: push.digest.clone(),
        at: push.at.min(now()),
        reason: why.to_string(),
    };
    if let Err(error) = clients.table.put_ignored_push(application, &ignored).await {
        tracing::warn!("the ignored push of {} was not recorded: {}", push.tag, chain(&error));
    }
}

/// Returns the record that is stored for each image of this image index. If the push has a time in
/// the future, the record gets the current time, so that the record does not suppress later pushes
/// of the images.
fn as_index(push: &Push) -> ContainingIndex {
    ContainingIndex { digest: push.digest.clone(), tag: push.tag.clone(), pushed_at: push.at.min(now()) }
}

/// Inspects the image of a new build. Without an inspection, the tag or the digest names the build,
/// and the promotion inspects the image later.
async fn inspect(clients: &Clients, push: &Push, manifest: &Manifest) -> Option<Inspection> {
    let inspected = clients.ecr.inspect_manifest(&push.repository, manifest).await;
    inspected
        .inspect_err(|error| {
            let why = chain(error);
            tracing::warn!(image.digest = %push.digest, "the image could not be inspected: {why}");
        })
        .ok()
}

struct Opened {
    environments: usize,
    /// True if at least one environment did not know the push before.
    news: bool,
}

async fn open(
    clients: &Clients,
    push: &Push,
    context: PushContext,
    manifest: Manifest,
    deadline: Deadline,
) -> Result<Opened, PushError> {
    let PushContext { configuration, build, pushers, .. } = context;
    // A known build already has its build tag, so it needs no inspection for a name.
    let inspection = match &build {
        Some(_) => None,
        None => inspect(clients, push, &manifest).await,
    };
    let images = inspection.as_ref().and_then(|read| read.as_deref().ok()).unwrap_or_default();
    let revision = images.iter().find_map(|image| image.labels.as_ref().ok()?.get(REVISION));
    let commit = commit_of(revision.map(String::as_str), &push.tag, &push.digest).commit().cloned();
    let label = || {
        let label = configuration.application.run_label.as_ref()?;
        let found = images.iter().find_map(|image| image.labels.as_ref().ok()?.get(label.as_str()))?;
        Some(PipelineRun::of_link(Link::parse(found).ok()?, RunSource::Label, None))
    };
    let run = push.run.clone().or_else(label);
    let platforms = platforms(images);
    let size_bytes = size(&manifest);
    let environments = configuration.application.environments.clone();
    let mut build = build;
    let mut news = false;
    for environment in &environments {
        let subject =
            clients.table.environment(configuration.clone(), &environment.name, build.clone()).await?;
        let opening = Opening {
            id: OperationId::new(uuid_v7(now())),
            occurrence: Occurrence { at: push.at, digest: push.digest.clone() },
            repository: push.repository.clone(),
            pushed_tag: push.tag.clone(),
            commit: commit.clone(),
            media_type: manifest.media_type.clone(),
            size_bytes,
            platforms: platforms.clone(),
            names_taken: 0,
            run: run.clone(),
            is_copied: push.is_copied,
            asked_by: None,
            pushers: pushers.clone(),
            reason: None,
        };
        let observed = vec![Input::Opened(Box::new(opening))];
        let subject = Box::new(subject);
        let source = match &inspection {
            Some(inspection) => Source::Inspected(subject, inspection.clone()),
            None => Source::Subject(subject),
        };
        match reconcile(clients, source, observed, deadline).await {
            Ok(after) => (build, news) = (after.build, true),
            // An earlier delivery of the same event opened the promotion. The handler of that
            // delivery, or a tick, completes the work.
            Err(ReconcileError::AlreadyOpened) => {
                build = clients.table.build(&configuration.application.name, &push.digest).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Opened { environments: environments.len(), news })
}

/// Returns the compressed size of a single-platform image. Returns `None` for an image index,
/// because its size differs per platform, and for an invalid manifest.
fn size(manifest: &Manifest) -> Option<u64> {
    match manifest.parse() {
        Ok(Parsed::Image(image)) => image.size_bytes().ok(),
        Ok(Parsed::Index(_)) | Err(_) => None,
    }
}
