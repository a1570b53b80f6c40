use std::sync::mpsc::channel;

use jiff::SignedDuration;
use serde_json::json;
use xtask::aws::Aws;

use super::super::EcsFake;
use super::{ask, client, image, refused, revision};

#[test]
fn error_of_the_fake_names_the_unknown_call() {
    let ecs = EcsFake::start();
    let (status, kind, message) = refused(&ecs, "RunTask", &json!({}));
    assert_eq!((status, &*kind), (501, "NotInTheFake"));
    assert!(message.contains("RunTask"), "{message}");
    assert_eq!(ecs.surprises().len(), 1);
}

#[test]
fn fake_refuses_unknown_request_fields() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    for (operation, body) in [
        ("DescribeServices", json!({ "cluster": "prod", "services": ["web"], "include": ["TAGS"] })),
        ("ListTasks", json!({ "cluster": "prod", "daemonName": "d" })),
        ("UpdateService", json!({ "cluster": "prod", "service": "web", "monitoring": {} })),
    ] {
        assert_eq!(refused(&ecs, operation, &body).0, 501, "{operation}");
        assert!(ecs.surprises()[0].starts_with(operation), "{operation}");
    }
}

#[test]
#[should_panic(expected = "the fake received requests that it does not know")]
fn unknown_call_fails_the_test() {
    let ecs = EcsFake::start();
    let _ = client(&ecs).ecs("PutClusterCapacityProviders", &json!({}));
}

#[test]
fn fake_refuses_signature_for_another_region() {
    let ecs = EcsFake::start();
    let elsewhere = Aws::new(&ecs.url(), "eu-west-1", "AKIAEXAMPLE", "secret");
    let answer = elsewhere.ecs("DescribeServices", &json!({ "services": ["web"] }));
    assert!(answer.expect_err("a wrong region is refused").is("IncompleteSignature"));
}

#[test]
fn request_for_missing_cluster_fails() {
    let ecs = EcsFake::start();
    let (status, kind, message) = refused(&ecs, "ListTasks", &json!({ "cluster": "prod" }));
    assert_eq!((status, &*kind, &*message), (400, "ClusterNotFoundException", "Cluster not found."));
}

#[test]
fn field_of_wrong_type_causes_a_serialization_error() {
    let ecs = EcsFake::start();
    ecs.cluster("default");
    let (_, kind, _) = refused(&ecs, "DescribeServices", &json!({ "services": "web" }));
    assert_eq!(kind, "SerializationException");
}

#[test]
fn fake_records_body_and_status_of_each_call() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    let body = json!({ "cluster": "prod", "services": ["web"] });
    ask(&ecs, "DescribeServices", &body);
    refused(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "none" }));
    let calls = ecs.calls();
    assert_eq!(calls[0].body, body);
    let all: Vec<_> = calls.iter().map(|call| (&*call.operation, call.status)).collect();
    assert_eq!(all, [("DescribeServices", 200), ("DescribeTaskDefinition", 400)]);
    assert_eq!(ecs.count("DescribeServices"), 1);
}

#[test]
fn test_can_act_before_and_after_a_call_that_changes_state() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    let (seen, heard) = channel();
    for (number, after) in [(1, false), (2, true)] {
        let seen = seen.clone();
        let act = move |ecs: &super::super::Ecs| {
            let _ = seen.send((number, after, ecs.service("prod/web").images()));
        };
        if after { ecs.after_change(number, act) } else { ecs.before_change(number, act) }
    }
    for digit in [2, 3] {
        super::update(&ecs, digit);
    }
    let heard: Vec<_> = heard.try_iter().collect();
    assert_eq!(heard, [(1, false, vec![image(1)]), (2, true, vec![image(3)])]);
}

#[test]
fn test_can_refuse_the_next_call() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    ecs.refuses_next("ListTasks", 500, "ServerException");
    let (status, kind, _) = refused(&ecs, "ListTasks", &json!({ "cluster": "prod" }));
    assert_eq!((status, &*kind), (500, "ServerException"));
    ask(&ecs, "ListTasks", &json!({ "cluster": "prod" }));
}

#[test]
fn matching_calls_fail_until_the_test_removes_the_refusal() {
    let ecs = EcsFake::start();
    ecs.cluster("prod");
    ecs.keeps_refusing("ListTasks", "worker", (403, "AccessDeniedException", "not authorized"));
    for _ in 0..2 {
        let of_worker = json!({ "cluster": "prod", "family": "worker" });
        let (status, kind, message) = refused(&ecs, "ListTasks", &of_worker);
        assert_eq!((status, &*kind, &*message), (403, "AccessDeniedException", "not authorized"));
        ask(&ecs, "ListTasks", &json!({ "cluster": "prod" }));
    }
    ecs.takes_all_again();
    ask(&ecs, "ListTasks", &json!({ "cluster": "prod" }));
}

#[test]
fn fake_throttles_nothing_by_default() {
    let ecs = EcsFake::start();
    for _ in 0..200 {
        revision(&ecs, 1);
        ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web" }));
    }
}

#[test]
fn ecs_accepts_20_registrations_then_1_per_second() {
    let ecs = EcsFake::start();
    ecs.throttles();
    let register = json!({ "family": "web", "containerDefinitions": [{ "name": "web", "image": image(1) }] });
    for _ in 0..19 {
        ask(&ecs, "RegisterTaskDefinition", &register);
    }
    // Registration and deregistration share a token bucket.
    ask(&ecs, "DeregisterTaskDefinition", &json!({ "taskDefinition": "web:1" }));
    let (status, kind, message) = refused(&ecs, "RegisterTaskDefinition", &register);
    assert_eq!((status, &*kind, &*message), (400, "ThrottlingException", "Rate exceeded"));
    ecs.time_passes(SignedDuration::from_secs(1));
    ask(&ecs, "RegisterTaskDefinition", &register);
    assert_eq!(refused(&ecs, "RegisterTaskDefinition", &register).1, "ThrottlingException");
    // DescribeTaskDefinition has another token bucket.
    ask(&ecs, "DescribeTaskDefinition", &json!({ "taskDefinition": "web:2" }));
}

#[test]
fn ecs_accepts_50_updates_then_5_per_second() {
    let ecs = EcsFake::start();
    ecs.service("prod/web").runs(&image(1)).create();
    ecs.throttles();
    let update = json!({ "cluster": "prod", "service": "web", "desiredCount": 1 });
    let accepted = || (0..60).take_while(|_| client(&ecs).ecs("UpdateService", &update).is_ok()).count();
    assert_eq!(accepted(), 50);
    ecs.time_passes(SignedDuration::from_secs(2));
    assert_eq!(accepted(), 10);
}
