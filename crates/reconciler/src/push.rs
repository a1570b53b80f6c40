//! Turns a push into a build, and into a promotion for each environment of the application.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{PushContext, TableError, uuid_v7};
use stablepin_aws::ecr::{EcrError, ImageId, Manifest};
use stablepin_oci::{ImageConfig, Manifest as Parsed};
use stablepin_rules::commit::commit_of;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::event_time::{is_ahead, place};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::Occurrence;
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, Opening};

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
}

/// The reason why a push is no build. Such pushes are normal traffic of the registry, not errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBuild {
    #[error("it is a signature, an attestation or another artifact")]
    Artifact,
    #[error("no application takes builds from the repository")]
    NotRegistered,
    #[error("no pattern of the application's `builds` names the tag")]
    NotABuild,
    #[error("the tag was put by Stablepin itself")]
    Ours,
    #[error("it is {}", .0.reason())]
    Contained(Box<ContainingIndex>),
    #[error("the image is not in the registry any more")]
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
    /// after all, the push is handled later.
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
    let Some(context) =
        context?.filter(|context| context.configuration.application.repository == push.repository)
    else {
        return Ok(Err(NoBuild::NotRegistered));
    };
    // A tag is Stablepin's own if the table recorded the tag before it was put, whatever its form.
    if context.ours {
        return Ok(Err(NoBuild::Ours));
    }
    if !context.configuration.application.builds.matches(&push.tag) {
        return Ok(Err(NoBuild::NotABuild));
    }
    let Some(manifest) = found?.into_iter().next() else {
        return Ok(Err(NoBuild::Gone));
    };
    let known = context.pushers.clone();
    let parsed = manifest.parse().ok().filter(|manifest| manifest.kind().is_image());
    let same_release = |index: &ContainingIndex| index.includes_push(place(now(), push.at));
    let mut news = false;
    // A manifest that does not parse as an image makes no build.
    let containing = context.contained_in.clone().filter(same_release);
    let taken = if let Some(index) = contained::asked_instead(clients, application, containing).await? {
        Err(NoBuild::Contained(Box::new(index)))
    } else if let Some(parsed) = parsed {
        let contained = match parsed {
            Parsed::Index(index) => contained::images(&clients.ecr, &push.repository, index).await?,
            Parsed::Image(_) => BTreeSet::new(),
        };
        let index = as_index(push);
        contained::record(clients, application, &index, &contained).await?;
        let opened = open(clients, push, context, manifest, deadline).await.map(|opened| {
            news = opened.news;
            opened.environments
        });
        if opened.as_ref().is_err_and(PushError::is_of_marked_image) {
            // Lambda tries the event three times. Retention may stop early and keep the image.
            // Later, the sweep would regard so old an image as handled, so this push is recorded as
            // not handled yet.
            let Push { at, repository, digest, tag } = push;
            clients.table.put_push(application, repository, tag, digest, *at, false).await?;
        }
        let opened = opened?;
        contained::cancel(clients, application, &index, &contained, deadline).await?;
        // The push of an index may have arrived while this promotion opened.
        let containing = clients.table.containing_index(application, &push.digest).await?;
        if let Some(index) = contained::asked_instead(clients, application, containing).await? {
            let this = BTreeSet::from([push.digest.clone()]);
            contained::cancel(clients, application, &index, &this, deadline).await?;
        }
        Ok(opened)
    } else {
        Err(NoBuild::Artifact)
    };
    // The push is recorded as handled, so that the sweep skips it. A push from the future keeps its
    // first record, because a repeated event would get a later place in the order.
    if news || !is_ahead(now(), push.at) {
        let at = place(now(), push.at);
        clients.table.put_push(application, &push.repository, &push.tag, &push.digest, at, true).await?;
    }
    if taken.is_ok() {
        attribution::catch_up(clients, application, &push.digest, &known, deadline).await?;
    }
    Ok(taken)
}

/// Returns the record that the images of this index get. If the push has a time in the future, the
/// record has the current time, so that it does not suppress later pushes of the images.
fn as_index(push: &Push) -> ContainingIndex {
    ContainingIndex { digest: push.digest.clone(), tag: push.tag.clone(), pushed_at: push.at.min(now()) }
}

struct Opened {
    environments: usize,
    /// True if the push was new to at least one environment.
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
    // A known build already has its name.
    let (commit, platforms) = match &build {
        Some(_) => (None, Vec::new()),
        None => {
            // The label only names the commit. Without the label, the tag or the digest names the
            // build.
            let config = clients.ecr.labels(&push.repository, &manifest).await.unwrap_or_else(|error| {
                tracing::warn!(image.digest = %push.digest, "the image's labels could not be read: {}", chain(&error));
                None
            });
            let revision = config.as_ref().and_then(|config| config.labels.get(REVISION));
            let commit = commit_of(revision.map(String::as_str), &push.tag, &push.digest).commit().cloned();
            (commit, platforms(&manifest, config.as_ref()))
        }
    };
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
            asked_by: None,
            pushers: pushers.clone(),
            reason: None,
        };
        let observed = vec![Input::Opened(Box::new(opening))];
        match reconcile(clients, Source::Subject(Box::new(subject)), observed, deadline).await {
            Ok(after) => (build, news) = (after.build, true),
            // The same event arrived before. Its first handler or a tick completes the work.
            Err(ReconcileError::AlreadyOpened) => {
                build = clients.table.build(&configuration.application.name, &push.digest).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Opened { environments: environments.len(), news })
}

/// Returns the compressed size of a single-platform image. An index has a size per platform.
fn size(manifest: &Manifest) -> Option<u64> {
    match manifest.parse() {
        Ok(Parsed::Image(image)) => image.size_bytes().ok(),
        Ok(Parsed::Index(_)) | Err(_) => None,
    }
}

/// The most platforms of a build. No real image has more.
const MOST_PLATFORMS: usize = 20;

/// Returns the platforms of an index's children, or the platform in an image's configuration. The
/// pusher wrote these texts, so the function drops any text that does not look like a platform.
fn platforms(manifest: &Manifest, config: Option<&ImageConfig>) -> Vec<String> {
    let said: Vec<String> = match manifest.parse() {
        Ok(Parsed::Index(index)) => {
            index.images().filter_map(|child| child.platform.as_ref()).map(ToString::to_string).collect()
        }
        Ok(Parsed::Image(_)) => {
            config.into_iter().map(|config| format!("{}/{}", config.os, config.architecture)).collect()
        }
        Err(_) => Vec::new(),
    };
    let plain = |text: &String| {
        text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let mut platforms: Vec<String> = Vec::new();
    for one in said.into_iter().filter(plain) {
        if platforms.len() < MOST_PLATFORMS && !platforms.contains(&one) {
            platforms.push(one);
        }
    }
    platforms
}
