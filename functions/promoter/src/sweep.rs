//! The sweep: what no event told of. Every hour each application is looked at once: pushes that were missed, and
//! tags of ours that are not where they belong.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_aws::dynamodb::TableError;
use stablepin_aws::ecr::{EcrError, ImageDetail};
use stablepin_aws::sqs::{Sqs, SqsError};
use stablepin_core::application::Application;
use stablepin_core::image::{ImageDigest, ImageTag};
use stablepin_core::name::ApplicationName;
use stablepin_core::sweep::{self, FoundTag, Missed};
use stablepin_driver::clock::now;
use stablepin_driver::push::{self, Push, PushError};
use stablepin_driver::tag::{self, TagError};
use stablepin_driver::{Deadline, Doors};

/// Where the sweep's work waits.
#[derive(Debug, Clone)]
pub struct Queue {
    pub sqs: Sqs,
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("the applications could not be read")]
    Table(#[from] TableError),
    #[error("the work could not be handed out")]
    Queue(#[from] SqsError),
    #[error("the registry could not be read")]
    Ecr(#[from] EcrError),
    #[error("a push that was missed could not be taken")]
    Push(#[from] PushError),
    #[error("a tag could not be put right")]
    Tag(#[from] TagError),
}

/// Over how many seconds the applications are spread: SQS keeps a message back for 15 minutes at most.
const SPREAD_SECONDS: usize = 900;

/// One message for each application.
pub(crate) async fn hand_out(doors: &Doors, queue: &Queue) -> Result<usize, SweepError> {
    let (mut messages, mut after) = (Vec::new(), None);
    loop {
        let page = doors.table.applications(100, after).await?;
        messages.extend(page.items.iter().map(|name| json!({ "sweep": name }).to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    queue.sqs.send_spread(&queue.url, &messages, SPREAD_SECONDS).await?;
    Ok(messages.len())
}

/// What was found and put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    missed: usize,
    drifted: usize,
}

impl From<Swept> for Value {
    fn from(swept: Swept) -> Value {
        json!({ "missed_pushes": swept.missed, "drifted_tags": swept.drifted })
    }
}

/// One application.
pub(crate) async fn one(
    doors: &Doors,
    application: &ApplicationName,
    deadline: Deadline,
) -> Result<Swept, SweepError> {
    let Some(stored) = doors.table.application(application).await? else { return Ok(Swept::default()) };
    let Ok(configured) = Application::parse(&stored.text, None) else { return Ok(Swept::default()) };
    let images = doors.ecr.tagged(&configured.repository).await?;
    let missed = missed(doors, &configured, stored.at, &images).await?;
    let mut swept = Swept::default();
    for push in &missed {
        let taken = push::take(doors, application, push, deadline).await?;
        let how = taken.as_ref().err().map_or("taken now".to_owned(), ToString::to_string);
        swept.missed += usize::from(taken.is_ok());
        tracing::warn!(
            application.name = %application,
            repository.name = %push.repository,
            image.tag = %push.tag,
            image.digest = %push.digest,
            "a push that no event told of: {how}"
        );
    }
    swept.drifted = drifted(doors, &configured, &images, deadline).await?;
    Ok(swept)
}

/// With the times that the order of promotions goes by.
async fn missed(
    doors: &Doors,
    configured: &Application,
    configured_at: Timestamp,
    images: &[ImageDetail],
) -> Result<Vec<Push>, SweepError> {
    let (name, repository) = (&configured.name, &configured.repository);
    let found: Vec<FoundTag> = images
        .iter()
        .flat_map(|image| image.tags.iter().map(move |tag| (tag, image)))
        .filter(|(tag, _)| configured.builds.iter().any(|build| build.matches(tag.as_str())))
        .map(|(tag, image)| FoundTag {
            tag: tag.clone(),
            digest: image.digest.clone(),
            pushed_at: image.pushed_at,
        })
        .collect();
    let tags: Vec<ImageTag> = found.iter().map(|one| one.tag.clone()).collect();
    let known = doors.table.known_tags(name, repository, &tags).await?;
    let at = now();
    let missed = sweep::missed(at, &configured.builds, configured_at, &found, &known);
    let digests: Vec<ImageDigest> = missed.iter().map(|one| one.digest.clone()).collect();
    let built = doors.table.known_builds(name, &digests).await?;
    let push = |one: Missed| Push {
        // When an image that is known got a tag again, nobody knows: it is taken for now.
        at: if built.contains(&one.digest) { at } else { one.at },
        repository: repository.clone(),
        digest: one.digest,
        tag: one.tag,
    };
    Ok(missed.into_iter().map(push).collect())
}

/// Tags of ours that are not where they belong. Answers how many.
async fn drifted(
    doors: &Doors,
    configured: &Application,
    images: &[ImageDetail],
    deadline: Deadline,
) -> Result<usize, SweepError> {
    let Some(repository) = doors.ecr.repository(&configured.repository).await? else { return Ok(0) };
    let mut drifted = 0;
    for policy in &configured.environments {
        let found = doors.table.configured_environment(&configured.name, &policy.name).await?;
        let Some(subject) = found else { continue };
        for (tag, wanted) in tag::kept(policy, &subject.environment, &repository.mutability) {
            let on = images.iter().find(|image| image.tags.contains(&tag)).map(|image| image.digest.clone());
            if on.as_ref() == Some(&wanted) {
                continue;
            }
            // The listing is some seconds old: it is looked at once more.
            let looked = tag::look_at(doors, subject.clone(), &tag, deadline).await?;
            drifted += usize::from(looked);
        }
    }
    Ok(drifted)
}
