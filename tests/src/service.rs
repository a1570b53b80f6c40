//! An ECS service of real containers: the application's container and a sidecar.

use crate::ecs::{self, EcsService};
use serde_json::{Value, json};
use xtask::image::{Spec, build};
use xtask::podman::ECR_HOST;

use crate::{App, stack, until};

/// A running service. Dropping the value deletes the service.
pub struct ContainerService<'a> {
    app: &'a App,
    pub name: String,
    sidecar: String,
    sidecar_repository: String,
    role: String,
    port: u16,
}

impl App {
    /// Pushes an image that a container can run.
    #[track_caller]
    pub fn push_runnable(&self, tag: &str, spec: &Spec) -> String {
        self.push_image(Some(tag), &build(spec).expect("an image"))
    }

    /// Creates a service with one task that runs the image with this digest. Waits until the task
    /// runs.
    #[track_caller]
    pub fn service(&self, name: &str, digest: &str) -> ContainerService<'_> {
        self.service_on(
            name,
            digest,
            0,
            &json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": false } }),
        )
    }

    /// Creates a service with this deployment configuration. The application's container listens on
    /// `port` of the host. Port 0 means any free port.
    #[track_caller]
    pub fn service_on(
        &self,
        name: &str,
        digest: &str,
        port: u16,
        configuration: &Value,
    ) -> ContainerService<'_> {
        let cluster = json!({ "clusterName": self.plan.cluster });
        self.aws.ecs("CreateCluster", &cluster).expect("a cluster");
        let sidecar_repository = format!("{}-sidecar-{name}", self.plan.name);
        let repository = json!({ "repositoryName": sidecar_repository });
        self.aws.ecr("CreateRepository", &repository).expect("a repository");
        let image = build(&Spec::new("sidecar")).expect("an image");
        let sidecar = self
            .registry()
            .push(&sidecar_repository, Some("1"), &image)
            .expect("the registry accepts the sidecar");
        let service = ContainerService {
            app: self,
            name: name.to_owned(),
            sidecar: format!("{ECR_HOST}/{sidecar_repository}@{sidecar}"),
            sidecar_repository,
            role: ecs::task_role(&self.aws, &format!("{}-{name}", self.plan.name)).expect("a role"),
            port,
        };
        service.ecs().create(&service.register(digest), 1, configuration).expect("a service");
        service.runs(digest);
        service
    }

    /// Requests a rollback of the environment.
    #[track_caller]
    pub fn rollback(&self, body: &Value) -> (u16, Value) {
        self.api("POST", "/environments/production/rollback", Some(body))
    }

    /// Runs ticks until the rollback has ended. Returns the rollback's record.
    #[track_caller]
    pub fn rolled_back(&self, id: &str) -> Value {
        until("the rollback's end", || {
            self.tick();
            let record = self.rollback_record(id);
            let ended = !matches!(record["state"].as_str(), Some("Requested" | "InProgress"));
            ended.then_some(record)
        })
    }
}

impl ContainerService<'_> {
    #[track_caller]
    fn register(&self, digest: &str) -> String {
        let app = &self.app.plan;
        let container = |name: &str, image: &str, port: u16| {
            let mut container = ecs::container(name, image, port);
            container["cpu"] = json!(16);
            container["dockerLabels"] = json!({ "team": "a" });
            container["stopTimeout"] = json!(2);
            container
        };
        let containers = [
            container("web", &format!("{ECR_HOST}/{}@{digest}", app.repository), self.port),
            container("sidecar", &self.sidecar, 0),
        ];
        let family = format!("{}-{}", app.name, self.name);
        ecs::register(&self.app.aws, &family, [&self.role; 2], &containers).expect("a task definition")
    }

    fn ecs(&self) -> EcsService<'_> {
        EcsService { aws: &self.app.aws, cluster: &self.app.plan.cluster, name: &self.name }
    }

    /// Deploys a digest without Stablepin, as a person with AWS access does.
    #[track_caller]
    pub fn deploy_by_hand(&self, digest: &str) {
        self.ecs().update(json!({ "taskDefinition": self.register(digest) })).expect("ECS accepts it");
        self.runs(digest);
    }

    /// Disables the circuit breaker, so that ECS never ends a deployment if its tasks do not start.
    #[track_caller]
    pub fn never_gives_up(&self) {
        let breaker = json!({ "deploymentCircuitBreaker": { "enable": false, "rollback": false } });
        self.ecs().update(json!({ "deploymentConfiguration": breaker })).expect("ECS accepts it");
    }

    /// Waits until the application's containers in this service run this digest and no other
    /// digest.
    #[track_caller]
    pub fn runs(&self, digest: &str) {
        until(&format!("{} runs {digest}", self.name), || (self.running() == [digest]).then_some(()));
    }

    /// Returns the digests of the application's containers that run according to both ECS and
    /// Podman.
    #[track_caller]
    pub fn running(&self) -> Vec<String> {
        self.containers("web")
    }

    /// Returns the digests of the sidecars that run according to both ECS and Podman.
    #[track_caller]
    pub fn sidecars(&self) -> Vec<String> {
        self.containers("sidecar")
    }

    #[track_caller]
    fn containers(&self, name: &str) -> Vec<String> {
        let tasks = self.ecs().tasks("RUNNING").expect("ECS answers");
        let running = tasks.iter().filter(|task| task["lastStatus"] == "RUNNING");
        let containers = running.flat_map(ecs::containers).filter(|container| container["name"] == name);
        let digest = |container: &Value| container["imageDigest"].as_str().unwrap_or_default().to_owned();
        let mut digests: Vec<_> = containers.map(digest).collect();
        if let Some(engine) = stack().engine() {
            // ECS may report a container that does not run, so the test compares with Podman's
            // containers.
            let running = engine.running().expect("the engine answers");
            let of_service = |arn: &str| tasks.iter().any(|task| task["taskArn"] == arn);
            let ours = running.iter().filter(|one| one.task_arn.as_deref().is_some_and(of_service));
            let real: Vec<_> = ours.filter_map(|one| one.digest()).collect();
            digests.retain(|digest| real.contains(&digest.as_str()));
        }
        digests
    }

    /// Returns the ARN of the service's task definition.
    #[track_caller]
    pub fn revision(&self) -> String {
        self.ecs().revision().expect("ECS answers")
    }

    /// Returns the service's task definition without the fields that ECS sets at the registration.
    #[track_caller]
    pub fn task_definition(&self) -> Value {
        let mut definition = self.ecs().task_definition().expect("ECS answers");
        for numbered in ["revision", "taskDefinitionArn", "registeredAt", "registeredBy"] {
            if let Some(fields) = definition.as_object_mut() {
                fields.remove(numbered);
            }
        }
        definition
    }
}

impl Drop for ContainerService<'_> {
    fn drop(&mut self) {
        let delete = json!({ "cluster": self.app.plan.cluster, "service": self.name, "force": true });
        // After a failed test, this cleanup may fail too.
        let _ = self.app.aws.ecs("DeleteService", &delete);
        let repository = json!({ "repositoryName": self.sidecar_repository, "force": true });
        let _ = self.app.aws.ecr("DeleteRepository", &repository);
    }
}
