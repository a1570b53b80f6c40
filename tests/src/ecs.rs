//! A service in the local cloud's ECS. Its team creates the service and deploys to it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError};
use xtask::cloud::ACCOUNT;
use xtask::image::PORT;

pub struct EcsService<'a> {
    pub aws: &'a Aws,
    pub cluster: &'a str,
    pub name: &'a str,
}

impl EcsService<'_> {
    /// Creates the service in its cluster, which must exist.
    pub fn create(
        &self,
        task_definition: &str,
        desired: usize,
        configuration: &Value,
    ) -> Result<(), AwsError> {
        let request = json!({
            "cluster": self.cluster,
            "serviceName": self.name,
            "taskDefinition": task_definition,
            "desiredCount": desired,
            "launchType": "EC2",
            "deploymentConfiguration": configuration,
        });
        self.aws.ecs("CreateService", &request).map(drop)
    }

    /// Changes these fields of the service, such as the task definition.
    pub fn update(&self, mut members: Value) -> Result<(), AwsError> {
        members["cluster"] = json!(self.cluster);
        members["service"] = json!(self.name);
        self.aws.ecs("UpdateService", &members).map(drop)
    }

    pub fn described(&self) -> Result<Value, AwsError> {
        let request = json!({ "cluster": self.cluster, "services": [self.name] });
        Ok(self.aws.ecs("DescribeServices", &request)?["services"][0].take())
    }

    /// Returns the ARN of the service's task definition.
    pub fn revision(&self) -> Result<String, AwsError> {
        Ok(self.described()?["taskDefinition"].as_str().unwrap_or_default().to_owned())
    }

    pub fn task_definition(&self) -> Result<Value, AwsError> {
        task_definition(self.aws, &self.revision()?)
    }

    /// Returns the service's tasks with this desired status: `RUNNING` or `STOPPED`.
    pub fn tasks(&self, desired_status: &str) -> Result<Vec<Value>, AwsError> {
        let request =
            json!({ "cluster": self.cluster, "serviceName": self.name, "desiredStatus": desired_status });
        let listed = self.aws.ecs("ListTasks", &request)?;
        if listed["taskArns"].as_array().is_none_or(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let request = json!({ "cluster": self.cluster, "tasks": listed["taskArns"] });
        let mut answer = self.aws.ecs("DescribeTasks", &request)?;
        Ok(answer["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}

/// Returns the containers of a task.
pub fn containers(task: &Value) -> impl Iterator<Item = &Value> {
    task["containers"].as_array().into_iter().flatten()
}

pub fn task_definition(aws: &Aws, arn: &str) -> Result<Value, AwsError> {
    Ok(aws.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": arn }))?["taskDefinition"].take())
}

/// Registers a task definition for the launch type EC2. Returns its ARN.
pub fn register(
    aws: &Aws,
    family: &str,
    [task_role, execution_role]: [&str; 2],
    containers: &[Value],
) -> Result<String> {
    let definition = json!({
        "family": family,
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "taskRoleArn": task_role,
        "executionRoleArn": execution_role,
        "containerDefinitions": containers,
    });
    let answer = aws.ecs("RegisterTaskDefinition", &definition)?;
    let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
    arn.map(str::to_owned).context("ECS named no task definition")
}

/// Returns the definition of a container on a port of the host. With port 0, the container engine
/// chooses a port.
pub fn container(name: &str, image: &str, host_port: u16) -> Value {
    json!({
        "name": name,
        "image": image,
        "essential": true,
        "memory": 64,
        "portMappings": [{ "containerPort": PORT, "hostPort": host_port, "protocol": "tcp" }],
        "environment": [{ "name": "TIER", "value": "production" }],
    })
}

/// Creates a role for tasks. Returns the role's ARN.
pub fn task_role(aws: &Aws, name: &str) -> Result<String, AwsError> {
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
        ("RoleName", name),
        ("AssumeRolePolicyDocument", &trust.to_string()),
    ];
    aws.query("iam", &request)?;
    Ok(role_arn(name))
}

pub fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}
