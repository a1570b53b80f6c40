//! Property tests with random task definitions.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::fixtures::{ACCOUNT, REGION, WEB, clone, digest};
use crate::image::{ImageReference, RepositoryName};
use crate::task_definition::{OUTPUT_ONLY, same_but_image};

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
    /// Generates a task definition with random fields, also in its containers. Some of the fields
    /// are fields that only ECS sets.
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

/// Returns ECS's description of the task definition that this request registers.
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
    fn clone_differs_only_in_its_images(described in any_described()) {
        let Ok(clone) = clone(&described, &Value::Null) else { return Ok(()) };
        prop_assert!(!clone.containers.is_empty());
        let registered = as_registered(&clone.request);
        // The request has the field `tags`, but a described task definition does not.
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
    fn clone_of_a_clone_equals_the_first_clone(described in any_described()) {
        let Ok(first) = clone(&described, &Value::Null) else { return Ok(()) };
        let second = clone(&as_registered(&first.request), &Value::Null).unwrap();
        prop_assert!(second.already);
        let mut first_request = first.request;
        first_request.as_object_mut().unwrap().remove("tags");
        prop_assert_eq!(second.request, first_request);
        prop_assert_eq!(second.containers, first.containers);
    }

    #[test]
    fn comparison_finds_any_change_except_the_image(
        described in any_described(),
        // Besides `image` and `revision`, only names of fields without a comparison rule, because a
        // rule may treat the changed value as equal.
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
    fn clone_of_any_task_definition_never_panics(described in any_json(), tags in any_json(), other in any_json()) {
        clone(&described, &tags).ok();
        same_but_image(&described, &other, &[]).ok();
    }
}

/// Removes empty fields at every level.
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
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
