//! Woken by ECR: a push becomes a build and opens a promotion for each environment; a tag of ours that somebody
//! moved or deleted is put right.

mod event;

use stablepin_aws::dynamodb::TableError;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::name::ApplicationName;
use stablepin_driver::push::{self, NoBuild, PushError};
use stablepin_driver::tag::{self, TagError};
use stablepin_driver::{Deadline, Doors};

pub use event::{Event, Ignored, Told};

/// What came of an event. An ignored one is everyday traffic.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled {
    Ignored(Ignored),
    Opened { environments: usize },
    PutRight { environments: usize },
}

/// Lambda tries an event again for these: twice, then it goes to the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum TaggerError {
    #[error("the event could not be looked up")]
    Table(#[from] TableError),
    #[error("the push could not be taken")]
    Push(#[from] PushError),
    #[error("the tag could not be looked after")]
    Tag(#[from] TagError),
}

pub async fn handle(doors: &Doors, event: &Event, deadline: Deadline) -> Result<Handled, TaggerError> {
    let told = match event.told() {
        Ok(told) => told,
        Err(ignored) => return Ok(Handled::Ignored(ignored)),
    };
    let (repository, tag, now_on) = match &told {
        Told::Pushed(push) => (&push.repository, &push.tag, Some(&push.digest)),
        Told::Deleted { repository, tag } => (repository, tag, None),
    };
    let Some(application) = doors.table.claimant(repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    // A tag that pipelines follow is never one that we keep: an application that claims both is refused.
    let taken = match &told {
        Told::Pushed(push) => push::take(doors, &application, push, deadline).await?,
        Told::Deleted { .. } => Err(NoBuild::NotABuild),
    };
    match taken {
        Ok(environments) => Ok(Handled::Opened { environments }),
        Err(no_build @ (NoBuild::Ours | NoBuild::NotABuild)) => {
            let environments = look_after(doors, &application, repository, tag, now_on, deadline).await?;
            Ok(match (environments, now_on) {
                (0, Some(_)) => Handled::Ignored(no_build.into()),
                (0, None) => Handled::Ignored(Ignored::Deleted),
                (environments, _) => Handled::PutRight { environments },
            })
        }
        Err(no_build) => Ok(Handled::Ignored(no_build.into())),
    }
}

/// If it is a tag that we keep, is it where it belongs? Also one that we put there ourselves once may have been
/// moved back there by somebody.
async fn look_after(
    doors: &Doors,
    application: &ApplicationName,
    repository: &RepositoryName,
    tag: &ImageTag,
    now_on: Option<&ImageDigest>,
    deadline: Deadline,
) -> Result<usize, TaggerError> {
    let Some(stored) = doors.table.application(application).await? else { return Ok(0) };
    let Ok(configured) = stablepin_core::application::Application::parse(&stored.text, None) else {
        return Ok(0);
    };
    let mut put_right = 0;
    for policy in &configured.environments {
        if policy.repository != *repository || !tag::is_kept(policy, tag) {
            continue;
        }
        let found = doors.table.configured_environment(application, &policy.name).await?;
        let Some(subject) = found else { continue };
        // Our own doing: no call to the registry is needed to know it.
        let pinned = subject.environment.pin.as_ref().map(|pin| &pin.digest);
        if now_on.is_some() && *tag == policy.stable_tag && pinned == now_on {
            continue;
        }
        put_right += usize::from(tag::look_at(doors, subject, tag, deadline).await?);
    }
    Ok(put_right)
}
