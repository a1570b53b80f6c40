//! Handles the tag events of ECR and CloudTrail. A push becomes a build and opens a promotion for
//! each environment. If another caller moved or deleted a tag of Stablepin, the tagger restores the
//! tag.

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

/// The result of one event. Most events are ignored, because they do not concern Stablepin.
#[derive(Debug, PartialEq, Eq)]
pub enum Handled {
    Ignored(Ignored),
    Opened {
        environments: usize,
    },
    PutRight {
        environments: usize,
    },
    /// The number of promotions and changed tags for which CloudTrail named the caller.
    Attributed {
        count: usize,
    },
}

/// The errors after which Lambda retries the event. After two retries, Lambda sends the event to
/// the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum TaggerError {
    #[error("the event could not be looked up")]
    Table(#[from] TableError),
    #[error("the push could not be handled")]
    Push(#[from] PushError),
    #[error("the tag could not be checked or restored")]
    Tag(#[from] TagError),
    #[error("the caller could not be recorded")]
    Attribution(#[from] AttributionError),
}

/// The IAM roles of the stack's Lambda functions. A tag that such a role puts is not a push. Each
/// role is stored as the prefix of its session ARNs: the partition, the account, and the role's
/// name without its path.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
#[derive(Debug, Clone)]
pub struct OwnRoles(Vec<String>);

#[derive(Debug, thiserror::Error)]
#[error("STABLEPIN_OWN_ROLES has {0:?}, which is not the ARN of a role: the template sets it")]
pub struct NoRole(String);

impl OwnRoles {
    /// Parses a comma-separated list of role ARNs.
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

/// Converts the role ARN `arn:aws:iam::111122223333:role/path/name` to the session prefix
/// `arn:aws:sts::111122223333:assumed-role/name/`.
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
    let tag_event = match event.tag_event(location) {
        Ok(tag_event) => tag_event,
        Err(ignored) => return Ok(Handled::Ignored(ignored)),
    };
    let (repository, tag, now_on) = match &tag_event {
        TagEvent::Attributed(call) => return attribute(clients, own, call, deadline).await,
        TagEvent::Pushed(push) => (&push.repository, &push.tag, Some(&push.digest)),
        TagEvent::Deleted { repository, tag } => (repository, tag, None),
    };
    let Some(application) = clients.table.claimant(repository).await? else {
        return Ok(Handled::Ignored(NoBuild::NotRegistered.into()));
    };
    // A tag is never both a build's pushed tag and a tag of Stablepin, because Stablepin refuses an
    // application file that uses one tag for both.
    let taken = match &tag_event {
        TagEvent::Pushed(push) => push::take(clients, &application, push, deadline).await?,
        TagEvent::Deleted { .. } | TagEvent::Attributed(_) => Err(NoBuild::NotABuild),
    };
    if let (TagEvent::Pushed(push), Err(no_build)) = (&tag_event, &taken) {
        push::keep_ignored(clients, &application, push, no_build).await;
    }
    match taken {
        Ok(environments) => Ok(Handled::Opened { environments }),
        Err(no_build @ (NoBuild::Ours | NoBuild::NotABuild | NoBuild::NotPushedTo)) => {
            let stored = clients.table.application(&application).await?;
            let configured = stored.and_then(|stored| Application::parse(&stored.text, None).ok());
            let Some(configured) = configured else { return Ok(Handled::Ignored(no_build.into())) };
            if let (TagEvent::Pushed(push), NoBuild::NotABuild | NoBuild::NotPushedTo) =
                (&tag_event, &no_build)
            {
                // A time in the future is limited to the current time, so that a wrong clock does
                // not make retention keep an image for ever.
                let (at, kept) = (push.at.min(now()), remember_for(&configured));
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

/// Returns how long to remember that a person put a tag: the application's retention time, and one
/// day for the nightly run.
fn remember_for(configured: &Application) -> SignedDuration {
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

/// Restores the tag in each environment that owns the tag, if the tag is on a wrong image. Returns
/// the number of environments with a restored tag. Even an image that Stablepin once chose can be
/// wrong, because a person may have moved the tag back.
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
        // The push has put the stable tag on the pin's digest, which is right. The tagger need not
        // read ECR.
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
    fn stablepins_roles_match_by_partition_account_and_name() {
        let own = OwnRoles::parse(ROLES).unwrap();
        let session = |role: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/session");
        assert!(own.have(&session("stablepin-production-TaggerRole-1A2B")));
        // A session's ARN does not contain the role's path.
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
    fn stablepins_roles_match_in_china_and_govcloud() {
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
    fn stablepins_roles_must_be_role_arns() {
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
