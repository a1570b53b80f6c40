//! Reads services and their deployments with DescribeServices, and starts deployments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_ecs::types::{
    DeploymentControllerType, DeploymentRolloutState, Failure, LoadBalancer, SchedulingStrategy,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::answer::{count, others_than_missing, port, text, unmentioned};
use super::client::Ecs;
use super::error::EcsError;
use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;

/// The most services that one DescribeServices call accepts.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
const PER_DESCRIBE_SERVICES: usize = 10;

/// The controller of a service's deployments. Stablepin reconciles only services with ECS's own
/// controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    Ecs,
    CodeDeploy,
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// The latest deployment.
    Primary,
    /// An older deployment that still has tasks and that ECS is replacing.
    Active,
    Inactive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    Completed,
    InProgress,
    Failed,
    /// A state that this version does not know. Stablepin treats the deployment as still running.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The deployment's id, such as `ecs-svc/1234567890123456789`. The deployment's tasks have this
    /// id as their `startedBy`.
    pub id: String,
    pub status: DeploymentStatus,
    pub rollout_state: Option<RolloutState>,
    pub rollout_reason: Option<String>,
    /// The task definition's ARN with its revision.
    pub task_definition: String,
    pub desired: u32,
    pub running: u32,
    /// The number of consecutive tasks that did not start or did not become healthy.
    pub failed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    pub arn: String,
    pub name: String,
    /// The cluster's ARN.
    pub cluster: String,
    /// The state of the ECS service: `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    pub controller: Controller,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    /// The task definition's ARN with its revision. `None` if each task set of the service has its
    /// own task definition.
    pub task_definition: Option<String>,
    pub deployments: Vec<Deployment>,
    /// The ARN of the current or latest service deployment. `None` if ECS reports no service
    /// deployment.
    pub service_deployment: Option<String>,
    /// The ports under which ECS registers each task with a load balancer.
    pub registrations: Vec<Registration>,
    /// True if the service has a Classic Load Balancer, which has no target groups.
    pub classic_load_balancer: bool,
    /// True if the tasks run on Fargate, false if they run on instances. `None` if ECS does not
    /// say.
    pub on_fargate: Option<bool>,
    /// True if the service runs one task on each instance. ECS then derives the desired count from
    /// the instances.
    pub daemon: bool,
    pub minimum_healthy_percent: Option<u32>,
    pub maximum_percent: Option<u32>,
    /// ECS's name of the strategy, such as `ROLLING` or `BLUE_GREEN`. `None` means `ROLLING`.
    pub strategy: Option<String>,
    /// The circuit breaker. `None` if it is off.
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// A port under which ECS registers each task with a load balancer.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LoadBalancer.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The ARN of the target group. For a blue/green service, also the ARN of the alternate target
    /// group: each task is in one of these two groups.
    pub groups: Vec<String>,
    pub container: Option<String>,
    /// The container's port. If tasks use the host's addresses, the target has the host's port
    /// instead.
    pub port: Option<u16>,
}

/// The settings of ECS's deployment circuit breaker.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// True if ECS rolls back to the last completed deployment by itself. If false, ECS keeps the
    /// failed deployment.
    pub rollback: bool,
}

impl ServiceState {
    pub fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }

    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }
}

/// The result of [`Ecs::start`] and [`Ecs::start_anew`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub deployment: Deployment,
    /// The service deployment that ECS's response names as current. This may still be the previous
    /// service deployment, so the caller must check the target revision of the service deployment.
    pub service_deployment: Option<String>,
}

/// The result of a read of several services. Each requested service is in one of the two lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    pub found: Vec<ServiceState>,
    /// The missing services, each by the name or ARN that the caller requested.
    pub missing: Vec<String>,
}

impl Ecs {
    /// Reads services of one cluster, by name or ARN.
    pub async fn services(&self, cluster: &str, names: &[String]) -> Result<Services, EcsError> {
        let call = Call::new("DescribeServices", format!("describe the services of cluster {cluster}"));
        let mut services = Services { found: Vec::with_capacity(names.len()), missing: Vec::new() };
        for asked in names.chunks(PER_DESCRIBE_SERVICES) {
            let answer = self
                .client
                .describe_services()
                .cluster(cluster)
                .set_services(Some(asked.to_vec()))
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            others_than_missing(&call, answer.failures())?;
            let found = answer.services().iter().map(service_state).collect::<Result<Vec<_>, _>>()?;
            for name in asked {
                if found.iter().any(|service| service.name == *name || service.arn == *name) {
                    continue;
                }
                let is_missing =
                    answer.failures().iter().filter_map(Failure::arn).any(|arn| is_of(arn, name));
                if !is_missing {
                    return Err(unmentioned(&call, name).into());
                }
                services.missing.push(name.clone());
            }
            services.found.extend(found);
        }
        Ok(services)
    }

    /// Starts a deployment of this task definition and returns the deployment. The request contains
    /// no other setting, so ECS changes no other setting of the service.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
    pub async fn start(
        &self,
        cluster: &str,
        service: &str,
        task_definition: &str,
    ) -> Result<Started, EcsError> {
        self.update(cluster, service, task_definition, None).await
    }

    /// Starts a new deployment even if the service already has this task definition. The new
    /// deployment replaces a deployment that does not complete.
    pub async fn start_anew(
        &self,
        cluster: &str,
        service: &str,
        task_definition: &str,
    ) -> Result<Started, EcsError> {
        self.update(cluster, service, task_definition, Some(true)).await
    }

    async fn update(
        &self,
        cluster: &str,
        service: &str,
        task_definition: &str,
        force: Option<bool>,
    ) -> Result<Started, EcsError> {
        let purpose = format!("update {cluster}/{service} to {task_definition}");
        let call = Call::new("UpdateService", purpose);
        let unanswered = Unanswered::default();
        let answer = self
            .client
            .update_service()
            .cluster(cluster)
            .service(service)
            .task_definition(task_definition)
            .set_force_new_deployment(force)
            .customize()
            .interceptor(unanswered.clone())
            .send()
            .await
            .map_err(|error| {
                let reason = FailedCall::from(error);
                // ECS cannot have updated a service that does not exist.
                let is_gone =
                    matches!(reason.code(), Some("ServiceNotActiveException" | "ServiceNotFoundException"));
                let in_doubt = unanswered.0.load(Ordering::Relaxed) || !reason.is_answered();
                let failed = call.failed(reason);
                if in_doubt && !is_gone { EcsError::InDoubt(failed) } else { EcsError::Call(failed) }
            })?;
        let lacks = || EcsError::InDoubt(call.lacks("primary deployment"));
        let updated = answer.service().ok_or_else(lacks)?;
        let primary = updated.deployments().iter().find(|d| d.status() == Some("PRIMARY"));
        Ok(Started {
            deployment: primary.and_then(deployment).ok_or_else(lacks)?,
            service_deployment: text(updated.current_service_deployment()),
        })
    }
}

/// A flag that is set if ECS may have carried out an attempt: the attempt got no response, or a
/// response with a status other than 4xx. The response to a later attempt does not clear the flag.
#[derive(Debug, Clone, Default)]
struct Unanswered(Arc<AtomicBool>);

#[dyn_dispatch_hint]
impl Intercept for Unanswered {
    fn name(&self) -> &'static str {
        "Unanswered"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let refused = context.response().is_some_and(|response| response.status().is_client_error());
        if !refused {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Returns true if a failure's ARN belongs to the service that the caller requested by this name or
/// ARN.
fn is_of(arn: &str, asked: &str) -> bool {
    arn == asked || arn.rsplit('/').next() == Some(asked)
}

fn service_state(service: &aws_sdk_ecs::types::Service) -> Result<ServiceState, CallError> {
    let what = service.service_arn().or(service.service_name()).unwrap_or("a service");
    let lacks = |member| Call::new("DescribeServices", format!("describe {what}")).lacks(member);
    let required = |value: Option<&str>, member| value.map(str::to_owned).ok_or_else(|| lacks(member));
    let controller = match service.deployment_controller().map(|controller| controller.r#type()) {
        None | Some(DeploymentControllerType::Ecs) => Controller::Ecs,
        Some(DeploymentControllerType::CodeDeploy) => Controller::CodeDeploy,
        Some(DeploymentControllerType::External) => Controller::External,
        Some(_) => return Err(lacks("deploymentController")),
    };
    let configuration = service.deployment_configuration();
    let breaker = configuration.and_then(|c| c.deployment_circuit_breaker()).filter(|b| b.enable());
    let deployments = service.deployments().iter().map(|d| deployment(d).ok_or_else(|| lacks("deployments")));
    Ok(ServiceState {
        arn: required(service.service_arn(), "serviceArn")?,
        name: required(service.service_name(), "serviceName")?,
        cluster: required(service.cluster_arn(), "clusterArn")?,
        status: required(service.status(), "status")?,
        controller,
        desired: count(service.desired_count()),
        running: count(service.running_count()),
        pending: count(service.pending_count()),
        task_definition: text(service.task_definition()),
        deployments: deployments.collect::<Result<_, _>>()?,
        service_deployment: text(service.current_service_deployment()),
        registrations: service.load_balancers().iter().filter_map(registration).collect(),
        classic_load_balancer: service
            .load_balancers()
            .iter()
            .any(|balancer| balancer.load_balancer_name().is_some()),
        on_fargate: on_fargate(service),
        daemon: service.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
        minimum_healthy_percent: configuration.and_then(|c| c.minimum_healthy_percent()).map(count),
        maximum_percent: configuration.and_then(|c| c.maximum_percent()).map(count),
        strategy: text(configuration.and_then(|c| c.strategy()).map(|strategy| strategy.as_str())),
        circuit_breaker: breaker.map(|breaker| CircuitBreaker { rollback: breaker.rollback() }),
    })
}

/// Returns whether a service's tasks run on Fargate, or `None` if ECS does not say. The launch type
/// decides. Without a launch type, the capacity providers decide. Without both, a platform version
/// means Fargate, because it is "only specified for tasks that are hosted on Fargate".
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html>
fn on_fargate(service: &aws_sdk_ecs::types::Service) -> Option<bool> {
    if let Some(kind) = service.launch_type() {
        return Some(kind.as_str() == "FARGATE");
    }
    let primary = service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    let of_primary = primary.map_or(&[][..], |primary| primary.capacity_provider_strategy());
    let mut providers = service.capacity_provider_strategy().iter().chain(of_primary).peekable();
    if providers.peek().is_some() {
        return Some(providers.all(|item| matches!(item.capacity_provider(), "FARGATE" | "FARGATE_SPOT")));
    }
    service.platform_version().filter(|version| !version.is_empty()).map(|_| true)
}

/// Converts a load balancer. Returns `None` for a Classic Load Balancer, which has no target
/// groups.
fn registration(balancer: &LoadBalancer) -> Option<Registration> {
    let alternate = balancer.advanced_configuration().and_then(|c| c.alternate_target_group_arn());
    let groups = [text(Some(balancer.target_group_arn()?)), text(alternate)];
    Some(Registration {
        groups: groups.into_iter().flatten().collect(),
        container: text(balancer.container_name()),
        port: port(balancer.container_port()),
    })
}

fn deployment(deployment: &aws_sdk_ecs::types::Deployment) -> Option<Deployment> {
    Some(Deployment {
        id: deployment.id()?.to_owned(),
        status: match deployment.status()? {
            "PRIMARY" => DeploymentStatus::Primary,
            "ACTIVE" => DeploymentStatus::Active,
            "INACTIVE" => DeploymentStatus::Inactive,
            _ => return None,
        },
        rollout_state: deployment.rollout_state().map(|state| match state {
            DeploymentRolloutState::Completed => RolloutState::Completed,
            DeploymentRolloutState::Failed => RolloutState::Failed,
            DeploymentRolloutState::InProgress => RolloutState::InProgress,
            _ => RolloutState::Unknown,
        }),
        rollout_reason: text(deployment.rollout_state_reason()),
        task_definition: deployment.task_definition()?.to_owned(),
        desired: count(deployment.desired_count()),
        running: count(deployment.running_count()),
        failed: count(deployment.failed_tasks()),
    })
}
