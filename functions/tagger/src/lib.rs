//! Woken by ECR: a push becomes a build and opens a promotion for each environment; a tag of ours that somebody
//! moved or deleted is put right.

mod event;

use stablepin_aws::dynamodb::TableError;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::name::ApplicationName;
use stablepin_driver::called::{self, Call, CalledError};
use stablepin_driver::push::{self, NoBuild, PushError};
use stablepin_driver::tag::{self, TagError};
use stablepin_driver::{Deadline, Doors};

pub use event::{Event, Ignored, Told};

/// What came of an event. An ignored one is everyday traffic.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled {
    Ignored(Ignored),
    Opened {
        environments: usize,
    },
    PutRight {
        environments: usize,
    },
    /// Of so many promotions and moved tags it is known now whose they are.
    Attributed {
        count: usize,
    },
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
    #[error("who called could not be recorded")]
    Called(#[from] CalledError),
}

/// The names of the stack's own roles: what they put is nobody's push.
#[derive(Debug, Clone)]
pub struct OwnRoles(Vec<String>);

impl OwnRoles {
    /// With commas between.
    pub fn parse(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// `arn:aws:sts::111122223333:assumed-role/{role}/{session}`
    fn have(&self, arn: &str) -> bool {
        let role = arn.split_once(":assumed-role/").and_then(|(_, rest)| rest.split('/').next());
        role.is_some_and(|role| self.0.iter().any(|own| own == role))
    }
}

pub async fn handle(
    doors: &Doors,
    own: &OwnRoles,
    event: &Event,
    deadline: Deadline,
) -> Result<Handled, TaggerError> {
    let told = match event.told() {
        Ok(told) => told,
        Err(ignored) => return Ok(Handled::Ignored(ignored)),
    };
    let (repository, tag, now_on) = match &told {
        Told::Called(call) => return attribute(doors, own, call, deadline).await,
        Told::Pushed(push) => (&push.repository, &push.tag, Some(&push.digest)),
        Told::Deleted { repository, tag } => (repository, tag, None),
    };
    let Some(application) = doors.table.claimant(repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    // A tag that pipelines follow is never one that we keep: an application that claims both is refused.
    let taken = match &told {
        Told::Pushed(push) => push::take(doors, &application, push, deadline).await?,
        Told::Deleted { .. } | Told::Called(_) => Err(NoBuild::NotABuild),
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

async fn attribute(
    doors: &Doors,
    own: &OwnRoles,
    call: &Call,
    deadline: Deadline,
) -> Result<Handled, TaggerError> {
    if own.have(&call.caller.arn) {
        return Ok(Handled::Ignored(Ignored::OwnCall));
    }
    let Some(application) = doors.table.claimant(&call.repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    Ok(match called::take(doors, &application, call, deadline).await? {
        0 => Handled::Ignored(Ignored::NothingCalled),
        count => Handled::Attributed { count },
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_roles_are_known_by_their_names() {
        let own =
            OwnRoles::parse("stablepin-production-TaggerRole-1A2B, stablepin-production-PromoterRole-3C4D,");
        let session = |role: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/session");
        assert!(own.have(&session("stablepin-production-TaggerRole-1A2B")));
        assert!(own.have(&session("stablepin-production-PromoterRole-3C4D")));
        for other in
            ["pipeline", "stablepin-production-TaggerRole-1A2", "x/stablepin-production-TaggerRole-1A2B", ""]
        {
            assert!(!own.have(&session(other)), "{other}");
        }
        assert!(!own.have("arn:aws:iam::111122223333:user/stablepin-production-TaggerRole-1A2B"));
        assert!(!OwnRoles::parse("").have(&session("")));
    }
}
