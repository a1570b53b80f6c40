use serde_json::{Value, json};

use super::super::EcsFake;
use super::{ask, image, refused, revision};

fn request() -> Value {
    json!({ "family": "web", "containerDefinitions": [{ "name": "web", "image": image(1) }] })
}

#[test]
fn registration_keeps_unknown_fields() {
    let ecs = EcsFake::start();
    let mut request = request();
    request["memberOfTomorrow"] = json!({ "b": 1, "a": [1.5, null, "é"] });
    request["containerDefinitions"][0]["optionOfTomorrow"] = json!(true);
    ask(&ecs, "RegisterTaskDefinition", &request);
    let described = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web:1" }));
    let described = &described["taskDefinition"];
    assert_eq!(described["memberOfTomorrow"], request["memberOfTomorrow"]);
    assert_eq!(described["containerDefinitions"][0]["optionOfTomorrow"], true);
    let arn = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1";
    assert_eq!(described["taskDefinitionArn"], arn);
    assert_eq!((&described["revision"], &described["status"]), (&json!(1), &json!("ACTIVE")));
}

#[test]
fn description_without_output_only_fields_can_be_registered() {
    let ecs = EcsFake::start();
    ask(&ecs, "RegisterTaskDefinition", &request());
    let shown = |name: &str| {
        let answer = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": name }));
        answer["taskDefinition"].as_object().cloned().expect("a task definition")
    };
    let mut first = shown("web:1");
    let with_output_only = json!(first);
    let (_, kind, _) = refused(&ecs, "RegisterTaskDefinition", &with_output_only);
    assert_eq!(kind, "InvalidParameterException");
    for member in [
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    ] {
        first.remove(member).unwrap();
    }
    ask(&ecs, "RegisterTaskDefinition", &json!(first));
    let second = shown("web:2");
    assert!(first.iter().all(|(member, value)| second[member] == *value));
}

#[test]
fn ecs_refuses_invalid_task_definitions() {
    let ecs = EcsFake::start();
    let container = |change: Value| {
        let mut request = request();
        for (member, value) in change.as_object().unwrap() {
            request["containerDefinitions"][0][member] = value.clone();
        }
        request
    };
    let with = |member: &str, value: Value| {
        let mut request = request();
        request[member] = value;
        request
    };
    let tags: Vec<_> = (0..51).map(|n| json!({ "key": format!("k{n}"), "value": "" })).collect();
    let one = json!({ "name": "a", "image": "a" });
    for bad in [
        with("family", json!("a family")),
        with("family", json!("")),
        with("family", json!("f".repeat(256))),
        with("containerDefinitions", json!([])),
        with("containerDefinitions", json!([one, one])),
        with("tags", json!(tags)),
        with("tags", json!([{ "key": "aws:cloudformation:stack-name", "value": "s" }])),
        with("tags", json!([{ "key": "a", "value": "1" }, { "key": "a", "value": "2" }])),
        with("revision", json!(3)),
        with("requiresCompatibilities", json!(["FARGATE"])),
        with("filling", json!("x".repeat(65_536))),
        container(json!({ "image": "web@sha256:abc" })),
        container(json!({ "image": format!("web@sha256:{}", "A".repeat(64)) })),
        container(json!({ "image": "i".repeat(256) })),
        container(json!({ "image": "" })),
        container(json!({ "name": "no spaces" })),
        container(json!({ "essential": false })),
    ] {
        let (status, kind, message) = refused(&ecs, "RegisterTaskDefinition", &bad);
        assert_eq!(status, 400, "{bad}");
        assert!(matches!(&*kind, "ClientException" | "InvalidParameterException"), "{kind} {message}");
    }
    let none = ask(&ecs, "ListTaskDefinitions", &json!({}));
    assert_eq!(none["taskDefinitionArns"], json!([]), "nothing was registered");
}

#[test]
fn image_may_have_a_tag_or_a_digest_or_both_or_neither() {
    let ecs = EcsFake::start();
    let digest = super::digest(1);
    for image in
        ["web".into(), "web:main".into(), format!("web@{digest}"), format!("h:5000/web:main@{digest}")]
    {
        let mut request = request();
        request["containerDefinitions"][0]["image"] = json!(image);
        ask(&ecs, "RegisterTaskDefinition", &request);
    }
}

#[test]
fn describe_returns_tags_only_on_request() {
    let ecs = EcsFake::start();
    let mut request = request();
    request["tags"] = json!([{ "key": "team", "value": "web" }]);
    let registered = ask(&ecs, "RegisterTaskDefinition", &request);
    assert_eq!(registered["tags"], request["tags"]);
    let without = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web" }));
    assert_eq!(without["tags"], Value::Null);
    let with = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web", "include": ["TAGS"] }));
    assert_eq!(with["tags"], request["tags"]);
    assert_eq!(with["taskDefinition"]["tags"], Value::Null);
}

#[test]
fn family_name_selects_the_newest_active_revision() {
    let ecs = EcsFake::start();
    for digit in 1..=3 {
        revision(&ecs, digit);
    }
    ecs.deregisters("web:3");
    let answer = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web" }));
    assert_eq!(answer["taskDefinition"]["revision"], 2);
    let (status, kind, message) =
        refused(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "other" }));
    assert_eq!((status, &*kind), (400, "ClientException"));
    assert_eq!(message, "Unable to describe task definition.");
}

#[test]
fn ecs_keeps_deregistered_revisions_and_reuses_no_number() {
    let ecs = EcsFake::start();
    let first = revision(&ecs, 1);
    let answer = ask(&ecs, "DeregisterTaskDefinition", &json!({ "taskDefinition": first }));
    assert_eq!(answer["taskDefinition"]["status"], "INACTIVE");
    let described = ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web:1" }));
    assert_eq!(described["taskDefinition"]["status"], "INACTIVE");
    assert!(described["taskDefinition"]["deregisteredAt"].is_f64());
    assert!(revision(&ecs, 2).ends_with("/web:2"));
    let (_, kind, _) = refused(&ecs, "DeregisterTaskDefinition", &json!({ "taskDefinition": "web" }));
    assert_eq!(kind, "ClientException", "a revision is needed");
}

#[test]
fn ecs_refuses_to_deploy_an_inactive_revision() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    let old = revision(&ecs, 2);
    ecs.deregisters(&old);
    let update = json!({ "cluster": "prod", "service": "web", "taskDefinition": old });
    let (status, kind, message) = refused(&ecs, "UpdateService", &update);
    assert_eq!((status, &*kind, &*message), (400, "ClientException", "TaskDefinition is inactive"));
    let create =
        json!({ "cluster": "prod", "serviceName": "other", "desiredCount": 1, "taskDefinition": old });
    assert_eq!(refused(&ecs, "CreateService", &create).1, "ClientException");
    let missing = json!({ "cluster": "prod", "service": "web", "taskDefinition": "web:99" });
    assert_eq!(refused(&ecs, "UpdateService", &missing).2, "TaskDefinition not found.");
    assert_eq!(web.images(), [image(1)]);
}

#[test]
fn service_can_scale_after_its_revision_is_deregistered() {
    let ecs = EcsFake::start();
    let web = ecs.service("prod/web").runs(&image(1)).create();
    ecs.deregisters("web:1");
    ask(&ecs, "UpdateService", &json!({ "cluster": "prod", "service": "web", "desiredCount": 3 }));
    assert_eq!(web.described()["runningCount"], 3);
}

#[test]
fn list_returns_revisions_in_pages_of_100() {
    let ecs = EcsFake::start();
    for _ in 0..101 {
        revision(&ecs, 1);
    }
    let first = ask(&ecs, "ListTaskDefinitions", &json!({ "familyPrefix": "web", "sort": "DESC" }));
    let arns = first["taskDefinitionArns"].as_array().unwrap();
    assert_eq!(arns.len(), 100);
    assert!(arns[0].as_str().unwrap().ends_with("/web:101"));
    let rest = json!({ "familyPrefix": "web", "sort": "DESC", "nextToken": first["nextToken"] });
    let rest = ask(&ecs, "ListTaskDefinitions", &rest);
    assert_eq!(rest["taskDefinitionArns"].as_array().unwrap().len(), 1);
    assert_eq!(rest["nextToken"], Value::Null);
    let none = ask(&ecs, "ListTaskDefinitions", &json!({ "familyPrefix": "we" }));
    assert_eq!(none["taskDefinitionArns"], json!([]), "`familyPrefix` is the full name");
    for bad in [json!({ "maxResults": 101 }), json!({ "maxResults": 0 }), json!({ "nextToken": "made up" })] {
        assert_eq!(refused(&ecs, "ListTaskDefinitions", &bad).1, "InvalidParameterException");
    }
}

#[test]
fn filters_select_families_by_status_and_prefix() {
    let ecs = EcsFake::start();
    revision(&ecs, 1);
    let second = revision(&ecs, 2);
    let container = json!({ "name": "old", "image": image(1), "memory": 64 });
    let old = ecs.registers(&json!({ "family": "old", "containerDefinitions": [container] }));
    ecs.deregisters(&old);
    ecs.deregisters(&second);
    let families = |body: Value| ask(&ecs, "ListTaskDefinitionFamilies", &body)["families"].clone();
    assert_eq!(families(json!({})), json!(["old", "web"]));
    assert_eq!(families(json!({ "status": "ACTIVE" })), json!(["web"]));
    assert_eq!(families(json!({ "status": "INACTIVE" })), json!(["old"]));
    assert_eq!(families(json!({ "familyPrefix": "we" })), json!(["web"]), "`familyPrefix` is a prefix");
    assert_eq!(families(json!({ "maxResults": 1 })), json!(["old"]));
    assert_eq!(
        refused(&ecs, "ListTaskDefinitionFamilies", &json!({ "status": "SOME" })).1,
        "InvalidParameterException"
    );
}
