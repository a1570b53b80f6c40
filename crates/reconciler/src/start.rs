//! Starts a Lambda function once, before its first event: reads the configuration, and creates the
//! session and the connections.

use std::env;

use jiff::{SignedDuration, Timestamp};
use stablepin_aws::dynamodb::Table;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::elb::Elb;
use stablepin_aws::probe::{Network, NetworkError, Probe};
use stablepin_aws::session::{Service, Session, SessionError};
use stablepin_aws::sns::Sns;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::now;
use crate::{ApprovalMailer, Clients, Deadline, Topics, Verify};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the environment variable {0} is not set: the template sets it")]
    Missing(&'static str),
    #[error("the template's parameter ProbeNetworks")]
    Networks(#[from] NetworkError),
    #[error("no session")]
    Session(#[from] SessionError),
}

/// Logs to standard output, with the level and the format that Lambda's log controls set. The
/// stack's parameter `LogLevel` sets the level.
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>
pub fn logs() {
    let lines = tracing_subscriber::fmt::layer().with_target(false).without_time();
    let level = level(env::var("AWS_LAMBDA_LOG_LEVEL").as_deref().unwrap_or("INFO"));
    // Dependencies may log secrets at levels below INFO, so these levels are off for dependencies.
    let filter = Targets::new().with_target("stablepin", level).with_default(level.min(LevelFilter::INFO));
    let json = env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let all = tracing_subscriber::registry().with(filter);
    match json {
        true => all.with(lines.json()).init(),
        false => all.with(lines).init(),
    }
}

fn level(name: &str) -> LevelFilter {
    match name {
        "FATAL" => LevelFilter::ERROR, // `tracing` has no level above ERROR
        name => name.parse().unwrap_or(LevelFilter::INFO),
    }
}

/// The clients that a Lambda function's role allows, in addition to the table and ECR. Each field
/// is also a feature of this crate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capabilities {
    pub ecs: bool,
    pub approval_mailer: bool,
    /// The clients that prove a rollout and notify people of a failed rollout.
    pub verify: bool,
}

/// Creates the clients. Also returns the session, from which the caller may create further clients.
pub async fn clients(capabilities: Capabilities) -> Result<(Clients, Session), StartError> {
    let session = Session::from_env()?;
    let clients = Clients {
        table: Table::new(&session, required("STABLEPIN_TABLE")?),
        ecr: Ecr::new(&session),
        copier: None,
        ecs: (cfg!(feature = "ecs") && capabilities.ecs).then(|| Ecs::new(&session)),
        verify: match cfg!(feature = "verify") && capabilities.verify {
            true => Some(Verify {
                elb: Elb::new(&session),
                probe: Probe::new(Network::parse_list(&list("STABLEPIN_PROBE_NETWORKS")?)?),
                sns: Sns::new(&session),
                topic_arn: required("STABLEPIN_NOTIFICATIONS_TOPIC")?,
            }),
            false => None,
        },
        approval_mailer: match cfg!(feature = "approval-mailer") && capabilities.approval_mailer {
            true => Some(ApprovalMailer {
                topics: topics(&session)?,
                url: required("STABLEPIN_URL")?.trim_end_matches('/').to_owned(),
            }),
            false => None,
        },
    };
    let mut services = vec![Service::DynamoDb, Service::Ecr];
    services.extend(capabilities.ecs.then_some(Service::Ecs));
    services.extend(capabilities.approval_mailer.then_some(Service::Sns));
    session.warm(&services).await;
    Ok((clients, session))
}

/// Reads the topics of secret links from an environment variable.
pub fn topics(session: &Session) -> Result<Topics, StartError> {
    let list = required("STABLEPIN_APPROVALS_TOPICS")?;
    let arns = list.split(',').map(str::trim).filter(|arn| !arn.is_empty()).map(str::to_owned).collect();
    Ok(Topics { sns: Sns::new(session), arns })
}

pub fn required(name: &'static str) -> Result<String, StartError> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(StartError::Missing(name))
}

/// Reads an environment variable with a list that may be empty. The variable must be set even if
/// the list is empty.
pub fn list(name: &'static str) -> Result<String, StartError> {
    env::var(name).map_err(|_| StartError::Missing(name))
}

/// Converts Lambda's deadline, which is in milliseconds since 1970.
pub fn deadline(milliseconds: u64) -> Deadline {
    let hard = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    // Without a valid time, the shortest time limit of all Lambda functions of the stack applies.
    Deadline::of_invocation(hard.unwrap_or_else(|| now() + SignedDuration::from_secs(15)))
}
