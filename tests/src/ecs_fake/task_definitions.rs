//! Registers, deregisters, describes and lists task definitions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::home::EcsHome;
use super::task_definition::{StoredTaskDefinition, client};
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

/// The fields that ECS returns but does not accept. The first page lists these fields, and the
/// second page does not.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html>
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>
const OUTPUT_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// The maximum number of containers in a task definition.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
const CONTAINERS: usize = 10;
/// The maximum size of a task definition in bytes.
const BYTES: usize = 64 * 1024;
/// The maximum number of tags on a task definition.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html>
const TAGS: usize = 50;

impl EcsHome {
    /// Registers a new revision of a task definition.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>
    pub(super) fn register_task_definition(&mut self, input: &Input<'_>) -> Answer {
        let tags = tags(input, false)?;
        let definition = self.registered(input, tags)?;
        let mut answer = json!({ "taskDefinition": definition.described() });
        if !definition.tags.is_empty() {
            answer["tags"] = json!(definition.tags);
        }
        Ok(answer)
    }

    /// Registers a revision as AWS itself does: tags may begin with `aws:`.
    pub(super) fn registered_by_aws(&mut self, members: &Map<String, Value>) -> Result<String, Refused> {
        let input = Input { operation: "RegisterTaskDefinition", members };
        let tags = tags(&input, true)?;
        Ok(self.registered(&input, tags)?.arn.clone())
    }

    fn registered(&mut self, input: &Input<'_>, tags: Vec<Value>) -> Result<&StoredTaskDefinition, Refused> {
        if let Some(member) = OUTPUT_ONLY.iter().find(|member| input.members.contains_key(**member)) {
            return Err(Refused::parameter(format!("{member} is no member of the request.")));
        }
        let family = input.needed("family")?;
        if !is_name(family) {
            return Err(client(
                "Family contains invalid characters: up to 255 letters, numbers, hyphens and underscores",
            ));
        }
        let mut members = input.members.clone();
        members.remove("tags");
        if Value::Object(members.clone()).to_string().len() > BYTES {
            return Err(client("Actual length exceeds the max allowed length: 65536"));
        }
        let containers = check_containers(input)?;
        check_fargate(input)?;
        members.insert("containerDefinitions".into(), json!(containers));
        // ECS returns omitted lists as empty lists.
        for list in ["volumes", "placementConstraints"] {
            members.entry(list).or_insert_with(|| json!([]));
        }
        if self.is_newer {
            as_a_newer_ecs_says_it(&mut members);
        }
        // ECS does not reuse the number of a deregistered revision:
        // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html>
        let revision = 1 + self.definitions.0.iter().filter(|one| one.family == family).count();
        let revision = u32::try_from(revision).unwrap_or(u32::MAX);
        let definition = StoredTaskDefinition {
            arn: self.arn(&format!("task-definition/{family}:{revision}")),
            family: family.to_owned(),
            revision,
            active: true,
            members,
            tags,
            registered_at: self.clock.stamp(),
            deregistered_at: None,
        };
        self.definitions.0.push(definition);
        Ok(self.definitions.0.last().expect("the revision was just added"))
    }

    pub(super) fn describe_task_definition(&self, input: &Input<'_>) -> Answer {
        input.knows(&["taskDefinition", "include"])?;
        let include = input.texts("include")?;
        if let Some(other) = include.iter().find(|field| **field != "TAGS") {
            return Err(Refused::parameter(format!("include {other} is not TAGS.")));
        }
        let found = self.definitions.named(input.needed("taskDefinition")?);
        let found = found.ok_or_else(|| client("Unable to describe task definition."))?;
        let mut answer = json!({ "taskDefinition": found.described() });
        // "If TAGS is specified, the tags are included in the response. If this field is omitted,
        // tags aren't included in the response."
        if !include.is_empty() {
            answer["tags"] = json!(found.tags);
        }
        Ok(answer)
    }

    /// Deregisters a revision. The request must name a revision, not only a task definition family.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html>
    pub(super) fn deregister_task_definition(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["taskDefinition"])?;
        Ok(json!({ "taskDefinition": self.deregister(input.needed("taskDefinition")?)?.described() }))
    }

    pub(super) fn deregister(&mut self, name: &str) -> Result<&StoredTaskDefinition, Refused> {
        let at = self.clock.stamp();
        if !name.starts_with("arn:") && !name.contains(':') {
            return Err(client("Revision is missing."));
        }
        let arn = self.definitions.named(name).map(|one| one.arn.clone());
        let arn = arn.ok_or_else(|| client("The specified task definition does not exist."))?;
        let definition =
            self.definitions.0.iter_mut().find(|one| one.arn == arn).expect("the revision was just found");
        definition.active = false;
        definition.deregistered_at.get_or_insert(at);
        Ok(definition)
    }

    /// Lists the families of task definitions.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitionFamilies.html>
    pub(super) fn list_task_definition_families(&self, input: &Input<'_>) -> Answer {
        input.knows(&["familyPrefix", "status", "maxResults", "nextToken"])?;
        // In this call, `familyPrefix` is really a prefix: "task definition families that start
        // with the familyPrefix string".
        let prefix = input.text("familyPrefix")?.unwrap_or_default();
        let status = input.one_of("status", &["ACTIVE", "INACTIVE", "ALL"])?.unwrap_or("ALL");
        let is_active =
            |family: &str| self.definitions.0.iter().any(|one| one.family == family && one.active);
        // "ACTIVE" selects families that have an active revision. "INACTIVE" selects all other
        // families.
        let families: BTreeSet<&str> = self.definitions.0.iter().map(|one| one.family.as_str()).collect();
        let found = families.into_iter().filter(|family| {
            family.starts_with(prefix) && (status == "ALL" || is_active(family) == (status == "ACTIVE"))
        });
        let found = found.map(|family| json!(family)).collect();
        page(input, "families", found, &PageLimits { default: 100, greatest: 100 })
    }

    /// Lists the ARNs of task definitions.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTaskDefinitions.html>
    pub(super) fn list_task_definitions(&self, input: &Input<'_>) -> Answer {
        input.knows(&["familyPrefix", "status", "sort", "maxResults", "nextToken"])?;
        // In this call, `familyPrefix` is "the full family name".
        let family = input.text("familyPrefix")?;
        let active = input.one_of("status", &["ACTIVE", "INACTIVE"])?.unwrap_or("ACTIVE") == "ACTIVE";
        let sort = input.one_of("sort", &["ASC", "DESC"])?.unwrap_or("ASC");
        let of_family = |one: &&StoredTaskDefinition| family.is_none_or(|family| one.family == family);
        let mut found: Vec<_> =
            self.definitions.0.iter().filter(of_family).filter(|one| one.active == active).collect();
        // AWS documents the order as "by family name and revision".
        found.sort_by_key(|one| (&one.family, one.revision));
        if sort == "DESC" {
            found.reverse();
        }
        let arns = found.iter().map(|one| json!(one.arn)).collect();
        page(input, "taskDefinitionArns", arns, &PageLimits { default: 100, greatest: 100 })
    }
}

/// Adds default fields and reverses lists whose order has no meaning, as a newer version of ECS
/// might do.
fn as_a_newer_ecs_says_it(members: &mut Map<String, Value>) {
    members.insert("enableFaultInjection".into(), json!(false));
    let turn = |value: &mut Value| value.as_array_mut().into_iter().for_each(|list| list.reverse());
    members.values_mut().filter(|value| value.is_array()).for_each(turn);
    let containers = members.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        for list in ["environment", "secrets", "mountPoints", "portMappings", "ulimits", "dependsOn"] {
            container.get_mut(list).into_iter().for_each(turn);
        }
        for port in container["portMappings"].as_array_mut().into_iter().flatten() {
            (port["hostPort"], port["protocol"]) = (port["containerPort"].clone(), json!("tcp"));
        }
        if let Some(check) = container["healthCheck"].as_object_mut() {
            for (member, value) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
                check.entry(member).or_insert(json!(value));
            }
        }
    }
}

/// Returns whether the name consists of 1 to 255 letters, digits, underscores and hyphens.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=255).contains(&name.len()) && name.bytes().all(allowed)
}

fn tags(input: &Input<'_>, of_aws: bool) -> Result<Vec<Value>, Refused> {
    let tags: Vec<Value> = input.list("tags")?.into_iter().cloned().collect();
    if tags.len() > TAGS {
        return Err(Refused::parameter("The maximum number of tags is 50."));
    }
    let mut keys = Vec::new();
    for tag in &tags {
        let key = tag["key"].as_str().unwrap_or_default();
        let value = tag["value"].as_str().unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 || keys.contains(&key) {
            return Err(Refused::parameter(format!("The tag {key:?} is not valid.")));
        }
        if !of_aws && key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refused::parameter("Tag keys cannot begin with aws:"));
        }
        keys.push(key);
    }
    Ok(tags)
}

/// Checks the container definitions and adds their defaults.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
fn check_containers(input: &Input<'_>) -> Result<Vec<Value>, Refused> {
    let definitions = input.list("containerDefinitions")?;
    if definitions.is_empty() || definitions.len() > CONTAINERS {
        return Err(client("Container.definitions must be 1 to 10."));
    }
    let mut containers = Vec::new();
    let mut names = Vec::new();
    for definition in definitions {
        let Value::Object(members) = definition else {
            return Err(Refused::new(400, "SerializationException", "a container definition is no object"));
        };
        let container = Input { operation: input.operation, members };
        let name = container.needed("name")?;
        if !is_name(name) || names.contains(&name) {
            return Err(client(format!("Container.name {name:?} is not valid, or occurs twice.")));
        }
        names.push(name);
        check_image(container.text("image")?.unwrap_or_default())?;
        let mut members = members.clone();
        // ECS returns these fields with default values if the request omits the fields.
        for (member, value) in [
            ("cpu", json!(0)),
            ("essential", json!(true)),
            ("environment", json!([])),
            ("mountPoints", json!([])),
            ("portMappings", json!([])),
            ("systemControls", json!([])),
            ("volumesFrom", json!([])),
        ] {
            members.entry(member).or_insert(value);
        }
        containers.push(Value::Object(members));
    }
    if containers.iter().all(|container| container["essential"] == false) {
        return Err(client("TaskDefinition needs at least one essential container."));
    }
    Ok(containers)
}

/// Checks that the image's name has at most 255 characters, and that the digest, if there is one,
/// has 64 hexadecimal digits.
fn check_image(image: &str) -> Result<(), Refused> {
    let (name, digest) = match image.split_once('@') {
        None => (image, None),
        Some((name, digest)) => (name, Some(digest)),
    };
    if name.is_empty() || name.chars().count() > 255 || image.contains(char::is_whitespace) {
        return Err(client("Container.image contains invalid characters."));
    }
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(client("Container.image has a digest that is not sha256 and 64 hexadecimal digits."));
    }
    Ok(())
}

/// Checks the requirements of Fargate.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>
fn check_fargate(input: &Input<'_>) -> Result<(), Refused> {
    if !input.texts("requiresCompatibilities")?.contains(&"FARGATE") {
        return Ok(());
    }
    for member in ["cpu", "memory"] {
        if input.get(member).is_none() {
            return Err(client(format!("Fargate requires that '{member}' be defined at the task level.")));
        }
    }
    if input.text("networkMode")? != Some("awsvpc") {
        return Err(client("Fargate only supports network mode 'awsvpc'."));
    }
    Ok(())
}
