//! Describes a service before the test creates it.

use serde_json::{Map, Value, json};

use super::by_test::{Ecs, Service};
use super::service::ControllerKind;
use super::stage::Stage;
use super::world::EcsWorld;
use crate::fake::input::{Input, Refused};

/// The deployment strategy.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Rolling,
    BlueGreen,
    /// Half of the traffic shifts first, and the other half later.
    Linear,
    Canary,
}

/// The description of a new service. By default, the service has one essential container, one task
/// on Fargate, and no circuit breaker.
#[must_use = "only create() creates the service"]
pub struct NewService<'a> {
    ecs: &'a Ecs,
    cluster: String,
    name: String,
    desired: u32,
    daemon: bool,
    controller: ControllerKind,
    configuration: Map<String, Value>,
    containers: Vec<Value>,
    bridge: bool,
    definition: Option<String>,
    definition_members: Map<String, Value>,
    tags: Vec<Value>,
    load_balancers: Vec<Value>,
    drains: u32,
    settled: bool,
}

impl<'a> Service<'a> {
    /// Describes a new service with one container of this image.
    pub fn runs(&self, image: &str) -> NewService<'a> {
        NewService::new(self.ecs, &self.cluster, &self.name, image)
    }
}

impl<'a> NewService<'a> {
    pub(super) fn new(ecs: &'a Ecs, cluster: &str, name: &str, image: &str) -> Self {
        Self {
            ecs,
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            desired: 1,
            daemon: false,
            controller: ControllerKind::Ecs,
            configuration: Map::new(),
            containers: Vec::new(),
            bridge: false,
            definition: None,
            definition_members: Map::new(),
            tags: Vec::new(),
            load_balancers: Vec::new(),
            drains: 0,
            settled: true,
        }
        .container(name, image)
    }

    fn configured(mut self, member: &str, value: Value) -> Self {
        self.configuration.insert(member.to_owned(), value);
        self
    }

    /// Adds a container. The first container has the name of the service.
    pub fn container(mut self, name: &str, image: &str) -> Self {
        self.containers.push(json!({ "name": name, "image": image, "essential": true, "memory": 64 }));
        self
    }

    /// Adds these fields to the most recently added container.
    pub fn container_with(mut self, members: &Value) -> Self {
        let container =
            self.containers.last_mut().and_then(Value::as_object_mut).expect("the service has a container");
        container.extend(members.as_object().cloned().expect("members are an object"));
        self
    }

    pub fn desired(mut self, desired: u32) -> Self {
        self.desired = desired;
        self
    }

    /// Makes the service a daemon service with one task on each instance. `instances` is the number
    /// of instances.
    pub fn daemon(mut self, instances: u32) -> Self {
        (self.daemon, self.desired, self.bridge) = (true, instances, true);
        self
    }

    pub fn controller(mut self, controller: ControllerKind) -> Self {
        self.controller = controller;
        self
    }

    /// Enables the circuit breaker, with or without automatic rollback.
    pub fn circuit_breaker(self, rollback: bool) -> Self {
        self.configured("deploymentCircuitBreaker", json!({ "enable": true, "rollback": rollback }))
    }

    pub fn alarms(self, names: &[&str], rollback: bool) -> Self {
        self.configured("alarms", json!({ "enable": true, "rollback": rollback, "alarmNames": names }))
    }

    pub fn percent(self, minimum_healthy: u32, maximum: u32) -> Self {
        let minimum = self.configured("minimumHealthyPercent", json!(minimum_healthy));
        minimum.configured("maximumPercent", json!(maximum))
    }

    pub fn strategy(self, strategy: Strategy) -> Self {
        let name = |name: &str| json!(name);
        match strategy {
            Strategy::Rolling => self.configured("strategy", name("ROLLING")),
            Strategy::BlueGreen => self.configured("strategy", name("BLUE_GREEN")),
            Strategy::Linear => self.configured("strategy", name("LINEAR")).configured(
                "linearConfiguration",
                json!({ "stepPercent": 50.0, "stepBakeTimeInMinutes": 1 }),
            ),
            Strategy::Canary => self.configured("strategy", name("CANARY")).configured(
                "canaryConfiguration",
                json!({ "canaryPercent": 5.0, "canaryBakeTimeInMinutes": 1 }),
            ),
        }
    }

    /// Adds a pause hook with a timeout in minutes. After the timeout, ECS continues the deployment
    /// if `then_continues` is true. Otherwise ECS rolls the deployment back.
    pub fn pauses_at(mut self, stage: Stage, minutes: u32, then_continues: bool) -> Self {
        let action = if then_continues { "CONTINUE" } else { "ROLLBACK" };
        let hook = json!({
            "targetType": "PAUSE",
            "lifecycleStages": [stage.as_str()],
            "timeoutConfiguration": { "timeoutInMinutes": minutes, "action": action },
        });
        let hooks = self.configuration.entry("lifecycleHooks").or_insert_with(|| json!([]));
        if let Some(hooks) = hooks.as_array_mut() {
            hooks.push(hook);
        }
        self
    }

    /// Enables early success: a deployment becomes `SUCCESSFUL` when this percentage of the tasks
    /// is healthy. Afterwards, ECS starts the other new tasks and stops the old tasks.
    pub fn early_success(self, healthy_percent: u32) -> Self {
        let criteria = json!({
            "enable": true, "healthyPercent": healthy_percent, "sourceServiceRevisionCleanup": "DEFERRED",
        });
        self.configured("earlySuccessCriteria", criteria)
    }

    /// Adds a target group for port 8080 of the first container.
    pub fn target_group(mut self, arn: &str) -> Self {
        let balancer = json!({ "targetGroupArn": arn, "containerName": self.name, "containerPort": 8080 });
        self.load_balancers.push(balancer);
        self
    }

    /// Adds a health check to every existing container.
    pub fn health_check(mut self) -> Self {
        for container in &mut self.containers {
            container["healthCheck"] = json!({ "command": ["CMD-SHELL", "true"], "interval": 5 });
        }
        self
    }

    /// Runs the tasks on EC2 instances in bridge mode, without separate network interfaces.
    pub fn bridge(mut self) -> Self {
        self.bridge = true;
        self
    }

    /// Adds a tag to the task definition. Also accepts tags that begin with `aws:`, as
    /// CloudFormation sets them.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push(json!({ "key": key, "value": value }));
        self
    }

    /// Adds a field to the task definition. The fake also accepts unknown fields.
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.definition_members.insert(member.to_owned(), value);
        self
    }

    /// Uses an existing revision of a task definition instead of registering a new revision.
    pub fn of_revision(mut self, task_definition: &str) -> Self {
        self.definition = Some(task_definition.to_owned());
        self
    }

    /// Lets the tasks of a replaced deployment run for this number of additional steps.
    pub fn drains_for(mut self, steps: u32) -> Self {
        self.drains = steps;
        self
    }

    /// Leaves the first deployment in progress, so that the service has no completed deployment.
    pub fn not_settled(mut self) -> Self {
        self.settled = false;
        self
    }

    #[track_caller]
    pub fn create(self) -> Service<'a> {
        let service = self.ecs.service(&format!("{}/{}", self.cluster, self.name));
        let created = self.put(&mut self.ecs.world());
        created.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
        service
    }

    fn put(&self, world: &mut EcsWorld) -> Result<(), Refused> {
        world.clusters.insert(self.cluster.clone());
        let definition = match &self.definition {
            Some(definition) => definition.clone(),
            None => world.home.registered_by_aws(&self.definition_members())?,
        };
        let launch_type = if self.bridge { "EC2" } else { "FARGATE" };
        let mut request = json!({
            "cluster": self.cluster,
            "serviceName": self.name,
            "launchType": launch_type,
            "schedulingStrategy": if self.daemon { "DAEMON" } else { "REPLICA" },
            "deploymentConfiguration": self.configuration,
            "deploymentController": { "type": self.controller.as_str() },
        });
        if !self.daemon {
            request["desiredCount"] = json!(self.desired);
        }
        if self.controller != ControllerKind::External {
            request["taskDefinition"] = json!(definition);
        }
        if !self.load_balancers.is_empty() {
            request["loadBalancers"] = json!(self.load_balancers);
        }
        if !self.bridge {
            request["networkConfiguration"] = json!({ "awsvpcConfiguration": { "subnets": ["subnet-0a1b2c3d"], "assignPublicIp": "DISABLED" } });
        }
        let members = request.as_object().cloned().unwrap_or_default();
        world.create_service(&Input { operation: "CreateService", members: &members })?;
        let EcsWorld { services, home, .. } = world;
        let Some(service) = services.last_mut() else { return Ok(()) };
        service.desired = self.desired;
        if self.controller == ControllerKind::External {
            // With an external deployment controller, each task set has its own task definition.
            service.definition = None;
        }
        if self.settled {
            // This function sets `drains` only after this loop, so that the first deployment
            // completes without draining.
            while service.rollouts.last().is_some_and(|last| !last.has_ended()) {
                let paused = service.rollouts.last().and_then(|last| {
                    last.hooks
                        .iter()
                        .find(|hook| hook.status == "AWAITING_ACTION")
                        .map(|hook| hook.id.clone())
                });
                if let Some(hook) = paused {
                    service.settle_hook(home, &hook, "SUCCEEDED", true);
                }
                service.advance(home);
            }
            home.events.clear();
        }
        service.drains = self.drains;
        Ok(())
    }

    fn definition_members(&self) -> Map<String, Value> {
        let mut members = json!({
            "family": self.name,
            "containerDefinitions": self.containers,
            "cpu": "256",
            "memory": "512",
            "networkMode": if self.bridge { "bridge" } else { "awsvpc" },
            "requiresCompatibilities": [if self.bridge { "EC2" } else { "FARGATE" }],
            "taskRoleArn": "arn:aws:iam::000000000000:role/task",
            "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
            "tags": self.tags,
        });
        for (member, value) in &self.definition_members {
            members[member] = value.clone();
        }
        members.as_object().cloned().unwrap_or_default()
    }
}
