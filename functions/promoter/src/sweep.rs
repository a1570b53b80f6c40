//! The hourly sweep of each application. It finds problems that no event reported: missed pushes,
//! Stablepin's tags on wrong images, services that do not run the pin, and approvers who get no
//! mail.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_aws::call::CallError;
use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_aws::ecr::{EcrError, ImageDetail, Repository};
use stablepin_aws::sqs::Sqs;
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::live_drift::{self, LiveDriftError};
use stablepin_reconciler::push::{self, NoBuild, Push, PushError};
use stablepin_reconciler::tag::{self, TagError};
use stablepin_reconciler::{Clients, Deadline};
use stablepin_rules::application::{Application, EnvironmentPolicy};
use stablepin_rules::build_tag::current;
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::Subject;
use stablepin_rules::sweep::{self, FoundTag, MOST_INTENTS, Missed, NEWEST_PINS};

use crate::health::{self, HealthError};

/// The SQS queue of the sweep. A message names one application.
#[derive(Debug, Clone)]
pub struct Queue {
    pub sqs: Sqs,
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error("the applications could not be read")]
    Table(#[from] TableError),
    #[error("the messages could not be sent")]
    Queue(#[from] CallError),
    #[error("the registry could not be read")]
    Ecr(#[from] EcrError),
    #[error("a missed push could not be handled")]
    Push(#[from] PushError),
    #[error("a tag could not be corrected")]
    Tag(#[from] TagError),
    #[error("the services could not be checked for live drift")]
    LiveDrift(#[from] LiveDriftError),
    #[error("the approvers could not be checked")]
    Health(#[from] HealthError),
}

/// The number of seconds over which the sweep spreads its messages. SQS delays a message by at most
/// 15 minutes.
const SPREAD_SECONDS: usize = 900;

impl Queue {
    /// Sends one message for each promotion whose image must be copied.
    pub(crate) async fn hand_out_copies(&self, promotions: &[Key]) -> Result<(), SweepError> {
        let message = |key: &Key| {
            let OperationKey::Promotion(id) = key.operation else { return None };
            let copy = json!({ "application": key.application, "environment": key.environment, "id": id });
            Some(json!({ "copy": copy }).to_string())
        };
        let messages: Vec<String> = promotions.iter().filter_map(message).collect();
        Ok(self.sqs.send_spread(&self.url, &messages, 0).await?)
    }
}

/// Sends one queue message for each application. Returns the number of applications.
pub(crate) async fn hand_out(clients: &Clients, queue: &Queue) -> Result<usize, SweepError> {
    let (mut messages, mut after) = (Vec::new(), None);
    loop {
        let page = clients.table.applications(100, after).await?;
        messages.extend(page.items.iter().map(|name| json!({ "sweep": name }).to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    queue.sqs.send_spread(&queue.url, &messages, SPREAD_SECONDS).await?;
    Ok(messages.len())
}

/// The numbers of missed pushes and of drifted tags that one sweep corrected.
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

/// Sweeps one application. After a failure, continues with the rest of the sweep. At the end,
/// returns the first error, so that the queue delivers the message again.
pub(crate) async fn sweep_application(
    clients: &Clients,
    application: &ApplicationName,
    deadline: Deadline,
) -> Result<Swept, SweepError> {
    let Some(stored) = clients.table.application(application).await? else { return Ok(Swept::default()) };
    let Ok(configured) = Application::parse(&stored.text, None) else { return Ok(Swept::default()) };
    let mut sweep = Sweep { application, swept: Swept::default(), failed: None };
    if let Err(error) = health::approvers(clients, &configured).await {
        sweep.record_failure(error.into());
    }
    let images = clients.ecr.tagged(&configured.repository).await?;
    match missed(clients, &configured, stored.at, &images).await {
        Ok(missed) => {
            for push in &missed {
                let taken = push::take(clients, application, push, deadline).await;
                if let Ok(Err(no_build)) = &taken {
                    push::keep_ignored(clients, application, push, no_build).await;
                }
                sweep.record_push(push, taken);
            }
        }
        Err(error) => sweep.record_failure(error),
    }
    correct_tags(clients, &configured, &images, deadline, &mut sweep).await;
    report_live_drift(clients, &configured, deadline, &mut sweep).await;
    match sweep.failed {
        None => Ok(sweep.swept),
        Some(error) => Err(error),
    }
}

/// The progress of one application's sweep.
struct Sweep<'a> {
    application: &'a ApplicationName,
    swept: Swept,
    /// The first error. The log has the other errors.
    failed: Option<SweepError>,
}

impl Sweep<'_> {
    fn record_push(&mut self, push: &Push, taken: Result<Result<usize, NoBuild>, PushError>) {
        let how = match &taken {
            Ok(Ok(_)) => "taken now".to_owned(),
            Ok(Err(none)) => none.to_string(),
            Err(error) if error.is_of_marked_image() => {
                "retention is deleting it; the sweep tries again later".to_owned()
            }
            Err(_) => "it could not be handled".to_owned(),
        };
        tracing::warn!(
            application.name = %self.application,
            repository.name = %push.repository,
            image.tag = %push.tag,
            image.digest = %push.digest,
            "the sweep found a missed push: {how}"
        );
        match taken {
            Ok(taken) => self.swept.missed += usize::from(taken.is_ok()),
            Err(error) if error.is_of_marked_image() => {}
            Err(error) => self.record_failure(error.into()),
        }
    }

    fn record_tag(&mut self, looked: Result<bool, TagError>) {
        match looked {
            Ok(drifted) => self.swept.drifted += usize::from(drifted),
            Err(error) => self.record_failure(error.into()),
        }
    }

    fn record_failure(&mut self, error: SweepError) {
        if self.failed.is_some() {
            tracing::error!(application.name = %self.application, "{}", chain(&error));
        }
        self.failed.get_or_insert(error);
    }
}

/// Returns the missed pushes. The times of pushes determine the order of their promotions.
async fn missed(
    clients: &Clients,
    configured: &Application,
    configured_at: Timestamp,
    images: &[ImageDetail],
) -> Result<Vec<Push>, SweepError> {
    let (name, repository) = (&configured.name, &configured.repository);
    let found: Vec<FoundTag> = images
        .iter()
        .flat_map(|image| image.tags.iter().map(move |tag| (tag, image)))
        .filter(|(tag, _)| configured.builds.matches(tag))
        .map(|(tag, image)| FoundTag {
            tag: tag.clone(),
            digest: image.digest.clone(),
            pushed_at: image.pushed_at,
        })
        .collect();
    let tags: Vec<ImageTag> = found.iter().map(|one| one.tag.clone()).collect();
    let known = clients.table.known_tags(name, repository, &tags).await?;
    let at = now();
    let missed = sweep::missed(at, &configured.builds, configured_at, &found, &known);
    let digests: Vec<ImageDigest> = missed.iter().map(|one| one.digest.clone()).collect();
    let built = clients.table.known_builds(name, &digests).await?;
    let push = |one: Missed| Push {
        // ECR does not record when a tag moved to an image that was pushed earlier, so this push
        // gets the current time.
        at: if built.contains(&one.digest) && !one.told { at } else { one.at },
        repository: repository.clone(),
        digest: one.digest,
        tag: one.tag,
        run: None,
        // ECR may still copy the image.
        is_copied: true,
    };
    Ok(missed.into_iter().map(push).collect())
}

/// Restores each tag of Stablepin that is on a wrong image.
async fn correct_tags(
    clients: &Clients,
    configured: &Application,
    images: &[ImageDetail],
    deadline: Deadline,
    sweep: &mut Sweep<'_>,
) {
    let repository = match clients.ecr.repository(&configured.repository).await {
        Ok(Some(repository)) => repository,
        Ok(None) => return,
        Err(error) => return sweep.record_failure(error.into()),
    };
    for policy in &configured.environments {
        let subject = match clients.table.configured_environment(&configured.name, &policy.name).await {
            Ok(Some(subject)) => subject,
            Ok(None) => continue,
            Err(error) => {
                sweep.record_failure(error.into());
                continue;
            }
        };
        if let Err(error) = forget(clients, &subject, policy).await {
            sweep.record_failure(error.into());
        }
        let own = match policy.repository == configured.repository {
            true => None,
            false => match own_repository(clients, policy).await {
                Ok(own) => Some(own),
                Err(error) => {
                    sweep.record_failure(error.into());
                    continue;
                }
            },
        };
        let (mutability, images) = match &own {
            None => (&repository.mutability, images),
            Some(Some((own, images))) => (&own.mutability, images.as_slice()),
            Some(None) => continue,
        };
        for (tag, wanted) in tag::kept(policy, &subject.environment, mutability) {
            let on = images.iter().find(|image| image.tags.contains(&tag)).map(|image| image.digest.clone());
            if on.as_ref() != Some(&wanted) {
                // The list of images is some seconds old, so `look_at` reads the tag again.
                sweep.record_tag(tag::look_at(clients, subject.clone(), &tag, deadline).await);
            }
        }
    }
}

/// Reads the environment's own repository. Returns `None` if it does not exist.
async fn own_repository(
    clients: &Clients,
    policy: &EnvironmentPolicy,
) -> Result<Option<(Repository, Vec<ImageDetail>)>, EcrError> {
    let Some(repository) = clients.ecr.repository(&policy.repository).await? else { return Ok(None) };
    Ok(Some((repository, clients.ecr.tagged(&policy.repository).await?)))
}

/// Reports services that do not run the pin.
async fn report_live_drift(
    clients: &Clients,
    configured: &Application,
    deadline: Deadline,
    sweep: &mut Sweep<'_>,
) {
    for policy in configured.environments.iter().filter(|policy| !policy.services.is_empty()) {
        let looked = async {
            let found = clients.table.configured_environment(&configured.name, &policy.name).await?;
            let Some(subject) = found else { return Ok(false) };
            live_drift::look(clients, subject, None, deadline).await
        };
        match looked.await {
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                application.name = %configured.name,
                environment.name = %policy.name,
                "services do not run the pin"
            ),
            Err(error) => sweep.record_failure(error.into()),
        }
    }
}

/// Deletes old digests from the records of the environment's tags. A digest is old when no delayed
/// event can name the digest any more.
async fn forget(clients: &Clients, subject: &Subject, policy: &EnvironmentPolicy) -> Result<(), TableError> {
    let application = subject.application();
    let tags = [policy.stable_tag.clone(), current(&policy.name)];
    for (tag, known) in clients.table.known_tags(application, &policy.repository, &tags).await? {
        if known.intents.len() <= MOST_INTENTS {
            continue;
        }
        let pins = clients.table.newest_pins(application, &policy.name, NEWEST_PINS).await?;
        let record = &subject.environment;
        let shown =
            record.pin.iter().map(|pin| &pin.digest).chain(record.current.iter().map(|live| &live.digest));
        let newest = pins.iter().map(|pin| &pin.digest).chain(shown).cloned().collect();
        let old = sweep::forgotten(&known.intents, &newest);
        if !old.is_empty() {
            clients.table.forget_intents(subject, &policy.repository, &tag, &old).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stablepin_reconciler::ReconcileError;
    use stablepin_rules::image::RepositoryName;
    use stablepin_rules::refusal::Refusal;

    use super::*;

    #[test]
    fn sweep_continues_after_errors_and_returns_the_first_error() {
        let application = ApplicationName::parse("web").unwrap();
        let push = Push {
            at: Timestamp::UNIX_EPOCH,
            repository: RepositoryName::parse("web").unwrap(),
            digest: ImageDigest::parse(&format!("sha256:{}", "a1".repeat(32))).unwrap(),
            tag: ImageTag::parse("main").unwrap(),
            run: None,
            is_copied: false,
        };
        let mut sweep = Sweep { application: &application, swept: Swept::default(), failed: None };
        sweep.record_push(&push, Err(PushError::Reconcile(ReconcileError::Contended)));
        sweep.record_push(&push, Ok(Ok(1)));
        sweep.record_push(&push, Ok(Err(NoBuild::Gone)));
        let marked = Refusal::ImageMarkedForDeletion { digest: push.digest.clone() };
        sweep.record_push(&push, Err(PushError::Reconcile(ReconcileError::Refused(marked))));
        sweep.record_tag(Ok(true));
        sweep.record_tag(Err(TagError::Reconcile(ReconcileError::Contended)));
        sweep.record_tag(Ok(false));
        assert_eq!(sweep.swept, Swept { missed: 1, drifted: 1 });
        assert!(matches!(sweep.failed, Some(SweepError::Push(_))), "the first error: {:?}", sweep.failed);
    }
}
