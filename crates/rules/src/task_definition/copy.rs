//! The request that registers a described task definition again.

use serde_json::{Map, Value};

use super::errors::{TaskDefinitionError, malformed};

/// The fields that ECS returns but does not accept in a registration. [TaskDefinition] has these
/// fields, and [RegisterTaskDefinition] does not.
///
/// [TaskDefinition]: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
/// [RegisterTaskDefinition]: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
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

/// Returns the request that registers the same task definition again. Stablepin needs this request
/// because ECS cannot deploy a deregistered revision.
pub fn copy(described: &Value, tags: &Value) -> Result<Map<String, Value>, TaskDefinitionError> {
    let Value::Object(described) = described else {
        return malformed("taskDefinition", "an object");
    };
    let said = described.iter().filter(|(member, _)| !OUTPUT_ONLY.contains(&member.as_str()));
    let mut request: Map<_, _> = said.map(|(member, value)| (member.clone(), value.clone())).collect();
    let tags = own_tags(tags)?;
    if !tags.is_empty() {
        request.insert("tags".to_owned(), Value::Array(tags));
    }
    Ok(request)
}

fn own_tags(tags: &Value) -> Result<Vec<Value>, TaskDefinitionError> {
    let tags = match tags {
        Value::Null => return Ok(Vec::new()),
        Value::Array(tags) => tags,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            return malformed("tags", "an array");
        }
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
