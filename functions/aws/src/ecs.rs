//! Amazon ECS: services, their deployments, their tasks, task definitions.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::update_service::UpdateServiceError;
use aws_sdk_ecs::types::{
    DeploymentControllerType, DeploymentRolloutState, DesiredStatus, Failure, HealthStatus,
    TaskDefinitionField,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use stablepin_core::image::ImageDigest;

use crate::failed_call::FailedCall;
use crate::session::Session;

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
const PER_DESCRIBE_SERVICES: usize = 10;
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const PER_DESCRIBE_TASKS: usize = 100;

/// The services of the session's account and region.
#[derive(Debug, Clone)]
pub struct Ecs {
    client: Client,
}

/// Which controller carries a service's deployments out. Only ECS's own is ours to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    Ecs,
    CodeDeploy,
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// The most recent.
    Primary,
    /// Still has tasks, on its way out.
    Active,
    Inactive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    Completed,
    InProgress,
    Failed,
    /// One that this program does not know: still going, neither success nor failure.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Such as `ecs-svc/1234567890123456789`; tasks that it started name it as `startedBy`.
    pub id: String,
    pub status: DeploymentStatus,
    pub rollout_state: Option<RolloutState>,
    pub rollout_reason: Option<String>,
    /// ARN with revision.
    pub task_definition: String,
    pub desired: u32,
    pub running: u32,
    /// Consecutive tasks that did not start or did not become healthy.
    pub failed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    pub arn: String,
    pub name: String,
    /// The cluster's ARN.
    pub cluster: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    pub controller: Controller,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    /// ARN with revision. None for a service whose task sets have their own.
    pub task_definition: Option<String>,
    pub deployments: Vec<Deployment>,
}

impl ServiceState {
    pub fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }

    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }
}

/// Each service that was asked for is in one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Services {
    pub found: Vec<ServiceState>,
    /// As they were asked for.
    pub missing: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Unhealthy,
    /// No container has a health check, or none has answered yet.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub image: Option<String>,
    /// What was pulled. None before that, and where the agent does not report it.
    pub digest: Option<ImageDigest>,
    pub last_status: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub arn: String,
    /// ARN with revision.
    pub task_definition: String,
    /// The id of the deployment that started it.
    pub started_by: Option<String>,
    pub last_status: String,
    pub desired_status: String,
    pub health: Health,
    pub containers: Vec<Container>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
}

/// A task definition as ECS answered it, with members that this program does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTaskDefinition {
    pub arn: String,
    pub described: Value,
    /// A list of keys and values.
    pub tags: Value,
    /// A service can only be updated to one that is `ACTIVE`.
    pub status: String,
}

#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    #[error("could not describe the services of cluster {cluster} (DescribeServices)")]
    DescribeServices {
        cluster: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not list the tasks of {cluster}/{service} (ListTasks)")]
    ListTasks {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not describe the tasks of {cluster}/{service} (DescribeTasks)")]
    DescribeTasks {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("ECS left {what} out of its answer to {operation}: {reason}")]
    LeftOut { operation: &'static str, what: String, reason: String },
    #[error("could not describe the task definition {task_definition} (DescribeTaskDefinition)")]
    DescribeTaskDefinition {
        task_definition: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not register a revision of the task definition {family} (RegisterTaskDefinition)")]
    RegisterTaskDefinition {
        family: String,
        #[source]
        source: FailedCall,
    },
    #[error("could not update {cluster}/{service} to {task_definition} (UpdateService)")]
    UpdateService {
        cluster: String,
        service: String,
        task_definition: String,
        #[source]
        source: FailedCall,
    },
    #[error("there is no active service {cluster}/{service} to update")]
    ServiceNotActive {
        cluster: String,
        service: String,
        #[source]
        source: FailedCall,
    },
    #[error("ECS's answer to {operation} about {what} has no valid {member}")]
    Answer { operation: &'static str, what: String, member: &'static str },
    #[error("ECS's answer to DescribeTaskDefinition about {task_definition} is not valid")]
    Json {
        task_definition: String,
        #[source]
        source: serde_json::Error,
    },
}

impl EcsError {
    /// Whether the same call may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DescribeServices { source, .. }
            | Self::ListTasks { source, .. }
            | Self::DescribeTasks { source, .. }
            | Self::DescribeTaskDefinition { source, .. }
            | Self::RegisterTaskDefinition { source, .. }
            | Self::UpdateService { source, .. } => source.is_retryable(),
            Self::LeftOut { .. }
            | Self::ServiceNotActive { .. }
            | Self::Answer { .. }
            | Self::Json { .. } => false,
        }
    }
}

impl Ecs {
    pub fn new(session: &Session) -> Self {
        Self { client: session.ecs() }
    }

    /// Services of one cluster, by name or ARN.
    pub async fn services(&self, cluster: &str, names: &[String]) -> Result<Services, EcsError> {
        const OPERATION: &str = "DescribeServices";
        let mut services = Services { found: Vec::with_capacity(names.len()), missing: Vec::new() };
        for asked in names.chunks(PER_DESCRIBE_SERVICES) {
            let answer = self
                .client
                .describe_services()
                .cluster(cluster)
                .set_services(Some(asked.to_vec()))
                .send()
                .await
                .map_err(|error| EcsError::DescribeServices {
                    cluster: cluster.to_owned(),
                    source: FailedCall::new(error),
                })?;
            others_than_missing(OPERATION, answer.failures())?;
            let found = answer.services().iter().map(service_state).collect::<Result<Vec<_>, _>>()?;
            for name in asked {
                if found.iter().any(|service| service.name == *name || service.arn == *name) {
                    continue;
                }
                let told = answer.failures().iter().filter_map(Failure::arn).any(|arn| is_of(arn, name));
                if !told {
                    return Err(EcsError::LeftOut {
                        operation: OPERATION,
                        what: format!("{cluster}/{name}"),
                        reason: "it is neither found nor missing".to_owned(),
                    });
                }
                services.missing.push(name.clone());
            }
            services.found.extend(found);
        }
        Ok(services)
    }

    /// The tasks of a service that run or should: those that ECS has not decided to stop.
    pub async fn running(&self, cluster: &str, service: &str) -> Result<Vec<Task>, EcsError> {
        self.tasks(cluster, service, DesiredStatus::Running).await
    }

    /// The tasks of a service that stopped, or that ECS is stopping. ECS forgets them after about an hour.
    pub async fn stopped(&self, cluster: &str, service: &str) -> Result<Vec<Task>, EcsError> {
        self.tasks(cluster, service, DesiredStatus::Stopped).await
    }

    async fn tasks(
        &self,
        cluster: &str,
        service: &str,
        desired: DesiredStatus,
    ) -> Result<Vec<Task>, EcsError> {
        const OPERATION: &str = "DescribeTasks";
        let mut arns = Vec::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .list_tasks()
                .cluster(cluster)
                .service_name(service)
                .desired_status(desired.clone())
                .set_next_token(page)
                .send()
                .await
                .map_err(|error| EcsError::ListTasks {
                    cluster: cluster.to_owned(),
                    service: service.to_owned(),
                    source: FailedCall::new(error),
                })?;
            arns.extend(answer.task_arns().iter().cloned());
            page = answer.next_token;
            if page.is_none() {
                break;
            }
        }
        let mut tasks = Vec::with_capacity(arns.len());
        for arns in arns.chunks(PER_DESCRIBE_TASKS) {
            let answer = self
                .client
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(arns.to_vec()))
                .send()
                .await
                .map_err(|error| EcsError::DescribeTasks {
                    cluster: cluster.to_owned(),
                    service: service.to_owned(),
                    source: FailedCall::new(error),
                })?;
            // Missing is a task that ended and was forgotten between the two calls.
            others_than_missing(OPERATION, answer.failures())?;
            for described in answer.tasks() {
                tasks.push(task(described)?);
            }
            if answer.tasks().len() + answer.failures().len() < arns.len() {
                return Err(EcsError::LeftOut {
                    operation: OPERATION,
                    what: format!("tasks of {cluster}/{service}"),
                    reason: "they are neither found nor missing".to_owned(),
                });
            }
        }
        Ok(tasks)
    }

    /// A task definition by ARN, or `family:revision`, or `family` for its newest active revision.
    ///
    /// It is the JSON that ECS sent: the SDK's types would drop what they do not know.
    pub async fn task_definition(&self, task_definition: &str) -> Result<RawTaskDefinition, EcsError> {
        let body = Body::default();
        self.client
            .describe_task_definition()
            .task_definition(task_definition)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(body.clone())
            .send()
            .await
            .map_err(|error| EcsError::DescribeTaskDefinition {
                task_definition: task_definition.to_owned(),
                source: FailedCall::new(error),
            })?;
        let mut answer: Value = serde_json::from_slice(&body.take())
            .map_err(|source| EcsError::Json { task_definition: task_definition.to_owned(), source })?;
        let lacks = |member| EcsError::Answer {
            operation: "DescribeTaskDefinition",
            what: task_definition.to_owned(),
            member,
        };
        let described =
            answer.get_mut("taskDefinition").map(Value::take).ok_or_else(|| lacks("taskDefinition"))?;
        let text = |member| described.get(member).and_then(Value::as_str).map(str::to_owned);
        Ok(RawTaskDefinition {
            arn: text("taskDefinitionArn").ok_or_else(|| lacks("taskDefinitionArn"))?,
            status: text("status").ok_or_else(|| lacks("status"))?,
            tags: answer.get_mut("tags").map(Value::take).unwrap_or_default(),
            described,
        })
    }

    /// Registers a revision with exactly this JSON, and gives its ARN.
    ///
    /// There is no client token: a call that timed out may have registered a revision that nobody uses.
    pub async fn register(&self, request: &Value) -> Result<String, EcsError> {
        let family = request.get("family").and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = request.to_string();
        let answer = self
            .client
            .register_task_definition()
            .family(&family)
            .customize()
            // Before the request is signed: length and hash are those of what is sent.
            .mutate_request(move |request| {
                request.headers_mut().insert("content-length", body.len().to_string());
                *request.body_mut() = SdkBody::from(body.as_str());
            })
            .send()
            .await
            .map_err(|error| EcsError::RegisterTaskDefinition {
                family: family.clone(),
                source: FailedCall::new(error),
            })?;
        answer
            .task_definition()
            .and_then(|definition| definition.task_definition_arn())
            .map(str::to_owned)
            .ok_or(EcsError::Answer {
                operation: "RegisterTaskDefinition",
                what: family,
                member: "taskDefinitionArn",
            })
    }

    /// Starts a deployment of this task definition, and gives it. Everything else of the service stays as it is:
    /// what is not sent is not changed.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
    pub async fn update(
        &self,
        cluster: &str,
        service: &str,
        task_definition: &str,
    ) -> Result<Deployment, EcsError> {
        let answer = self
            .client
            .update_service()
            .cluster(cluster)
            .service(service)
            .task_definition(task_definition)
            .send()
            .await
            .map_err(|error| {
                let gone = matches!(
                    error.as_service_error(),
                    Some(
                        UpdateServiceError::ServiceNotActiveException(_)
                            | UpdateServiceError::ServiceNotFoundException(_)
                    )
                );
                let (cluster, service) = (cluster.to_owned(), service.to_owned());
                let source = FailedCall::new(error);
                if gone {
                    EcsError::ServiceNotActive { cluster, service, source }
                } else {
                    let task_definition = task_definition.to_owned();
                    EcsError::UpdateService { cluster, service, task_definition, source }
                }
            })?;
        let deployments = answer.service().map(|service| service.deployments()).unwrap_or_default();
        let lacks = || EcsError::Answer {
            operation: "UpdateService",
            what: format!("{cluster}/{service}"),
            member: "primary deployment",
        };
        let primary = deployments.iter().find(|d| d.status() == Some("PRIMARY")).ok_or_else(lacks)?;
        deployment(primary).ok_or_else(lacks)
    }
}

/// Fails at a failure that says something else than "there is none".
fn others_than_missing(operation: &'static str, failures: &[Failure]) -> Result<(), EcsError> {
    match failures.iter().find(|failure| failure.reason() != Some("MISSING")) {
        None => Ok(()),
        Some(failure) => Err(EcsError::LeftOut {
            operation,
            what: failure.arn().unwrap_or("something").to_owned(),
            reason: match (failure.reason(), failure.detail()) {
                (Some(reason), Some(detail)) => format!("{reason}, {detail}"),
                (Some(text), None) | (None, Some(text)) => text.to_owned(),
                (None, None) => "no reason given".to_owned(),
            },
        }),
    }
}

/// Whether a failure's ARN is that of a service asked for by name or ARN.
fn is_of(arn: &str, asked: &str) -> bool {
    arn == asked || arn.rsplit('/').next() == Some(asked)
}

/// What a member says, if it says anything.
fn text(value: Option<&str>) -> Option<String> {
    value.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn service_state(service: &aws_sdk_ecs::types::Service) -> Result<ServiceState, EcsError> {
    let what = service.service_arn().or(service.service_name()).unwrap_or("a service");
    let lacks = |member| EcsError::Answer { operation: "DescribeServices", what: what.to_owned(), member };
    let required = |value: Option<&str>, member| value.map(str::to_owned).ok_or_else(|| lacks(member));
    let controller = match service.deployment_controller().map(|controller| controller.r#type()) {
        None | Some(DeploymentControllerType::Ecs) => Controller::Ecs,
        Some(DeploymentControllerType::CodeDeploy) => Controller::CodeDeploy,
        Some(DeploymentControllerType::External) => Controller::External,
        Some(_) => return Err(lacks("deploymentController")),
    };
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

fn task(task: &aws_sdk_ecs::types::Task) -> Result<Task, EcsError> {
    let what = task.task_arn().unwrap_or("a task");
    let lacks = |member| EcsError::Answer { operation: "DescribeTasks", what: what.to_owned(), member };
    let required = |value: Option<&str>, member| value.map(str::to_owned).ok_or_else(|| lacks(member));
    let containers = task.containers().iter().map(|container| {
        Ok(Container {
            name: required(container.name(), "container name")?,
            image: text(container.image()),
            digest: container.image_digest().and_then(|digest| ImageDigest::parse(digest).ok()),
            last_status: text(container.last_status()),
            exit_code: container.exit_code(),
            reason: text(container.reason()),
        })
    });
    Ok(Task {
        arn: required(task.task_arn(), "taskArn")?,
        task_definition: required(task.task_definition_arn(), "taskDefinitionArn")?,
        started_by: text(task.started_by()),
        last_status: required(task.last_status(), "lastStatus")?,
        desired_status: required(task.desired_status(), "desiredStatus")?,
        health: match task.health_status() {
            Some(HealthStatus::Healthy) => Health::Healthy,
            Some(HealthStatus::Unhealthy) => Health::Unhealthy,
            _ => Health::Unknown,
        },
        containers: containers.collect::<Result<_, _>>()?,
        stop_code: text(task.stop_code().map(|code| code.as_str())),
        stopped_reason: text(task.stopped_reason()),
    })
}

/// Keeps the bytes of the answer that the operation was read from.
#[derive(Debug, Clone, Default)]
struct Body(Arc<Mutex<Vec<u8>>>);

impl Body {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().ok_or("the answer's body is not in memory")?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        Ok(())
    }
}
