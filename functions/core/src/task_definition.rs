//! A task definition's next revision: the same in everything but the image of the containers that run one
//! repository.
//!
//! It works on the JSON that ECS answers, not on types: a member that is newer than this program must
//! survive, and a type would drop it.

use serde_json::{Map, Value};

use crate::image::{ImageDigest, ImageReference, RepositoryName};

/// Members that ECS answers and does not take.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html> against
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>
pub const OUTPUT_ONLY: [&str; 9] = [
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

/// What to register so that a task definition runs another digest, and nothing else changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Clone {
    /// The body of `RegisterTaskDefinition`.
    pub request: Value,
    /// The containers that run the repository, in their order.
    pub containers: Vec<String>,
    /// Each of them is at the digest already: there is nothing to register.
    pub already: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskDefinitionError {
    #[error("no container of {family} runs the repository {repository} of {account} in {region}: {}", list(found))]
    NotRun {
        family: String,
        repository: RepositoryName,
        account: String,
        region: String,
        /// Each container's name and image.
        found: Vec<(String, String)>,
    },
    #[error("the task definition is not as ECS documents it: {path} is not {expected}")]
    Malformed { path: String, expected: &'static str },
}

fn list(found: &[(String, String)]) -> String {
    if found.is_empty() {
        return "it has no container with an image".to_owned();
    }
    let each: Vec<_> = found.iter().map(|(name, image)| format!("{name} runs {image}")).collect();
    each.join(", ")
}

fn malformed<T>(path: impl Into<String>, expected: &'static str) -> Result<T, TaskDefinitionError> {
    Err(TaskDefinitionError::Malformed { path: path.into(), expected })
}

/// `described` is the `taskDefinition` of `DescribeTaskDefinition`, `tags` the `tags` beside it (null for none).
///
/// Every container that runs the repository moves, by whatever host name and tag it names it; sidecars never.
/// Tags whose key begins with `aws:` are AWS's own and cannot be set.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html>
pub fn at_digest(
    described: &Value,
    tags: &Value,
    account: &str,
    region: &str,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> Result<Clone, TaskDefinitionError> {
    let Value::Object(described) = described else {
        return malformed("taskDefinition", "an object");
    };
    let Some(Value::String(family)) = described.get("family") else {
        return malformed("family", "a string");
    };
    let mut request: Map<String, Value> = described
        .iter()
        .filter(|(member, _)| !OUTPUT_ONLY.contains(&member.as_str()))
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect();

    let Some(Value::Array(definitions)) = request.get_mut("containerDefinitions") else {
        return malformed("containerDefinitions", "an array");
    };
    let mut found = Vec::new();
    let mut containers = Vec::new();
    let mut already = true;
    for (index, definition) in definitions.iter_mut().enumerate() {
        let path = |member: &str| format!("containerDefinitions[{index}]{member}");
        let Value::Object(definition) = definition else {
            return malformed(path(""), "an object");
        };
        let Some(name) = definition.get("name").and_then(Value::as_str).map(str::to_owned) else {
            return malformed(path(".name"), "a string");
        };
        let image = match definition.get_mut("image") {
            None | Some(Value::Null) => continue,
            Some(Value::String(image)) => image,
            Some(_) => return malformed(path(".image"), "a string"),
        };
        let reference = ImageReference::parse(image);
        if reference.is_of(account, region, repository) {
            already &= reference.digest.as_deref() == Some(digest.as_str());
            *image = reference.at(digest);
            containers.push(name);
        } else {
            found.push((name, image.clone()));
        }
    }
    if containers.is_empty() {
        return Err(TaskDefinitionError::NotRun {
            family: family.clone(),
            repository: repository.clone(),
            account: account.to_owned(),
            region: region.to_owned(),
            found,
        });
    }

    let tags = own_tags(tags)?;
    if !tags.is_empty() {
        request.insert("tags".to_owned(), Value::Array(tags));
    }
    Ok(Clone { request: Value::Object(request), containers, already })
}

fn own_tags(tags: &Value) -> Result<Vec<Value>, TaskDefinitionError> {
    let tags = match tags {
        Value::Null => return Ok(Vec::new()),
        Value::Array(tags) => tags,
        _ => return malformed("tags", "an array"),
    };
    let mut own = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        match tag.get("key").and_then(Value::as_str) {
            None => return malformed(format!("tags[{index}].key"), "a string"),
            Some(key) if is_of_aws(key) => {}
            Some(_) => own.push(tag.clone()),
        }
    }
    Ok(own)
}

fn is_of_aws(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

/// Proves that two described task definitions differ in nothing but the image of these containers and what
/// ECS itself writes. Else the paths that differ: paths only, since a value may be a secret.
///
/// A member that is absent, null, or an empty list or object says the same: ECS has come to answer more empty
/// lists over the years, and an old revision must stay comparable with its copy.
pub fn same_but_image(before: &Value, after: &Value, containers: &[String]) -> Result<(), Vec<String>> {
    let mut differences = Vec::new();
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            compare_members(before, after, "", &OUTPUT_ONLY, containers, &mut differences);
        }
        _ => differences.push("taskDefinition".to_owned()),
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

fn compare_members(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    path: &str,
    except: &[&str],
    containers: &[String],
    differences: &mut Vec<String>,
) {
    let only_after = after.keys().filter(|member| !before.contains_key(*member));
    for member in before.keys().chain(only_after).filter(|member| !except.contains(&member.as_str())) {
        let path = if path.is_empty() { member.clone() } else { format!("{path}.{member}") };
        let (before, after) = (said(before.get(member)), said(after.get(member)));
        match (before, after) {
            (Some(Value::Array(before)), Some(Value::Array(after))) if path == "containerDefinitions" => {
                compare_containers(before, after, containers, differences);
            }
            (before, after) => compare(before, after, path, differences),
        }
    }
}

fn compare_containers(before: &[Value], after: &[Value], containers: &[String], differences: &mut Vec<String>) {
    for index in 0..before.len().max(after.len()) {
        let path = format!("containerDefinitions[{index}]");
        match (before.get(index), after.get(index)) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                let moved = before
                    .get("name")
                    .and_then(Value::as_str)
                    .is_some_and(|name| containers.iter().any(|container| container == name));
                let except: &[&str] = if moved { &["image"] } else { &[] };
                compare_members(before, after, &path, except, &[], differences);
            }
            (before, after) => compare(before, after, path, differences),
        }
    }
}

fn compare(before: Option<&Value>, after: Option<&Value>, path: String, differences: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            compare_members(before, after, &path, &[], &[], differences);
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(Some(before), Some(after), format!("{path}[{index}]"), differences);
            }
        }
        (before, after) if before == after => {}
        _ => differences.push(path),
    }
}

/// What a member says: nothing, if it is absent, null or empty.
fn said(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    })
}
