//! Woken by ECR: a push becomes a build and opens a promotion for each environment; a tag of ours that somebody
//! moved or deleted is put right.

mod event;

use jiff::SignedDuration;
use stablepin_aws::dynamodb::TableError;
use stablepin_reconciler::attribution::{self, AttributionError, CloudTrailCall};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::push::{self, NoBuild, PushError};
use stablepin_reconciler::tag::{self, TagError};
use stablepin_reconciler::{Clients, Deadline, StackLocation};
use stablepin_rules::application::Application;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

pub use event::{EcrEvent, Ignored, TagEvent};

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
    Attribution(#[from] AttributionError),
}

/// The stack's own roles: what they put is nobody's push. Each as the beginning of its sessions' ARNs, which name the
/// partition and the account, and the role without its path.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
#[derive(Debug, Clone)]
pub struct OwnRoles(Vec<String>);

#[derive(Debug, thiserror::Error)]
#[error("STABLEPIN_OWN_ROLES has {0:?}, which is not the ARN of a role: the template sets it")]
pub struct NoRole(String);

impl OwnRoles {
    /// ARNs with commas between.
    pub fn parse(list: &str) -> Result<Self, NoRole> {
        let roles = list.split(',').map(str::trim).filter(|arn| !arn.is_empty());
        roles
            .map(|arn| sessions(arn).ok_or_else(|| NoRole(arn.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn have(&self, arn: &str) -> bool {
        self.0.iter().any(|sessions| arn.starts_with(sessions))
    }
}

/// `arn:aws:iam::111122223333:role/path/name`: `arn:aws:sts::111122223333:assumed-role/name/`
fn sessions(role_arn: &str) -> Option<String> {
    let parts: Vec<&str> = role_arn.split(':').collect();
    let ["arn", partition, "iam", "", account, role] = parts[..] else { return None };
    let name = role.strip_prefix("role/")?.rsplit('/').next().filter(|name| !name.is_empty())?;
    Some(format!("arn:{partition}:sts::{account}:assumed-role/{name}/"))
}

pub async fn handle(
    clients: &Clients,
    location: &StackLocation,
    own: &OwnRoles,
    event: &EcrEvent,
    deadline: Deadline,
) -> Result<Handled, TaggerError> {
    let told = match event.told(location) {
        Ok(told) => told,
        Err(ignored) => return Ok(Handled::Ignored(ignored)),
    };
    let (repository, tag, now_on) = match &told {
        TagEvent::Attributed(call) => return attribute(clients, own, call, deadline).await,
        TagEvent::Pushed(push) => (&push.repository, &push.tag, Some(&push.digest)),
        TagEvent::Deleted { repository, tag } => (repository, tag, None),
    };
    let Some(application) = clients.table.claimant(repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    // A tag that pipelines follow is never one that we keep: an application that claims both is refused.
    let taken = match &told {
        TagEvent::Pushed(push) => push::take(clients, &application, push, deadline).await?,
        TagEvent::Deleted { .. } | TagEvent::Attributed(_) => Err(NoBuild::NotABuild),
    };
    match taken {
        Ok(environments) => Ok(Handled::Opened { environments }),
        Err(no_build @ (NoBuild::Ours | NoBuild::NotABuild)) => {
            let stored = clients.table.application(&application).await?;
            let configured = stored.and_then(|stored| Application::parse(&stored.text, None).ok());
            let Some(configured) = configured else { return Ok(Handled::Ignored(no_build.into())) };
            if let (TagEvent::Pushed(push), NoBuild::NotABuild) = (&told, &no_build) {
                // A clock that is ahead keeps no image for ever.
                let (at, kept) = (push.at.min(now()), kept(&configured));
                clients.table.was_tagged(&application, repository, tag, &push.digest, at, kept).await?;
            }
            let environments = look_after(clients, &configured, repository, tag, now_on, deadline).await?;
            Ok(match (environments, now_on) {
                (0, Some(_)) => Handled::Ignored(no_build.into()),
                (0, None) => Handled::Ignored(Ignored::Deleted),
                (environments, _) => Handled::PutRight { environments },
            })
        }
        Err(no_build) => Ok(Handled::Ignored(no_build.into())),
    }
}

/// How long it is kept that somebody put a tag: as long as retention asks for it, and a day for the night that does.
fn kept(configured: &Application) -> SignedDuration {
    SignedDuration::from_hours(24 * (i64::from(configured.retention.days) + 1))
}

async fn attribute(
    clients: &Clients,
    own: &OwnRoles,
    call: &CloudTrailCall,
    deadline: Deadline,
) -> Result<Handled, TaggerError> {
    if own.have(&call.caller.arn) {
        return Ok(Handled::Ignored(Ignored::OwnCall));
    }
    let Some(application) = clients.table.claimant(&call.repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    Ok(match attribution::take(clients, &application, call, deadline).await? {
        0 => Handled::Ignored(Ignored::NothingCalled),
        count => Handled::Attributed { count },
    })
}

/// If it is a tag that we keep, is it where it belongs? Also one that we put there ourselves once may have been
/// moved back there by somebody.
async fn look_after(
    clients: &Clients,
    configured: &Application,
    repository: &RepositoryName,
    tag: &ImageTag,
    now_on: Option<&ImageDigest>,
    deadline: Deadline,
) -> Result<usize, TaggerError> {
    let mut put_right = 0;
    for policy in &configured.environments {
        if policy.repository != *repository || !tag::is_kept(policy, tag) {
            continue;
        }
        let found = clients.table.configured_environment(&configured.name, &policy.name).await?;
        let Some(subject) = found else { continue };
        // Our own doing: no call to the registry is needed to know it.
        let pinned = subject.environment.pin.as_ref().map(|pin| &pin.digest);
        if now_on.is_some() && *tag == policy.stable_tag && pinned == now_on {
            continue;
        }
        put_right += usize::from(tag::look_at(clients, subject, tag, deadline).await?);
    }
    Ok(put_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: &str = "arn:aws:iam::111122223333:role/stablepin-production-TaggerRole-1A2B, \
                         arn:aws:iam::111122223333:role/teams/platform/stablepin-production-PromoterRole-3C4D,";

    #[test]
    fn own_roles_are_known_by_partition_account_and_name() {
        let own = OwnRoles::parse(ROLES).unwrap();
        let session = |role: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/session");
        assert!(own.have(&session("stablepin-production-TaggerRole-1A2B")));
        // A session's ARN has no path.
        assert!(own.have(&session("stablepin-production-PromoterRole-3C4D")));
        for other in
            ["pipeline", "stablepin-production-TaggerRole-1A2", "x/stablepin-production-TaggerRole-1A2B", ""]
        {
            assert!(!own.have(&session(other)), "{other}");
        }
        let name = "stablepin-production-TaggerRole-1A2B";
        for other in [
            format!("arn:aws:sts::444455556666:assumed-role/{name}/session"),
            format!("arn:aws-cn:sts::111122223333:assumed-role/{name}/session"),
            format!("arn:aws:iam::111122223333:user/{name}"),
            format!("arn:aws:iam::111122223333:user/x:assumed-role/{name}/session"),
            format!("arn:aws:sts::111122223333:federated-user/{name}"),
        ] {
            assert!(!own.have(&other), "{other}");
        }
        assert!(!OwnRoles::parse("").unwrap().have(&session("")));
    }

    #[test]
    fn own_roles_of_china_and_govcloud_are_known() {
        for partition in ["aws-cn", "aws-us-gov"] {
            let own = OwnRoles::parse(&ROLES.replace("arn:aws:", &format!("arn:{partition}:"))).unwrap();
            let session = |partition: &str| {
                format!(
                    "arn:{partition}:sts::111122223333:assumed-role/stablepin-production-TaggerRole-1A2B/s"
                )
            };
            assert!(own.have(&session(partition)) && !own.have(&session("aws")), "{partition}");
        }
    }

    #[test]
    fn own_roles_are_arns_of_roles() {
        for wrong in [
            "stablepin-production-TaggerRole-1A2B",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:user/a",
            "arn:aws:sts::111122223333:assumed-role/a/b",
        ] {
            assert!(OwnRoles::parse(wrong).unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }
}
