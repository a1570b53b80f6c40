//! Handles a signed request that names a pushed image. Such a request replaces a missing push
//! event.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::TableError;
use stablepin_aws::ecr::{EcrError, ImageId};
use stablepin_rules::application::Application;
use stablepin_rules::audit::{Actor, AuditRecord, Kind};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::pipeline_run::PipelineRun;
use stablepin_rules::records::Subject;
use stablepin_rules::transition::Input;

use crate::clock::now;
use crate::open_promotions::open_promotions;
use crate::push::{self, Push, PushError};
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// The content of a signed request that names an image.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub application: ApplicationName,
    pub tag: ImageTag,
    /// The digest that must have the tag. None if the caller does not know the digest.
    pub digest: Option<ImageDigest>,
    pub run: Option<PipelineRun>,
    /// The ARN of the signer.
    pub by: String,
}

#[derive(Debug)]
pub struct Arrived {
    pub digest: ImageDigest,
    /// The open promotions of the image.
    pub promotions: Vec<Subject>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    #[error("there is no such application")]
    NoApplication,
    #[error("{repository} has no image with the tag {tag}, and no pull-through cache fetches one")]
    NoImage { repository: RepositoryName, tag: ImageTag },
    #[error("the tag {tag} is on {found}: name that digest, or push the tag again")]
    OtherDigest { tag: ImageTag, found: ImageDigest },
    #[error("no pattern of the application's `builds` names the tag {tag}")]
    NoBuild { tag: ImageTag },
    #[error("the table could not be read or written")]
    Table(#[from] TableError),
    #[error("the image could not be read")]
    Ecr(#[from] EcrError),
    #[error("the promotion could not be opened")]
    Push(#[from] PushError),
    #[error("a promotion could not take the run")]
    Reconcile(#[from] ReconcileError),
}

/// Passes the run on to the open promotions of the image. Without one, announces the image to the
/// promoter, which opens its promotions.
///
/// ECR fetches the image first if the repository belongs to a pull-through cache.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>
pub async fn arrive(
    clients: &Clients,
    arrival: &Arrival,
    deadline: Deadline,
) -> Result<Arrived, ArrivalError> {
    let Arrival { application, tag, digest, run, by } = arrival;
    let stored = clients.table.application(application).await?;
    let configured = stored.and_then(|stored| Application::parse(&stored.text, None).ok());
    let Application { repository, builds, .. } = configured.ok_or(ArrivalError::NoApplication)?;
    if !builds.matches(tag) {
        return Err(ArrivalError::NoBuild { tag: tag.clone() });
    }
    let found = clients.ecr.image(&repository, &[ImageId::Tag(tag.clone())]).await?.pop();
    let Some(image) = found else {
        return Err(ArrivalError::NoImage { repository, tag: tag.clone() });
    };
    if digest.as_ref().is_some_and(|digest| *digest != image.digest) {
        return Err(ArrivalError::OtherDigest { tag: tag.clone(), found: image.digest });
    }
    let by = Actor::Principal { arn: by.clone() };
    let open = open_promotions(clients, application, &BTreeSet::from([image.digest.clone()])).await?;
    // A known build has had its promotions. Only a request for a promotion opens another one.
    let is_known = || clients.table.build(application, &image.digest);
    if open.is_empty() && is_known().await?.is_none() {
        clients.table.put_audit(&announcement(arrival, &image.digest, by.clone())).await?;
    }
    let mut promotions = Vec::new();
    for (key, _) in open {
        let news = match run {
            Some(run) => Input::RunNamed { run: run.clone(), by: by.clone() },
            None => Input::Nudge,
        };
        promotions.push(reconcile(clients, Source::Operation(key), vec![news], deadline).await?);
    }
    Ok(Arrived { digest: image.digest, promotions })
}

fn announcement(arrival: &Arrival, digest: &ImageDigest, by: Actor) -> AuditRecord {
    AuditRecord {
        version: AuditRecord::VERSION,
        kind: Kind::ImageNamed,
        application: arrival.application.clone(),
        environment: None,
        id: None,
        digest: Some(digest.clone()),
        from: None,
        to: arrival.tag.to_string(),
        reason: None,
        actor: by,
        facts: None,
        run: arrival.run.clone(),
        at: now(),
    }
}

/// Opens the promotions of an announced image, and passes its run on to them. The time of the
/// announcement identifies it, so a repeated event opens nothing.
pub async fn take(
    clients: &Clients,
    announced: &AuditRecord,
    deadline: Deadline,
) -> Result<usize, ArrivalError> {
    let AuditRecord { application, digest: Some(digest), run, at, .. } = announced else {
        return Ok(0);
    };
    let stored = clients.table.application(application).await?;
    let configured = stored.and_then(|stored| Application::parse(&stored.text, None).ok());
    let (Some(configured), Ok(tag)) = (configured, ImageTag::parse(&announced.to)) else { return Ok(0) };
    let (repository, run) = (configured.repository, run.clone());
    let push = Push { at: *at, repository, digest: digest.clone(), tag, run };
    match push::take(clients, application, &push, deadline).await? {
        Ok(environments) => Ok(environments),
        Err(no_build) => {
            push::keep_ignored(clients, application, &push, &no_build).await;
            Ok(0)
        }
    }
}
