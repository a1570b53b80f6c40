//! Elastic Load Balancing: reads the health of the targets in a target group.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum as State};

use crate::call::{Call, CallError};
use crate::session::Session;

/// A client that reads the health of targets in the session's account and region.
#[derive(Debug, Clone)]
pub struct Elb {
    client: Client,
}

/// The health of a target.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    Healthy,
    /// The target is being registered, or its first health checks have not ended.
    Initial,
    /// The target fails its health checks. A failing target keeps this state while the load
    /// balancer drains the target's connections, because the target is still registered.
    Unhealthy,
    /// No listener sends requests to the target group or to the target's zone.
    Unused,
    /// The target is being deregistered.
    Draining,
    /// Health checks are off.
    Unavailable,
    /// A state that this version does not know. Stablepin treats the target as neither healthy nor
    /// unhealthy.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The target's id: the address of a task if the target group has the type `ip`, the id of a
    /// container instance if it has the type `instance`.
    pub id: String,
    pub port: Option<u16>,
    pub state: TargetState,
    /// The reason code, such as `Target.FailedHealthChecks`. `None` for a healthy target.
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl Elb {
    pub fn new(session: &Session) -> Self {
        Self { client: session.elb() }
    }

    /// Returns all targets of a target group. The response has no pages.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html>
    pub async fn targets(&self, target_group_arn: &str) -> Result<Vec<Target>, CallError> {
        let purpose = format!("read the health of the targets of {target_group_arn}");
        let call = Call::new("DescribeTargetHealth", purpose);
        let answer = self.client.describe_target_health().target_group_arn(target_group_arn).send().await;
        let answer = answer.map_err(|error| call.failed(error))?;
        let described = answer.target_health_descriptions().iter();
        described.map(|one| target(one).map_err(|member| call.lacks(member))).collect()
    }
}

/// Converts a described target. Fails with the name of the missing or invalid field.
fn target(description: &TargetHealthDescription) -> Result<Target, &'static str> {
    let target = description.target().ok_or("Target")?;
    let health = description.target_health().ok_or("TargetHealth")?;
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
