//! What a function does once, before its first event: read its configuration, build one session, open the
//! connection.

use std::env;

use jiff::Timestamp;
use stablepin_aws::dynamodb::Table;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::session::{Session, SessionError};
use stablepin_aws::sns::Sns;

use crate::{Doors, Post};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the environment variable {0} is not set: the template sets it")]
    Missing(&'static str),
    #[error("no session")]
    Session(#[from] SessionError),
}

/// The doors beyond the table and the registry that a function's role opens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    pub ecs: bool,
    pub post: bool,
}

/// The doors, and the session that they share, for what else a function opens.
pub async fn doors(needs: Needs) -> Result<(Doors, Session), StartError> {
    let session = Session::from_env()?;
    let doors = Doors {
        table: Table::new(&session, required("STABLEPIN_TABLE")?),
        ecr: Ecr::new(&session),
        ecs: needs.ecs.then(|| Ecs::new(&session)),
        post: match needs.post {
            true => Some(Post {
                sns: Sns::new(&session),
                topic_arn: required("STABLEPIN_APPROVALS_TOPIC")?,
                url: required("STABLEPIN_URL")?.trim_end_matches('/').to_owned(),
            }),
            false => None,
        },
    };
    doors.table.warm().await;
    Ok((doors, session))
}

pub fn required(name: &'static str) -> Result<String, StartError> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(StartError::Missing(name))
}

/// A list that may be empty: the variable is always there.
pub fn list(name: &'static str) -> Result<String, StartError> {
    env::var(name).map_err(|_| StartError::Missing(name))
}

/// When Lambda ends the invocation, from its context's milliseconds since 1970.
pub fn deadline(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(Timestamp::MAX)
}
