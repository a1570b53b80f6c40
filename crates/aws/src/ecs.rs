//! Amazon ECS: services, their deployments and tasks, and task definitions.

mod answer;
mod client;
mod error;
mod in_use;
mod service;
mod service_deployment;
mod task;
mod task_definition;

pub use client::Ecs;
pub use error::EcsError;
pub use in_use::{
    DaemonInUse, NamedImage, PER_DESCRIBE_REVISIONS, PER_DESCRIBE_SERVICES, PER_DESCRIBE_TASKS,
    RevisionInUse, ServiceInUse, TaskInUse, Wanted,
};
pub use service::{
    CircuitBreaker, Controller, Deployment, DeploymentStatus, Registration, RolloutState, ServiceState,
    Services, Started,
};
pub use service_deployment::{
    BreakerCount, ListedServiceDeployment, Pause, RevisionImage, Rollback, ServiceDeployment,
    ServiceDeploymentStatus, ServiceRevision,
};
pub use task::{Binding, Container, Health, Task};
pub use task_definition::RawTaskDefinition;
