//! Tests that a copy with another digest changes only the images of the application's containers.

use serde_json::{Value, json};

use super::fixtures::{WEB, clone, clone_in, described, digest};
use crate::task_definition::{OUTPUT_ONLY, TaskDefinitionError};

#[test]
fn clone_changes_only_containers_of_the_repository() {
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
fn image_with_tag_and_digest_is_identified_by_the_digest() {
    let mut all = described();
    all["containerDefinitions"][0]["image"] = format!("{WEB}:main@{}", digest("ab")).into();
    assert!(!clone(&all, &Value::Null).unwrap().already, "migrate runs another digest");
    all["containerDefinitions"][1]["image"] = format!("{WEB}@{}", digest("ab")).into();
    assert!(clone(&all, &Value::Null).unwrap().already);
}

#[test]
fn clone_takes_the_image_from_the_environments_own_repository() {
    let moved = clone_in("prod/web", &described(), &Value::Null).unwrap();
    assert_eq!(moved.containers, ["web", "migrate"], "they run images of the application's repository");
    let image = WEB.replace("/web", &format!("/prod/web@{}", digest("ab")));
    for container in [0, 1] {
        assert_eq!(moved.request["containerDefinitions"][container]["image"], image);
    }
    assert!(clone_in("prod/web", &moved.request, &Value::Null).unwrap().already);

    let mut same_digest = described();
    for container in [0, 1] {
        same_digest["containerDefinitions"][container]["image"] = format!("{WEB}@{}", digest("ab")).into();
    }
    let again = clone_in("prod/web", &same_digest, &Value::Null).unwrap();
    assert!(!again.already, "the digest is right, but the repository is not");
}

#[test]
fn clone_drops_only_tags_with_the_aws_prefix() {
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
