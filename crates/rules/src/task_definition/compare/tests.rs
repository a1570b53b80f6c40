use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Every field of a described task definition, with its comparison rule. `tests/src/ecs_model.rs`
/// checks that the list agrees with AWS's own API model.
const MEMBERS: &str = include_str!("members.txt");

fn members() -> impl Iterator<Item = (&'static str, &'static str)> {
    MEMBERS.lines().map(|line| line.split_once(": ").expect("a path and how it is compared"))
}

fn written(path: &str) -> Option<String> {
    let plain = |plain| match plain {
        Plain::Bool(truth) => truth.to_string(),
        Plain::Number(number) => number.to_string(),
        Plain::Text(text) => text.to_owned(),
    };
    let rule = RULES.iter().find(|(of, _)| *of == path)?.1;
    Some(match rule {
        Rule::By(name) => format!("by {name}"),
        Rule::Set([]) => "set".to_owned(),
        Rule::Set(default) => format!("set, else {}", default.join(" ")),
        Rule::Default(default) => format!("else {}", plain(default)),
        Rule::OnFargate(default) => format!("on Fargate else {}", plain(default)),
    })
}

#[test]
fn field_list_matches_comparison_rules() {
    for (path, listed) in members() {
        match (written(path), listed) {
            (Some(rule), listed) => assert_eq!(rule, listed, "{path}"),
            (None, "of ECS") => assert!(OUTPUT_ONLY.contains(&path), "{path}"),
            (None, "host port") => assert_eq!(path, "containerDefinitions.portMappings.hostPort"),
            (None, "members" | "map" | "in order" | "as it is") => {}
            (None, other) => panic!("{path}: {other}"),
        }
    }
    for (path, _) in RULES {
        let is_listed = members().any(|(of, how)| {
            of == path || how == "map" && path.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
        });
        assert!(is_listed, "{path} is no member of a task definition");
    }
}

fn differences(before: &Value, after: &Value) -> Vec<String> {
    let forward = same_but_image(before, after, &["web".to_owned()]).err().unwrap_or_default();
    let backward = same_but_image(after, before, &["web".to_owned()]).err().unwrap_or_default();
    assert_eq!(forward.is_empty(), backward.is_empty(), "{forward:?} {backward:?}");
    forward
}

/// Returns a task definition with this value at the given path.
fn with(path: &str, value: Value) -> Value {
    let value = path.rsplit('.').fold(value, |value, member| match member {
        "containerDefinitions" => json!({ member: [{ "name": "web" }, value] }),
        "portMappings" | "mountPoints" | "volumesFrom" | "devices" | "volumes" if value.is_object() => {
            json!({ member: [value] })
        }
        member => json!({ member: value }),
    });
    let mut definition = json!({ "family": "web", "requiresCompatibilities": ["FARGATE"] });
    definition.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    if let Some(Value::Object(container)) = definition.pointer_mut("/containerDefinitions/1") {
        container.insert("name".to_owned(), "side".into());
    }
    definition
}

#[test]
fn explicit_default_equals_absent_field() {
    for (path, rule) in RULES {
        let json = |plain| match plain {
            Plain::Bool(truth) => (json!(truth), json!(!truth)),
            Plain::Number(number) => (json!(number), json!(number + 1)),
            Plain::Text(text) => (json!(text), json!("another")),
        };
        let (default, another, on_fargate) = match rule {
            Rule::By(_) | Rule::Set([]) => (json!([]), json!([{ "name": "another" }]), false),
            Rule::Set(default) => (json!(default), json!(["read"]), false),
            Rule::Default(plain) => (json(plain).0, json(plain).1, false),
            Rule::OnFargate(plain) => (json(plain).0, json(plain).1, true),
        };
        if matches!(path, "containerDefinitions" | "requiresCompatibilities") {
            continue; // Every definition has these two fields.
        }
        let absent = with(path, Value::Null);
        assert_eq!(differences(&absent, &with(path, default.clone())), [""; 0], "{path}");
        assert_ne!(differences(&absent, &with(path, another)), [""; 0], "{path}");
        let on_instances = |mut definition: Value| {
            definition["requiresCompatibilities"] = json!(["EC2", "FARGATE"]);
            definition
        };
        let forward = differences(&on_instances(absent), &on_instances(with(path, default)));
        assert_eq!(forward.is_empty(), !on_fargate, "{path}");
    }
}

#[test]
fn order_of_entries_matters_only_in_ordered_lists() {
    let check = |path: &str, one: Value, other: Value, same: bool| {
        let mut turned = vec![other.clone(), one.clone()];
        let forward = differences(&with(path, json!([one, other])), &with(path, json!(turned)));
        assert_eq!(forward.is_empty(), same, "{path}: {forward:?}");
        turned.pop();
        assert_ne!(differences(&with(path, json!([one, other])), &with(path, json!(turned))), [""; 0]);
    };
    for (path, listed) in members() {
        match (written(path), listed) {
            (_, "in order") => check(path, json!("a"), json!("b"), false),
            (Some(rule), _) if path != "containerDefinitions" && rule.starts_with("by ") => {
                let name = rule.trim_start_matches("by ");
                check(path, json!({ name: "a", "x": 1 }), json!({ name: "b", "x": 2 }), true);
                check(path, json!({ name: "a", "x": 1 }), json!({ name: "a", "x": 2 }), false);
            }
            (Some(rule), _) if path != "requiresCompatibilities" && rule.starts_with("set") => {
                check(path, json!("a"), json!("b"), true);
                check(path, json!({ "x": 1 }), json!({ "x": 2 }), true);
            }
            _ => {}
        }
    }
}

/// A variable that is set twice differs from a variable that is set once, because ECS uses the last
/// value.
#[test]
fn variable_set_twice_differs_from_variable_set_once() {
    let environment = |all: &[(&str, &str)]| {
        let all: Vec<_> = all.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        with("containerDefinitions.environment", json!(all))
    };
    let before = environment(&[("A", "1"), ("B", "2"), ("A", "3")]);
    assert_eq!(differences(&before, &environment(&[("B", "2"), ("A", "1"), ("A", "3")])), [""; 0]);
    let changed = differences(&before, &environment(&[("A", "3"), ("B", "2"), ("A", "1")]));
    assert_eq!(changed, ["containerDefinitions[side].environment[A].value"]);
    let fewer = differences(&before, &environment(&[("A", "1"), ("B", "2")]));
    assert_eq!(fewer, ["containerDefinitions[side].environment[A]"]);
    let links = |all: &[&str]| with("containerDefinitions.links", json!(all));
    assert_ne!(differences(&links(&["db", "db", "cache"]), &links(&["db", "cache", "cache"])), [""; 0]);
}

#[test]
fn network_mode_decides_default_host_port() {
    let mapped = |mode: &str, host: Value| {
        let port = json!({ "containerPort": 8080, "hostPort": host });
        let mut definition = with("containerDefinitions.portMappings", json!([port]));
        definition["networkMode"] = mode.into();
        definition
    };
    for (mode, host_port, same) in [
        ("awsvpc", json!(8080), true),
        ("host", json!(8080), true),
        ("awsvpc", json!(8081), false),
        ("bridge", json!(8080), false),
        ("bridge", json!(0), true),
        ("awsvpc", json!(0), false),
    ] {
        let forward = differences(&mapped(mode, Value::Null), &mapped(mode, host_port.clone()));
        assert_eq!(forward.is_empty(), same, "{mode} {host_port}: {forward:?}");
    }
    let mut both = mapped("bridge", json!(0));
    both["containerDefinitions"][1]["portMappings"] =
        json!([{ "containerPort": 53, "protocol": "udp" }, { "containerPort": 53, "protocol": "tcp" }]);
    let mut turned = both.clone();
    turned["containerDefinitions"][1]["portMappings"] =
        json!([{ "containerPort": 53 }, { "containerPort": 53, "protocol": "udp", "hostPort": 0 }]);
    assert_eq!(differences(&both, &turned), [""; 0]);
}

/// ECS may return containers in another order than the request contained:
/// <https://github.com/hashicorp/terraform-provider-aws/issues/3035>
#[test]
fn comparison_matches_containers_by_name() {
    let container = |name: &str, memory: u32| json!({ "name": name, "memory": memory, "image": "one" });
    let before = json!({ "containerDefinitions": [container("web", 64), container("side", 128)] });
    let mut after = json!({ "containerDefinitions": [container("side", 128), container("web", 64)] });
    after["containerDefinitions"][1]["image"] = "another".into();
    assert_eq!(differences(&before, &after), [""; 0]);
    after["containerDefinitions"][0]["image"] = "another".into();
    assert_eq!(differences(&before, &after), ["containerDefinitions[side].image"]);
}

/// ECS may add a field that this program does not know. The comparison must be literal, in order,
/// and without a default.
#[test]
fn unknown_field_is_compared_literally() {
    let of = |value: Value| with("containerDefinitions.memberOfTomorrow", value);
    for value in [json!(false), json!(0), json!(""), json!(["a"]), json!({ "a": 1 })] {
        let forward = differences(&of(Value::Null), &of(value));
        assert_eq!(forward, ["containerDefinitions[side].memberOfTomorrow"]);
    }
    assert_eq!(differences(&of(json!(["a", "b"])), &of(json!(["b", "a"]))).len(), 2);
    for nothing in [json!([]), json!({}), json!({ "a": null, "b": [] })] {
        assert_eq!(differences(&of(Value::Null), &of(nothing)), [""; 0]);
    }
}

fn definition_in_full() -> Value {
    json!({
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE", "EC2"],
        "placementConstraints": [
            { "type": "memberOf", "expression": "attribute:a == 1" },
            { "type": "memberOf", "expression": "attribute:b == 2" },
        ],
        "volumes": [{ "name": "data", "efsVolumeConfiguration": { "fileSystemId": "fs-1" } }, { "name": "tmp" }],
        "containerDefinitions": [
            {
                "name": "web",
                "image": "web:1",
                "command": ["serve", "--port", "8080"],
                "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
                "secrets": [{ "name": "KEY", "valueFrom": "k" }, { "name": "OTHER", "valueFrom": "o" }],
                "mountPoints": [
                    { "sourceVolume": "data", "containerPath": "/data" },
                    { "sourceVolume": "tmp", "containerPath": "/tmp" },
                ],
                "portMappings": [{ "containerPort": 8080 }, { "containerPort": 9090 }],
                "ulimits": [
                    { "name": "nofile", "softLimit": 1, "hardLimit": 2 },
                    { "name": "core", "softLimit": 0, "hardLimit": 0 },
                ],
                "healthCheck": { "command": ["CMD-SHELL", "true"] },
            },
            {
                "name": "side",
                "image": "side:1",
                "dependsOn": [
                    { "containerName": "web", "condition": "HEALTHY" },
                    { "containerName": "other", "condition": "START" },
                ],
            },
        ],
    })
}

/// Changes a value as another version of ECS may return it: reverses sets and adds explicit
/// defaults.
fn as_of_another_version(value: &mut Value, path: &str, on: &mut impl FnMut() -> bool) {
    let rule = |path: &str| RULES.iter().find(|(of, _)| *of == path).map(|(_, rule)| *rule);
    match value {
        Value::Array(values) => {
            values.iter_mut().for_each(|value| as_of_another_version(value, path, on));
            if matches!(rule(path), Some(Rule::By(_) | Rule::Set(_))) && on() {
                values.reverse();
            }
        }
        Value::Object(members) => {
            let below =
                |member: &str| if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
            for (member, value) in members.iter_mut() {
                as_of_another_version(value, &below(member), on);
            }
            for (of, rule) in RULES {
                let member = if path.is_empty() { Some(of) } else { of.strip_prefix(&format!("{path}.")) };
                let Some(member) = member.filter(|member| !member.contains('.')) else { continue };
                let default = match rule {
                    Rule::Default(Plain::Bool(truth)) => json!(truth),
                    Rule::Default(Plain::Number(number)) => json!(number),
                    Rule::Default(Plain::Text(text)) => json!(text),
                    Rule::By(_) | Rule::Set([]) => json!([]),
                    Rule::Set(_) | Rule::OnFargate(_) => continue,
                };
                if on() {
                    members.entry(member).or_insert(default);
                }
            }
            if path == "containerDefinitions.portMappings" && on() {
                members.insert("hostPort".to_owned(), members["containerPort"].clone());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn definition_returned_by_another_ecs_version_is_equal(choices in prop::collection::vec(any::<bool>(), 400)) {
        let mut choices = choices.into_iter().cycle();
        let mut answered = definition_in_full();
        as_of_another_version(&mut answered, "", &mut || choices.next().unwrap_or_default());
        prop_assert_eq!(differences(&definition_in_full(), &answered), vec![""; 0]);
    }
}
