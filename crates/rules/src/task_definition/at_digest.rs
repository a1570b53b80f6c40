//! A copy of a task definition with another digest. Only the images of the application's containers
//! change.

use serde_json::Value;

use super::copy::copy;
use super::errors::{TaskDefinitionError, malformed};
use super::own::OwnContainers;
use crate::application::ContainerName;
use crate::image::{ImageDigest, ImageReference};

/// A copy of a task definition with another digest, ready for registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Clone {
    /// The request body of `RegisterTaskDefinition`.
    pub request: Value,
    /// The names of the application's containers, in the order of the task definition.
    pub containers: Vec<String>,
    /// True if all these containers already have the digest from the environment's repository, so
    /// that no registration is necessary.
    pub already: bool,
}

/// Returns the digest that all of the application's containers have in the task definition. Returns
/// `None` if their digests differ, if a container has only a tag, or if there is no such container.
pub fn described_digest(
    described: &Value,
    own: &OwnContainers<'_>,
) -> Result<Option<ImageDigest>, TaskDefinitionError> {
    let digest = own
        .found_in(described)
        .next()
        .and_then(|(_, reference)| reference.digest)
        .and_then(|digest| ImageDigest::parse(&digest).ok());
    let Some(digest) = digest else {
        return Ok(None);
    };
    at_digest(described, &Value::Null, own, &digest)?;
    let has_digest = |(_, image): (&str, ImageReference)| image.digest.as_deref() == Some(digest.as_str());
    Ok(own.found_in(described).all(has_digest).then_some(digest))
}

/// Returns a copy of the task definition in which the application's containers have the given
/// digest. `described` and `tags` are the fields `taskDefinition` and `tags` of the response to
/// `DescribeTaskDefinition`. `tags` may be null.
///
/// The copy changes the image of every container of the application, whatever ECR host name and tag
/// the image has. The new image comes from the environment's repository. Other containers do not
/// change. Tags with the prefix `aws:` are removed, because only AWS can set them.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html>
pub fn at_digest(
    described: &Value,
    tags: &Value,
    own: &OwnContainers<'_>,
    digest: &ImageDigest,
) -> Result<Clone, TaskDefinitionError> {
    let mut request = copy(described, tags)?;
    let Some(Value::String(family)) = described.get("family") else {
        return malformed("family", "a string");
    };
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
        if own.includes(&name, &reference) {
            let other = reference.other(own.repository, digest);
            already &= reference.digest.as_deref() == Some(digest.as_str())
                && reference.path == own.repository.as_str();
            *image = other;
            containers.push(name);
        } else {
            found.push((name, image.clone()));
        }
    }
    if containers.is_empty() {
        return Err(TaskDefinitionError::NotRun {
            wanted: format!("{family}{}", or_list(own.named)),
            repository: own.repository.clone(),
            account: own.account.to_owned(),
            region: own.region.to_owned(),
            found,
        });
    }

    Ok(Clone { request: Value::Object(request), containers, already })
}

fn or_list(named: &[ContainerName]) -> String {
    let names: Vec<_> = named.iter().map(ContainerName::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" named {}", names.join(" or ")) }
}
