//! Tests of the differences between two task definitions.

use serde_json::{Value, json};

use super::fixtures::described;
use crate::task_definition::same_but_image;

fn differences(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut after = described();
    change(&mut after);
    same_but_image(&described(), &after, &["web".to_owned()]).err().unwrap_or_default()
}

#[test]
fn differences_list_paths_without_values() {
    for (pointer, path) in [
        ("/memory", "memory"),
        ("/memberOfTomorrow/deep/1", "memberOfTomorrow.deep[1]"),
        ("/containerDefinitions/0/secrets/0/valueFrom", "containerDefinitions[web].secrets[KEY].valueFrom"),
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
fn image_and_output_only_fields_may_differ() {
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
fn absent_null_and_empty_fields_are_equal() {
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
