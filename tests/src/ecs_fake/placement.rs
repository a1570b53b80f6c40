//! Creates the tasks of a service.

use super::home::EcsHome;
use super::service::StoredService;
use super::task::{Last, StoredTask, TaskContainer, TaskHealth};
use super::task_definition::StoredTaskDefinition;

impl StoredTask {
    pub(super) fn new(
        home: &mut EcsHome,
        service: &StoredService,
        definition: &str,
        deployment: &str,
    ) -> Option<Self> {
        let id = home.clock.hex();
        let number = service.tasks.len();
        let arn = home.arn(&format!("task/{}/{id}", service.cluster));
        let interface = (
            home.clock.uuid(),
            format!("10.{}.{}.{}", number / 62_500, number / 250 % 250, number % 250 + 4),
        );
        let container_ids: Vec<_> = (0..10).map(|_| home.clock.uuid()).collect();
        let created_at = home.clock.stamp();
        let of: &StoredTaskDefinition = home.definitions.by_arn(definition)?;
        let containers = of.containers().iter().zip(container_ids).map(|(container, uuid)| TaskContainer {
            arn: home.arn(&format!("container/{}/{id}/{uuid}", service.cluster)),
            name: container["name"].as_str().unwrap_or_default().to_owned(),
            image: container["image"].as_str().unwrap_or_default().to_owned(),
            reports: None,
            essential: container["essential"].as_bool().unwrap_or(true),
            checked: container["healthCheck"].is_object(),
            health: TaskHealth::Unknown,
            ended: false,
            exit_code: None,
            reason: None,
        });
        Some(Self {
            containers: containers.collect(),
            arn,
            definition: definition.to_owned(),
            family: of.members["family"].as_str().unwrap_or_default().to_owned(),
            deployment: deployment.to_owned(),
            service: service.name.clone(),
            cluster_arn: service.cluster_arn.clone(),
            launch_type: service.launch_type.clone(),
            last: Last::Pending,
            wanted: true,
            interface: of.is_awsvpc().then_some(interface),
            created_at,
            started_at: None,
            stopping_at: None,
            stopped_at: None,
            stop: None,
            version: 1,
        })
    }
}
