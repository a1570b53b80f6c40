//! Elastic Load Balancing: whether a service's tasks are healthy in its target groups.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum as State};

use crate::failed_call::FailedCall;
use crate::session::Session;

/// The target groups of the session's account and region.
#[derive(Debug, Clone)]
pub struct Elb {
    client: Client,
}

/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    Healthy,
    /// Being registered, or its first checks have not ended.
    Initial,
    /// Also one whose connections are being drained for that: it is still registered.
    Unhealthy,
    /// No listener sends anything to the target group, or not to the target's zone.
    Unused,
    /// Being deregistered.
    Draining,
    /// Health checks are off.
    Unavailable,
    /// One that this program does not know: neither healthy nor unhealthy.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A task's address in a target group of type `ip`, a container instance's id in one of type `instance`.
    pub id: String,
    pub port: Option<u16>,
    pub state: TargetState,
    /// Such as `Target.FailedHealthChecks`. None when healthy.
    pub reason: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ElbError {
    #[error("could not read the health of the targets of {target_group} (DescribeTargetHealth)")]
    DescribeTargetHealth {
        target_group: String,
        #[source]
        source: FailedCall,
    },
    #[error("the answer to DescribeTargetHealth about {target_group} has no valid {member}")]
    Answer { target_group: String, member: &'static str },
}

impl ElbError {
    /// Whether the same call may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DescribeTargetHealth { source, .. } => source.is_retryable(),
            Self::Answer { .. } => false,
        }
    }
}

impl Elb {
    pub fn new(session: &Session) -> Self {
        Self { client: session.elb() }
    }

    /// All targets of a target group: the call has no pages.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html>
    pub async fn targets(&self, target_group_arn: &str) -> Result<Vec<Target>, ElbError> {
        let target_group = || target_group_arn.to_owned();
        let answer =
            self.client.describe_target_health().target_group_arn(target_group_arn).send().await.map_err(
                |error| ElbError::DescribeTargetHealth {
                    target_group: target_group(),
                    source: FailedCall::new(error),
                },
            )?;
        let described = answer.target_health_descriptions().iter();
        described
            .map(|told| {
                target(told).map_err(|member| ElbError::Answer { target_group: target_group(), member })
            })
            .collect()
    }
}

/// Or the member that is missing.
fn target(told: &TargetHealthDescription) -> Result<Target, &'static str> {
    let target = told.target().ok_or("Target")?;
    let health = told.target_health().ok_or("TargetHealth")?;
    Ok(Target {
        id: target.id().map(str::to_owned).ok_or("Id")?,
        port: target.port().map(u16::try_from).transpose().map_err(|_| "Port")?,
        state: match health.state().ok_or("State")? {
            State::Healthy => TargetState::Healthy,
            State::Initial => TargetState::Initial,
            State::Unhealthy | State::UnhealthyDraining => TargetState::Unhealthy,
            State::Unused => TargetState::Unused,
            State::Draining => TargetState::Draining,
            State::Unavailable => TargetState::Unavailable,
            other => TargetState::Unknown(other.as_str().to_owned()),
        },
        reason: health.reason().map(|reason| reason.as_str().to_owned()),
        description: health.description().map(str::to_owned),
    })
}
