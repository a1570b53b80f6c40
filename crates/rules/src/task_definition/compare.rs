//! The comparison of two task definitions by the meaning of their fields. The order of a set has no
//! meaning, and an explicit default means the same as an absent field.
//!
//! Unknown fields are compared literally.

use serde_json::{Map, Value};

use super::copy::OUTPUT_ONLY;
use super::platform::is_for_fargate_alone;

/// The rule for comparing the values of a field. In a field without a rule, the order of a list
/// matters, and every other value is compared literally.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// A list whose entries are matched by their field of this name. Order matters only among
    /// entries with the same value of that field.
    By(&'static str),
    /// A set. An absent field means this default set.
    Set(&'static [&'static str]),
    /// A value. An absent field means this default value.
    Default(Plain),
    /// A value. In a task definition that allows only Fargate, an absent field means this default
    /// value. Otherwise the container instance or its agent decides.
    OnFargate(Plain),
}

#[derive(Debug, Clone, Copy)]
enum Plain {
    Bool(bool),
    Number(u64),
    Text(&'static str),
}

const NO: Rule = Rule::Default(Plain::Bool(false));
const SET: Rule = Rule::Set(&[]);

const fn number(number: u64) -> Rule {
    Rule::Default(Plain::Number(number))
}

const fn text(text: &'static str) -> Rule {
    Rule::Default(Plain::Text(text))
}

/// ECS's rules for the fields of a task definition, by path.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>
///
/// Lists without a rule are ordered: `entryPoint` and `command` are command lines, and
/// `environmentFiles` are "processed from the top down". Name servers and search domains are tried
/// in order, and a mount option overrides the options before it.
const RULES: [(&str, Rule); 60] = [
    ("containerDefinitions", Rule::By("name")),
    ("containerDefinitions.cpu", number(0)),
    ("containerDefinitions.credentialSpecs", SET),
    ("containerDefinitions.dependsOn", Rule::By("containerName")),
    ("containerDefinitions.disableNetworking", NO),
    ("containerDefinitions.dockerSecurityOptions", SET),
    ("containerDefinitions.environment", Rule::By("name")),
    ("containerDefinitions.essential", Rule::Default(Plain::Bool(true))),
    ("containerDefinitions.extraHosts", Rule::By("hostname")),
    ("containerDefinitions.healthCheck.interval", number(30)),
    ("containerDefinitions.healthCheck.retries", number(3)),
    ("containerDefinitions.healthCheck.startPeriod", number(0)),
    ("containerDefinitions.healthCheck.timeout", number(5)),
    ("containerDefinitions.interactive", NO),
    ("containerDefinitions.links", SET),
    ("containerDefinitions.linuxParameters.capabilities.add", SET),
    ("containerDefinitions.linuxParameters.capabilities.drop", SET),
    ("containerDefinitions.linuxParameters.devices", SET),
    ("containerDefinitions.linuxParameters.devices.permissions", Rule::Set(&["read", "write", "mknod"])),
    ("containerDefinitions.linuxParameters.initProcessEnabled", NO),
    ("containerDefinitions.linuxParameters.swappiness", number(60)),
    ("containerDefinitions.linuxParameters.tmpfs", Rule::By("containerPath")),
    ("containerDefinitions.logConfiguration.options.awslogs-create-group", text("false")),
    ("containerDefinitions.logConfiguration.secretOptions", Rule::By("name")),
    ("containerDefinitions.mountPoints", Rule::By("containerPath")),
    ("containerDefinitions.mountPoints.readOnly", NO),
    ("containerDefinitions.portMappings", SET),
    ("containerDefinitions.portMappings.protocol", text("tcp")),
    ("containerDefinitions.privileged", NO),
    ("containerDefinitions.pseudoTerminal", NO),
    ("containerDefinitions.readonlyRootFilesystem", NO),
    ("containerDefinitions.resourceRequirements", SET),
    ("containerDefinitions.restartPolicy.enabled", NO),
    ("containerDefinitions.restartPolicy.ignoredExitCodes", SET),
    ("containerDefinitions.restartPolicy.restartAttemptPeriod", number(300)),
    ("containerDefinitions.secrets", Rule::By("name")),
    ("containerDefinitions.stopTimeout", Rule::OnFargate(Plain::Number(30))),
    ("containerDefinitions.systemControls", Rule::By("namespace")),
    ("containerDefinitions.ulimits", Rule::By("name")),
    ("containerDefinitions.versionConsistency", text("enabled")),
    ("containerDefinitions.volumesFrom", Rule::By("sourceContainer")),
    ("containerDefinitions.volumesFrom.readOnly", NO),
    ("enableFaultInjection", NO),
    // The default is "20 GiB":
    // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html>
    ("ephemeralStorage.sizeInGiB", Rule::OnFargate(Plain::Number(20))),
    ("inferenceAccelerators", Rule::By("deviceName")),
    ("networkMode", text("bridge")),
    ("placementConstraints", SET),
    ("proxyConfiguration.properties", Rule::By("name")),
    ("proxyConfiguration.type", text("APPMESH")),
    ("requiresCompatibilities", SET),
    // The defaults of Fargate:
    // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>
    ("runtimePlatform.cpuArchitecture", Rule::OnFargate(Plain::Text("X86_64"))),
    ("runtimePlatform.operatingSystemFamily", Rule::OnFargate(Plain::Text("LINUX"))),
    ("tags", Rule::By("key")),
    ("volumes", Rule::By("name")),
    ("volumes.configuredAtLaunch", NO),
    ("volumes.dockerVolumeConfiguration.autoprovision", NO),
    ("volumes.efsVolumeConfiguration.authorizationConfig.iam", text("DISABLED")),
    ("volumes.efsVolumeConfiguration.rootDirectory", text("/")),
    ("volumes.efsVolumeConfiguration.transitEncryption", text("DISABLED")),
    ("volumes.s3filesVolumeConfiguration.rootDirectory", text("/")),
];

/// Checks that two described task definitions differ only in the images of these containers and in
/// fields that only ECS sets. Returns the paths of all other differences. The result contains no
/// values, because a value may be a secret.
///
/// An absent field equals null, an empty list or object, and its explicit default. Newer versions
/// of ECS return more fields, and an old revision must still equal its copy.
pub fn same_but_image(before: &Value, after: &Value, containers: &[String]) -> Result<(), Vec<String>> {
    let mode = before.get("networkMode").and_then(Value::as_str);
    let mut comparison = Comparison {
        containers,
        host_port_is_container_port: matches!(mode, Some("awsvpc" | "host")),
        on_fargate: is_for_fargate_alone(before),
        differences: Vec::new(),
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => comparison.members(before, after, &Place::default()),
        _ => comparison.differences.push("taskDefinition".to_owned()),
    }
    if comparison.differences.is_empty() { Ok(()) } else { Err(comparison.differences) }
}

/// The place of a value in a task definition. `shown` is the path for people, with the names or
/// numbers of list entries. `path` identifies the rule, and has no names or numbers of entries.
#[derive(Debug, Clone, Default)]
struct Place {
    shown: String,
    path: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { shown: format!("{}{dot}{name}", self.shown), path: format!("{}{dot}{name}", self.path) }
    }

    fn entry(&self, label: &str) -> Self {
        Self { shown: format!("{}[{label}]", self.shown), path: self.path.clone() }
    }

    fn rule(&self) -> Option<Rule> {
        RULES.iter().find(|(path, _)| *path == self.path).map(|(_, rule)| *rule)
    }
}

struct Comparison<'a> {
    /// The containers whose images may differ.
    containers: &'a [String],
    /// True if the network mode makes a missing host port mean the container's port. If false, a
    /// missing host port or the host port 0 means any free port.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html>
    host_port_is_container_port: bool,
    on_fargate: bool,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn members(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, at: &Place) {
        let only_after = after.keys().filter(|member| !before.contains_key(*member));
        for member in before.keys().chain(only_after) {
            if self.may_differ(before, member, at) {
                continue;
            }
            let at = at.member(member);
            match (self.said(before, member, &at), self.said(after, member, &at)) {
                (None, None) => {}
                (Some(before), Some(after)) => self.values(before, after, &at),
                (Some(_), None) | (None, Some(_)) => self.differs(&at),
            }
        }
    }

    fn may_differ(&self, before: &Map<String, Value>, member: &str, at: &Place) -> bool {
        let is_moved = || {
            let name = before.get("name").and_then(Value::as_str);
            name.is_some_and(|name| self.containers.iter().any(|container| container == name))
        };
        match at.path.as_str() {
            "" => OUTPUT_ONLY.contains(&member),
            "containerDefinitions" => member == "image" && is_moved(),
            _ => false,
        }
    }

    fn values(&mut self, before: &Value, after: &Value, at: &Place) {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.members(before, after, at),
            (Value::Array(before), Value::Array(after)) => self.lists(before, after, at),
            (before, after) if before == after => {}
            _ => self.differs(at),
        }
    }

    fn lists(&mut self, before: &[Value], after: &[Value], at: &Place) {
        let name = match at.rule() {
            Some(Rule::By(name)) => Some(name),
            Some(Rule::Set(_)) => None,
            Some(Rule::Default(_) | Rule::OnFargate(_)) | None => return self.in_order(before, after, at),
        };
        let mut left: Vec<Option<&Value>> = after.iter().map(Some).collect();
        for (index, one) in before.iter().enumerate() {
            let is_its = |other: &Value| match name {
                Some(name) => one.get(name) == other.get(name),
                None => self.is_same(one, other, at),
            };
            let its = left.iter().position(|other| other.is_some_and(is_its));
            let entry = at.entry(&label(one, name, index));
            match its.and_then(|its| left[its].take()) {
                Some(other) => self.values(one, other, &entry),
                None => self.differs(&entry),
            }
        }
        for (index, other) in left.into_iter().enumerate() {
            if let Some(other) = other {
                self.differs(&at.entry(&label(other, name, index)));
            }
        }
    }

    fn in_order(&mut self, before: &[Value], after: &[Value], at: &Place) {
        if before.len() != after.len() {
            return self.differs(at);
        }
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            self.values(before, after, &at.entry(&index.to_string()));
        }
    }

    fn is_same(&self, one: &Value, other: &Value, at: &Place) -> bool {
        let mut comparison = Comparison { differences: Vec::new(), ..*self };
        comparison.values(one, other, at);
        comparison.differences.is_empty()
    }

    fn differs(&mut self, at: &Place) {
        if !self.differences.contains(&at.shown) {
            self.differences.push(at.shown.clone());
        }
    }

    /// Returns the value of a field. None if the value means the same as an absent field.
    fn said<'v>(&self, of: &'v Map<String, Value>, member: &str, at: &Place) -> Option<&'v Value> {
        let value = of.get(member)?;
        let is_default = match (value, at.rule()) {
            (Value::Null, _) => true,
            (Value::Array(values), Some(Rule::Set(default))) => {
                values.is_empty()
                    || values.len() == default.len()
                        && default.iter().all(|one| values.iter().any(|v| v == one))
            }
            (Value::Array(values), _) => values.is_empty(),
            (Value::Object(members), _) => {
                members.keys().all(|member| self.said(members, member, &at.member(member)).is_none())
            }
            (value, Some(Rule::Default(plain))) => is(value, plain),
            (value, Some(Rule::OnFargate(plain))) => self.on_fargate && is(value, plain),
            (value, _) if at.path == "containerDefinitions.portMappings.hostPort" => {
                if self.host_port_is_container_port {
                    of.get("containerPort") == Some(value)
                } else {
                    is(value, Plain::Number(0))
                }
            }
            (Value::Bool(_) | Value::Number(_) | Value::String(_), _) => false,
        };
        (!is_default).then_some(value)
    }
}

fn is(value: &Value, plain: Plain) -> bool {
    match plain {
        Plain::Bool(truth) => value.as_bool() == Some(truth),
        Plain::Number(number) => value.as_u64() == Some(number),
        Plain::Text(text) => value.as_str() == Some(text),
    }
}

/// Returns the name of a list entry. If the entry has no name, returns the entry's number.
fn label(entry: &Value, name: Option<&str>, index: usize) -> String {
    let name = name.and_then(|name| entry.get(name)).and_then(Value::as_str);
    name.map_or_else(|| index.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
