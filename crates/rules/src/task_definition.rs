//! The next revision of a task definition: unchanged except for the image of the containers that
//! run one repository.
//!
//! The code works on the JSON from ECS and not on types. A type would drop members that are newer
//! than this program.

mod compare;
mod containers;
mod own;
mod platform;

use serde_json::{Map, Value};

pub use self::compare::same_but_image;
pub use self::containers::{ContainerRole, container_roles, is_health_checked};
pub use self::own::OwnContainers;
pub use self::platform::wrong_platform;

use crate::application::ContainerName;
use crate::image::{ImageDigest, ImageReference, RepositoryName};

/// The members that ECS answers but does not accept: those of [TaskDefinition] that are not in
/// [RegisterTaskDefinition].
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

/// A copy of a task definition at another digest, ready to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Clone {
    /// The body of `RegisterTaskDefinition`.
    pub request: Value,
    /// The containers that run the repository, in their order.
    pub containers: Vec<String>,
    /// Whether all of them already have the digest, so that nothing must be registered.
    pub already: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskDefinitionError {
    #[error(
        "no container of {wanted} runs the repository {repository} of {account} in {region}: {}",
        list(found)
    )]
    NotRun {
        /// The family, and the containers that the application's file names.
        wanted: String,
        repository: RepositoryName,
        account: String,
        region: String,
        /// The name and image of each container.
        found: Vec<(String, String)>,
    },
    #[error(
        "its containers run different images of the repository {repository} ({}), and one release would bring them \
         all to one: name those that run this application in the environment's file, such as container = \"{}\"",
        list(found),
        found.first().map_or("app", |(name, _)| name)
    )]
    Differ {
        repository: RepositoryName,
        /// The name and image of each container.
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

fn or_list(named: &[ContainerName]) -> String {
    let names: Vec<_> = named.iter().map(ContainerName::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" named {}", names.join(" or ")) }
}

fn malformed<T>(path: impl Into<String>, expected: &'static str) -> Result<T, TaskDefinitionError> {
    Err(TaskDefinitionError::Malformed { path: path.into(), expected })
}

/// Returns the digest that all containers of the application have in the task definition. None if
/// they differ, or if one has only a tag.
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
    let clone = at_digest(described, &Value::Null, own, &digest)?;
    Ok(clone.already.then_some(digest))
}

/// Returns the task definition with the application's containers at the given digest. `described`
/// is the `taskDefinition` of `DescribeTaskDefinition`. `tags` is the `tags` beside it, or null.
///
/// Every container of the application moves, whatever host name and tag its image has. Other
/// containers never move. Tags with the prefix `aws:` belong to AWS and are dropped, because they
/// cannot be set.
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
            already &= reference.digest.as_deref() == Some(digest.as_str());
            *image = reference.at(digest);
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

/// Returns the request that registers the same task definition again. A deregistered revision
/// cannot be deployed.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "111122223333";
    const REGION: &str = "eu-west-1";
    const WEB: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web";

    fn digest(byte: &str) -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", byte.repeat(32))).unwrap()
    }

    fn clone(described: &Value, tags: &Value) -> Result<Clone, TaskDefinitionError> {
        let repository = &RepositoryName::parse("web").unwrap();
        let own = OwnContainers { account: ACCOUNT, region: REGION, repository, named: &[] };
        at_digest(described, tags, &own, &digest("ab"))
    }

    /// Returns an answer of `DescribeTaskDefinition` with members that today's SDK does not know.
    fn described() -> Value {
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

    #[test]
    fn only_containers_of_the_repository_move() {
        let clone = clone(&described(), &Value::Null).unwrap();
        assert_eq!(clone.containers, ["web", "migrate"]);
        assert!(!clone.already);

        let mut expected = described();
        for member in OUTPUT_ONLY {
            expected.as_object_mut().unwrap().remove(member);
        }
        for container in [0, 1] {
            expected["containerDefinitions"][container]["image"] = format!("{WEB}@{}", digest("ab")).into();
        }
        assert_eq!(clone.request, expected);
    }

    #[test]
    fn image_with_tag_and_digest_has_the_digest() {
        let mut all = described();
        all["containerDefinitions"][0]["image"] = format!("{WEB}:main@{}", digest("ab")).into();
        assert!(!clone(&all, &Value::Null).unwrap().already, "migrate runs another digest");
        all["containerDefinitions"][1]["image"] = format!("{WEB}@{}", digest("ab")).into();
        assert!(clone(&all, &Value::Null).unwrap().already);
    }

    #[test]
    fn clone_keeps_own_tags_without_aws_tags() {
        let tags = json!([
            {"key": "team", "value": "web"},
            {"key": "aws:cloudformation:stack-name", "value": "web"},
            {"key": "AWS:x", "value": "y"},
            {"key": "aws", "value": "ours"},
            {"key": "é", "value": "short, and not ASCII"}
        ]);
        let request = clone(&described(), &tags).unwrap().request;
        let keys: Vec<_> = request["tags"].as_array().unwrap().iter().map(|tag| &tag["key"]).collect();
        assert_eq!(keys, ["team", "aws", "é"]);

        for none in [Value::Null, json!([]), json!([{"key": "aws:x", "value": "y"}])] {
            let request = clone(&described(), &none).unwrap().request;
            assert_eq!(request.get("tags"), None, "{none}");
        }
    }

    #[test]
    fn error_lists_images_if_no_container_matches() {
        let mut other = described();
        other["containerDefinitions"].as_array_mut().unwrap().drain(..2);
        assert_eq!(
            clone(&other, &Value::Null).unwrap_err().to_string(),
            "no container of web runs the repository web of 111122223333 in eu-west-1: proxy runs \
             public.ecr.aws/nginx/nginx:1.27, agent runs 444455556666.dkr.ecr.eu-west-1.amazonaws.com/web:1"
        );
        other["containerDefinitions"] = json!([]);
        let error = clone(&other, &Value::Null).unwrap_err().to_string();
        assert!(error.ends_with("it has no container with an image"), "{error}");
    }

    #[test]
    fn malformed_task_definitions_are_refused() {
        let broken = |pointer: &str, value: Value| {
            let mut described = described();
            *described.pointer_mut(pointer).unwrap() = value;
            match clone(&described, &Value::Null).unwrap_err() {
                TaskDefinitionError::Malformed { path, .. } => path,
                other @ (TaskDefinitionError::NotRun { .. } | TaskDefinitionError::Differ { .. }) => {
                    panic!("{other}")
                }
            }
        };
        assert_eq!(broken("", json!([])), "taskDefinition");
        assert_eq!(broken("/family", json!(1)), "family");
        assert_eq!(broken("/containerDefinitions", json!({})), "containerDefinitions");
        assert_eq!(broken("/containerDefinitions/1", json!("web")), "containerDefinitions[1]");
        assert_eq!(broken("/containerDefinitions/1/name", json!(null)), "containerDefinitions[1].name");
        assert_eq!(broken("/containerDefinitions/2/image", json!(7)), "containerDefinitions[2].image");
        assert!(clone(&described(), &json!({"team": "web"})).is_err());
        assert!(clone(&described(), &json!([{"Key": "team"}])).is_err());
    }

    fn differences(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut after = described();
        change(&mut after);
        same_but_image(&described(), &after, &["web".to_owned()]).err().unwrap_or_default()
    }

    #[test]
    fn differences_are_paths_without_values() {
        for (pointer, path) in [
            ("/memory", "memory"),
            ("/memberOfTomorrow/deep/1", "memberOfTomorrow.deep[1]"),
            (
                "/containerDefinitions/0/secrets/0/valueFrom",
                "containerDefinitions[web].secrets[KEY].valueFrom",
            ),
            ("/containerDefinitions/1/image", "containerDefinitions[migrate].image"),
            ("/containerDefinitions", "containerDefinitions"),
        ] {
            let changed = differences(|after| *after.pointer_mut(pointer).unwrap() = json!("changed"));
            assert_eq!(changed, [path], "{pointer}");
        }
        for (pointer, before, after) in [
            ("/containerDefinitions/0/name", "containerDefinitions[web]", "containerDefinitions[changed]"),
            ("/containerDefinitions/2", "containerDefinitions[proxy]", "containerDefinitions[2]"),
        ] {
            let changed = differences(|after| *after.pointer_mut(pointer).unwrap() = json!("changed"));
            assert_eq!(changed, [before, after], "{pointer}");
        }
        assert_eq!(differences(|after| after["pidMode"] = "host".into()), ["pidMode"]);
        assert_eq!(
            differences(|after| {
                after["containerDefinitions"].as_array_mut().unwrap().pop();
            }),
            ["containerDefinitions[agent]"]
        );
        assert_eq!(
            differences(|after| after["containerDefinitions"][0]["environment"] = json!([])),
            ["containerDefinitions[web].environment"]
        );
    }

    #[test]
    fn image_and_output_members_may_differ() {
        assert_eq!(
            differences(|after| {
                after["containerDefinitions"][0]["image"] = "another".into();
                after["revision"] = 8.into();
                after["registeredAt"] = json!(1.5);
                after.as_object_mut().unwrap().remove("registeredBy");
            }),
            [""; 0]
        );
    }

    #[test]
    fn absent_null_and_empty_are_equal() {
        assert_eq!(
            differences(|after| {
                after.as_object_mut().unwrap().remove("volumes");
                after["placementConstraints"] = json!([]);
                after["containerDefinitions"][0]["systemControls"] = json!([]);
                after["containerDefinitions"][0]["dockerLabels"] = json!({});
                after["proxyConfiguration"] = json!({"properties": []});
                after["enableFaultInjection"] = json!(null);
            }),
            [""; 0]
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z:/@.]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-zA-Z]{1,8}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_image() -> impl Strategy<Value = String> {
        let of_ours = prop_oneof![
            Just(WEB.to_owned()),
            "[a-z]{1,5}".prop_map(|tag| format!("{WEB}:{tag}")),
            Just(format!("{WEB}@{}", digest("cd"))),
            Just(format!("{WEB}:main@{}", digest("ab"))),
            Just("111122223333.dkr-ecr.eu-west-1.on.aws/web:v1".to_owned()),
        ];
        let of_others = prop_oneof![
            "[a-z]{1,8}(:[a-z]{1,5})?",
            Just(format!("{WEB}2:main")),
            Just("111122223333.dkr.ecr.us-east-1.amazonaws.com/web:main".to_owned()),
        ];
        prop_oneof![of_ours, of_others]
    }

    prop_compose! {
        /// Generates any members at the top and in the containers, including those that only ECS
        /// writes.
        fn any_described()(
            members in prop::collection::hash_map(
                prop_oneof!["[a-zA-Z]{1,10}", prop::sample::select(&OUTPUT_ONLY[..]).prop_map(str::to_owned)],
                any_json(), 0..8),
            containers in prop::collection::vec(
                (any_image(), prop::collection::hash_map("[a-zA-Z]{1,8}", any_json(), 0..4)), 0..4),
        ) -> Value {
            let mut described: Map<String, Value> = members.into_iter().collect();
            let containers = containers.into_iter().enumerate().map(|(index, (image, members))| {
                let mut container: Map<String, Value> = members.into_iter().collect();
                container.insert("name".to_owned(), format!("c{index}").into());
                container.insert("image".to_owned(), image.into());
                Value::Object(container)
            });
            described.insert("containerDefinitions".to_owned(), containers.collect());
            described.insert("family".to_owned(), "web".into());
            Value::Object(described)
        }
    }

    /// Returns ECS's description of a definition that was registered with this request.
    fn as_registered(request: &Value) -> Value {
        let mut described = request.clone();
        let members = described.as_object_mut().unwrap();
        members.remove("tags");
        for (index, member) in OUTPUT_ONLY.iter().enumerate() {
            members.insert((*member).to_owned(), index.into());
        }
        described
    }

    proptest! {
        #[test]
        fn clone_differs_only_in_the_image(described in any_described()) {
            let Ok(clone) = clone(&described, &Value::Null) else { return Ok(()) };
            prop_assert!(!clone.containers.is_empty());
            let registered = as_registered(&clone.request);
            // `tags` is a member of the request, but not of a described definition.
            let mut before = described.clone();
            before.as_object_mut().unwrap().remove("tags");
            prop_assert_eq!(same_but_image(&before, &registered, &clone.containers), Ok(()));

            let images = |value: &Value| -> Vec<String> {
                let all = value["containerDefinitions"].as_array().unwrap().iter();
                all.map(|container| container["image"].as_str().unwrap().to_owned()).collect()
            };
            let web = RepositoryName::parse("web").unwrap();
            for (before, after) in images(&described).iter().zip(images(&clone.request)) {
                if ImageReference::parse(before).is_of(ACCOUNT, REGION, &web) {
                    let suffix = format!("/web@{}", digest("ab"));
                    prop_assert!(after.ends_with(&suffix));
                } else {
                    prop_assert_eq!(before, &after);
                }
            }
        }

        #[test]
        fn clone_of_a_clone_is_equal(described in any_described()) {
            let Ok(first) = clone(&described, &Value::Null) else { return Ok(()) };
            let second = clone(&as_registered(&first.request), &Value::Null).unwrap();
            prop_assert!(second.already);
            let mut first_request = first.request;
            first_request.as_object_mut().unwrap().remove("tags");
            prop_assert_eq!(second.request, first_request);
            prop_assert_eq!(second.containers, first.containers);
        }

        #[test]
        fn any_other_change_is_a_difference(
            described in any_described(),
            // Members with a known meaning are left out.
            member in prop_oneof!["x[a-z]{0,7}", Just("image".to_owned()), Just("revision".to_owned())],
            value in any_json(),
            inside in any::<bool>(),
        ) {
            let containers = ["c0".to_owned()];
            let mut other = described.clone();
            let place = if inside { "/containerDefinitions/0" } else { "" };
            if let Some(Value::Object(place)) = other.pointer_mut(place) {
                place.insert(member, value);
            }
            let image_only = |value: &Value| -> Value {
                let mut value = value.clone();
                for member in OUTPUT_ONLY {
                    value.as_object_mut().unwrap().remove(member);
                }
                if let Some(container) = value.pointer_mut("/containerDefinitions/0") {
                    container["image"] = "any".into();
                }
                without_empty(value)
            };
            let same = image_only(&described) == image_only(&other);
            prop_assert_eq!(same_but_image(&described, &other, &containers).is_ok(), same);
            prop_assert!(same_but_image(&described, &described, &containers).is_ok());
        }

        #[test]
        fn clone_accepts_any_json(described in any_json(), tags in any_json(), other in any_json()) {
            clone(&described, &tags).ok();
            same_but_image(&described, &other, &[]).ok();
        }
    }

    /// Removes empty members at every depth.
    fn without_empty(value: Value) -> Value {
        let says = |value: &Value| match value {
            Value::Null => false,
            Value::Array(values) => !values.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        };
        match value {
            Value::Object(members) => {
                let all = members.into_iter().map(|(member, value)| (member, without_empty(value)));
                Value::Object(all.filter(|(_, value)| says(value)).collect())
            }
            Value::Array(values) => values.into_iter().map(without_empty).collect(),
            other => other,
        }
    }
}
