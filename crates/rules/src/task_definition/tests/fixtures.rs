//! A task definition as ECS returns it, and its copy with a digest.

use serde_json::{Value, json};

use crate::image::{ImageDigest, RepositoryName};
use crate::task_definition::{Clone, OwnContainers, TaskDefinitionError, at_digest};

pub(super) const ACCOUNT: &str = "111122223333";

pub(super) const REGION: &str = "eu-west-1";

pub(super) const WEB: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web";

pub(super) fn digest(byte: &str) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", byte.repeat(32))).unwrap()
}

pub(super) fn clone(described: &Value, tags: &Value) -> Result<Clone, TaskDefinitionError> {
    clone_in("web", described, tags)
}

/// Returns the copy for an environment with this repository. Pipelines push to `web`.
pub(super) fn clone_in(
    repository: &str,
    described: &Value,
    tags: &Value,
) -> Result<Clone, TaskDefinitionError> {
    let repository = &RepositoryName::parse(repository).unwrap();
    let source = &RepositoryName::parse("web").unwrap();
    let own = OwnContainers { account: ACCOUNT, region: REGION, repository, source, named: &[] };
    at_digest(described, tags, &own, &digest("ab"))
}

/// Returns the response to `DescribeTaskDefinition`, with fields that today's SDK does not know.
pub(super) fn described() -> Value {
    json!({
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
        "revision": 7,
        "status": "ACTIVE",
        "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.ecr-auth"}],
        "compatibilities": ["EC2", "FARGATE"],
        "registeredAt": 1_752_760_000.123,
        "registeredBy": "arn:aws:iam::111122223333:role/terraform",
        "deregisteredAt": null,
        "deleteRequestedAt": null,
        "family": "web",
        "networkMode": "awsvpc",
        "taskRoleArn": "arn:aws:iam::111122223333:role/web",
        "cpu": "256",
        "memory": "512",
        "enableFaultInjection": false,
        "memberOfTomorrow": {"deep": [1, 2.5, "x"]},
        "volumes": [],
        "containerDefinitions": [
            {
                "name": "web",
                "image": format!("{WEB}:main"),
                "essential": true,
                "environment": [{"name": "A", "value": "1"}],
                "secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:eu-west-1:111122223333:parameter/key"}],
                "optionOfTomorrow": true
            },
            {"name": "migrate", "image": format!("{WEB}@{}", digest("cd")), "essential": false},
            {"name": "proxy", "image": "public.ecr.aws/nginx/nginx:1.27", "essential": true},
            {"name": "agent", "image": "444455556666.dkr.ecr.eu-west-1.amazonaws.com/web:1"}
        ]
    })
}
