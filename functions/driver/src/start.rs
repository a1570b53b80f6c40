//! What a function does once, before its first event: read its configuration, build one session, open the
//! connection.

use std::env;

use jiff::{SignedDuration, Timestamp};
use stablepin_aws::dynamodb::Table;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::elb::Elb;
use stablepin_aws::probe::{Network, NetworkError, Probe};
use stablepin_aws::session::{Service, Session, SessionError};
use stablepin_aws::sns::Sns;

use crate::clock::now;
use crate::{Deadline, Doors, Notices, Post};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the environment variable {0} is not set: the template sets it")]
    Missing(&'static str),
    #[error("the template's parameter ProbeNetworks")]
    Networks(#[from] NetworkError),
    #[error("no session")]
    Session(#[from] SessionError),
}

/// The doors beyond the table and the registry that a function's role opens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    pub ecs: bool,
    pub post: bool,
    /// All that proves a rollout, and tells when one failed.
    pub verify: bool,
}

/// The doors, and the session that they share, for what else a function opens.
pub async fn doors(needs: Needs) -> Result<(Doors, Session), StartError> {
    let session = Session::from_env()?;
    let doors = Doors {
        table: Table::new(&session, required("STABLEPIN_TABLE")?),
        ecr: Ecr::new(&session),
        ecs: needs.ecs.then(|| Ecs::new(&session)),
        elb: needs.verify.then(|| Elb::new(&session)),
        probe: match needs.verify {
            true => Some(Probe::new(Network::parse_list(&list("STABLEPIN_PROBE_NETWORKS")?)?)),
            false => None,
        },
        notices: match needs.verify {
            true => Some(Notices {
                sns: Sns::new(&session),
                topic_arn: required("STABLEPIN_NOTIFICATIONS_TOPIC")?,
            }),
            false => None,
        },
        post: match needs.post {
            true => Some(Post {
                sns: Sns::new(&session),
                topic_arn: required("STABLEPIN_APPROVALS_TOPIC")?,
                url: required("STABLEPIN_URL")?.trim_end_matches('/').to_owned(),
            }),
            false => None,
        },
    };
    let mut services = vec![Service::DynamoDb, Service::Ecr];
    services.extend(needs.ecs.then_some(Service::Ecs));
    services.extend(needs.post.then_some(Service::Sns));
    session.warm(&services).await;
    Ok((doors, session))
}

pub fn required(name: &'static str) -> Result<String, StartError> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(StartError::Missing(name))
}

/// A list that may be empty: the variable is always there.
pub fn list(name: &'static str) -> Result<String, StartError> {
    env::var(name).map_err(|_| StartError::Missing(name))
}

/// From the milliseconds since 1970 that Lambda's context names.
pub fn deadline(milliseconds: u64) -> Deadline {
    let hard = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    // Without one, as long as the shortest of our functions may take.
    Deadline::of_invocation(hard.unwrap_or_else(|| now() + SignedDuration::from_secs(15)))
}
