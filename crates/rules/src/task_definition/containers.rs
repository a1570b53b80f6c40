//! The roles of containers in a task definition. ECS derives a task's health from them.

use serde_json::Value;

/// The role of a container in its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRole {
    pub name: String,
    /// True if the task stops when this container stops.
    pub essential: bool,
    /// True if ECS reports this container's health.
    pub health_check: bool,
    /// True if ECS's agent restarts this container after it stops by itself.
    pub restarts: bool,
}

/// Returns the role of each container in a task definition.
///
/// A container is essential by default.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
pub fn container_roles(definition: &Value) -> Vec<ContainerRole> {
    let is_true = |value: Option<&Value>, default| value.and_then(Value::as_bool).unwrap_or(default);
    let role = |container: &Value| ContainerRole {
        name: container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        essential: is_true(container.get("essential"), true),
        health_check: has_health_check(container),
        restarts: is_true(container.pointer("/restartPolicy/enabled"), false),
    };
    containers(definition).map(role).collect()
}

/// Returns whether an essential container has a health check. Only the health checks of essential
/// containers decide the health of a task.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
pub fn is_health_checked(definition: &Value) -> bool {
    let is_essential = |one: &Value| one.get("essential").and_then(Value::as_bool).unwrap_or(true);
    containers(definition).any(|one| is_essential(one) && has_health_check(one))
}

fn containers(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.get("containerDefinitions").and_then(Value::as_array).into_iter().flatten()
}

/// Returns whether the container has a health check. As in Docker, the command `NONE` turns it off.
/// <https://docs.docker.com/reference/dockerfile/#healthcheck>
fn has_health_check(container: &Value) -> bool {
    let command = container.pointer("/healthCheck/command").and_then(Value::as_array);
    command.and_then(|command| command.first()).is_some_and(|first| first != "NONE")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_health_checks_of_essential_containers_count() {
        let checked = |container: Value| {
            let definition = json!({ "containerDefinitions": [{ "name": "web" }, container] });
            let role = container_roles(&definition).pop().expect("there are two");
            assert_eq!(role.essential && role.health_check, is_health_checked(&definition), "{definition}");
            (role.essential, role.health_check, role.restarts)
        };
        let check = json!({ "command": ["CMD-SHELL", "true"] });
        for (container, role) in [
            (json!({ "healthCheck": check }), (true, true, false)),
            (json!({ "healthCheck": check, "essential": null }), (true, true, false)),
            (json!({ "healthCheck": check, "essential": true }), (true, true, false)),
            (json!({ "healthCheck": check, "essential": false }), (false, true, false)),
            (json!({ "essential": false }), (false, false, false)),
            (json!({}), (true, false, false)),
            (json!({ "healthCheck": null }), (true, false, false)),
            (json!({ "healthCheck": {} }), (true, false, false)),
            (json!({ "healthCheck": { "command": [] } }), (true, false, false)),
            (json!({ "healthCheck": { "command": ["NONE"] } }), (true, false, false)),
            (json!({ "restartPolicy": { "enabled": true } }), (true, false, true)),
            (json!({ "restartPolicy": { "enabled": false } }), (true, false, false)),
            (json!({ "restartPolicy": {} }), (true, false, false)),
        ] {
            assert_eq!(checked(container.clone()), role, "{container}");
        }
        assert!(!is_health_checked(&json!({})));
        assert_eq!(container_roles(&json!({ "containerDefinitions": "web" })), []);
    }
}
