//! An ECS service of real containers: the application's own, and a foreign sidecar.

use serde_json::{Value, json};
use xtask::image::{PORT, Spec, build};
use xtask::podman::ECR_HOST;

use crate::{App, stack, until};

/// A running service. Dropping it deletes it.
pub struct Service<'a> {
    app: &'a App,
    pub name: String,
    sidecar: String,
    sidecar_repository: String,
    role: String,
    port: u16,
}

impl App {
    /// Pushes an image that can run.
    #[track_caller]
    pub fn push_runnable(&self, tag: &str, spec: &Spec) -> String {
        self.push_image(Some(tag), &build(spec).expect("an image"))
    }

    /// Creates a service with one task at the digest and waits until it runs.
    #[track_caller]
    pub fn service(&self, name: &str, digest: &str) -> Service<'_> {
        self.service_on(
            name,
            digest,
            0,
            &json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": false } }),
        )
    }

    /// Creates a service on a port of the host, where 0 means any port, with this deployment
    /// configuration.
    #[track_caller]
    pub fn service_on(&self, name: &str, digest: &str, port: u16, configuration: &Value) -> Service<'_> {
        let cluster = json!({ "clusterName": self.plan.cluster });
        self.aws.ecs("CreateCluster", &cluster).expect("a cluster");
        let sidecar_repository = format!("{}-sidecar-{name}", self.plan.name);
        let repository = json!({ "repositoryName": sidecar_repository });
        self.aws.ecr("CreateRepository", &repository).expect("a repository");
        let image = build(&Spec::new("sidecar")).expect("an image");
        let sidecar = self
            .registry()
            .push(&sidecar_repository, Some("1"), &image)
            .expect("the registry takes the sidecar");
        let service = Service {
            app: self,
            name: name.to_owned(),
            sidecar: format!("{ECR_HOST}/{sidecar_repository}@{sidecar}"),
            sidecar_repository,
            role: self.task_role(name),
            port,
        };
        let create = json!({
            "cluster": self.plan.cluster,
            "serviceName": name,
            "taskDefinition": service.register(digest),
            "desiredCount": 1,
            "launchType": "EC2",
            "deploymentConfiguration": configuration,
        });
        self.aws.ecs("CreateService", &create).expect("a service");
        service.runs(digest);
        service
    }

    #[track_caller]
    fn task_role(&self, service: &str) -> String {
        let name = format!("{}-{service}", self.plan.name);
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" },
                "Action": "sts:AssumeRole",
            }],
        });
        let request = [
            ("Action", "CreateRole"),
            ("Version", "2010-05-08"),
            ("RoleName", &name),
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ];
        self.aws.query("iam", &request).expect("a role");
        format!("arn:aws:iam::000000000000:role/{name}")
    }

    /// Requests a rollback of the environment.
    #[track_caller]
    pub fn rollback(&self, body: &Value) -> (u16, Value) {
        self.api("POST", "/environments/production/rollback", Some(body))
    }

    /// Ticks until the rollback has ended. Returns its record.
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

impl Service<'_> {
    #[track_caller]
    fn register(&self, digest: &str) -> String {
        let app = &self.app.plan;
        let container = |name: &str, image: &str, port: u16| {
            json!({
                "name": name, "image": image, "essential": true, "memory": 64, "cpu": 16,
                "portMappings": [{ "containerPort": PORT, "hostPort": port, "protocol": "tcp" }],
                "environment": [{ "name": "TIER", "value": "production" }],
                "dockerLabels": { "team": "a" }, "stopTimeout": 2,
            })
        };
        let definition = json!({
            "family": format!("{}-{}", app.name, self.name),
            "networkMode": "bridge",
            "requiresCompatibilities": ["EC2"],
            "taskRoleArn": self.role,
            "executionRoleArn": self.role,
            "containerDefinitions": [
                container("web", &format!("{ECR_HOST}/{}@{digest}", app.repository), self.port),
                container("sidecar", &self.sidecar, 0),
            ],
        });
        let answer = self.app.aws.ecs("RegisterTaskDefinition", &definition).expect("a task definition");
        answer["taskDefinition"]["taskDefinitionArn"].as_str().expect("an ARN").to_owned()
    }

    /// Deploys a digest without Stablepin, as another user does.
    #[track_caller]
    pub fn deploy_by_hand(&self, digest: &str) {
        let update = json!({
            "cluster": self.app.plan.cluster, "service": self.name, "taskDefinition": self.register(digest),
        });
        self.app.aws.ecs("UpdateService", &update).expect("ECS takes it");
        self.runs(digest);
    }

    /// Removes the circuit breaker, so that ECS never ends a deployment whose tasks do not start.
    #[track_caller]
    pub fn never_gives_up(&self) {
        let update = json!({
            "cluster": self.app.plan.cluster, "service": self.name,
            "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": false, "rollback": false } },
        });
        self.app.aws.ecs("UpdateService", &update).expect("ECS takes it");
    }

    /// Waits until the application's containers of this service run only this digest.
    #[track_caller]
    pub fn runs(&self, digest: &str) {
        until(&format!("{} runs {digest}", self.name), || (self.running() == [digest]).then_some(()));
    }

    /// Returns the digests of the application's running containers.
    /// ECS reports them, and Podman confirms them.
    #[track_caller]
    pub fn running(&self) -> Vec<String> {
        self.containers("web")
    }

    /// Returns the digests of the running sidecars.
    #[track_caller]
    pub fn sidecars(&self) -> Vec<String> {
        self.containers("sidecar")
    }

    #[track_caller]
    fn containers(&self, name: &str) -> Vec<String> {
        let cluster = &self.app.plan.cluster;
        let list = json!({ "cluster": cluster, "serviceName": self.name, "desiredStatus": "RUNNING" });
        let listed = self.app.aws.ecs("ListTasks", &list).expect("ECS answers");
        if listed["taskArns"].as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let describe = json!({ "cluster": cluster, "tasks": listed["taskArns"] });
        let tasks = self.app.aws.ecs("DescribeTasks", &describe).expect("ECS answers");
        let mut digests = Vec::new();
        for task in tasks["tasks"].as_array().into_iter().flatten() {
            if task["lastStatus"] != "RUNNING" {
                continue;
            }
            let containers = task["containers"].as_array().into_iter().flatten();
            for container in containers.filter(|container| container["name"] == name) {
                digests.push(container["imageDigest"].as_str().unwrap_or_default().to_owned());
            }
        }
        if let Some(engine) = stack().engine() {
            // Compares what ECS reports with the containers that really run.
            let running = engine.running().expect("the engine answers");
            let arns: Vec<_> = listed["taskArns"].as_array().into_iter().flatten().collect();
            let of_service =
                running.iter().filter(|one| arns.iter().any(|arn| arn.as_str() == one.task_arn.as_deref()));
            let real: Vec<_> = of_service.filter_map(|one| one.digest()).collect();
            digests.retain(|digest| real.contains(&digest.as_str()));
        }
        digests
    }

    /// Returns the ARN of the service's task definition.
    #[track_caller]
    pub fn revision(&self) -> String {
        let ask = json!({ "cluster": self.app.plan.cluster, "services": [self.name] });
        let services = self.app.aws.ecs("DescribeServices", &ask).expect("ECS answers");
        services["services"][0]["taskDefinition"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the service's task definition without numbers and dates that ECS sets.
    #[track_caller]
    pub fn task_definition(&self) -> Value {
        let answer =
            self.app.aws.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": self.revision() }));
        let mut definition = answer.expect("ECS answers")["taskDefinition"].take();
        for numbered in ["revision", "taskDefinitionArn", "registeredAt", "registeredBy"] {
            if let Some(fields) = definition.as_object_mut() {
                fields.remove(numbered);
            }
        }
        definition
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let delete = json!({ "cluster": self.app.plan.cluster, "service": self.name, "force": true });
        // After a failed story, this cleanup may fail too.
        let _ = self.app.aws.ecs("DeleteService", &delete);
        let repository = json!({ "repositoryName": self.sidecar_repository, "force": true });
        let _ = self.app.aws.ecr("DeleteRepository", &repository);
    }
}
