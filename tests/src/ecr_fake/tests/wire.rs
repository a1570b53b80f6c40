use std::thread;

use serde_json::json;
use xtask::aws::Aws;

use super::super::{EcrFake, NewImage};
use super::{ask, client, fake, kind, refused};

#[test]
fn error_of_the_fake_names_the_unknown_call() {
    let (ecr, _) = fake();
    let (status, kind, message) = refused(&ecr, "StartImageScan", json!({}));
    assert_eq!((status, &*kind), (501, "NotInTheFake"));
    assert!(message.contains("StartImageScan"), "{message}");
    assert_eq!(ecr.surprises().len(), 1);
}

#[test]
fn fake_refuses_unknown_request_fields() {
    let (ecr, _) = fake();
    for (operation, members) in [
        ("DescribeImages", json!({ "sort": "NEWEST" })),
        ("DescribeImages", json!({ "filter": { "tagPrefix": "v" } })),
        ("BatchGetImage", json!({ "imageIds": [{ "imageName": "main" }] })),
        ("CreateRepository", json!({ "tags": [] })),
    ] {
        assert_eq!(refused(&ecr, operation, members).0, 501, "{operation}");
        assert_eq!(ecr.surprises().len(), 1, "{operation}");
    }
}

#[test]
#[should_panic(expected = "the fake received requests that it does not know")]
fn unknown_call_fails_the_test() {
    let ecr = EcrFake::start();
    let _ = client(&ecr).ecr("PutLifecyclePolicy", &json!({}));
}

#[test]
fn fake_refuses_signature_for_another_region() {
    let ecr = EcrFake::start();
    let elsewhere = Aws::new(&ecr.url(), "eu-west-1", "AKIAEXAMPLE", "secret");
    let answer = elsewhere.ecr("DescribeRepositories", &json!({}));
    assert!(answer.expect_err("a wrong region is refused").is("IncompleteSignature"));
}

#[test]
fn field_of_wrong_type_causes_a_serialization_error() {
    let (ecr, _) = fake();
    assert_eq!(kind(&ecr, "BatchGetImage", json!({ "imageIds": "main" })), "SerializationException");
    assert_eq!(kind(&ecr, "BatchGetImage", json!({ "imageIds": ["main"] })), "SerializationException");
}

#[test]
fn fake_records_body_and_sizes_of_each_call() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one").tag("main"));
    ask(&ecr, "DescribeImages", json!({ "maxResults": 7 }));
    kind(&ecr, "DescribeImages", json!({ "maxResults": 0 }));
    let calls = ecr.calls();
    assert_eq!(calls[0].body["maxResults"], 7);
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [200, 400]);
    assert!(calls.iter().all(|call| call.received > 30 && call.sent > 30), "{calls:?}");
    assert_eq!(ecr.count("DescribeImages"), 2);
    assert_eq!(ecr.counts()["DescribeImages"], 2);
    ecr.forgets_calls();
    assert_eq!(ecr.count("DescribeImages"), 0);
}

#[test]
fn test_can_let_calls_fail_once_or_always() {
    let (ecr, _) = fake();
    let list = || client(&ecr).ecr("DescribeImages", &json!({ "repositoryName": "web" }));
    ecr.fails("DescribeImages", 2, 500, "ServerException");
    assert!(list().is_ok());
    assert!(list().expect_err("the second call fails").is("ServerException"));
    assert!(list().is_ok());
    ecr.keeps_failing("DescribeImages", 2, 400, "AccessDeniedException");
    assert!(list().is_ok());
    assert!(list().is_err() && list().is_err());
    ecr.is_well();
    assert!(list().is_ok());
}

#[test]
fn paused_call_waits_until_the_test_lets_it_continue() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let pause = ecr.pauses("BatchDeleteImage");
    thread::scope(|scope| {
        let ids = json!({ "imageIds": [{ "imageDigest": digest }] });
        let call = scope.spawn(|| ask(&ecr, "BatchDeleteImage", ids));
        assert_eq!(pause.comes()["imageIds"][0]["imageDigest"], *digest);
        assert!(web.exists(&digest), "the waiting call has no effect yet");
        assert_eq!(ask(&ecr, "DescribeImages", json!({}))["imageDetails"][0]["imageDigest"], *digest);
        web.is_tagged("prod-stable", &digest);
        pause.goes_on();
        let answer = call.join().expect("an answer");
        assert_eq!(answer["imageIds"].as_array().map(Vec::len), Some(2), "{answer}");
    });
    assert!(!web.exists(&digest));
}

#[test]
fn dropping_a_pause_lets_the_call_continue() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one"));
    drop(ecr.pauses("DescribeImages"));
    ask(&ecr, "DescribeImages", json!({}));
    ask(&ecr, "DescribeImages", json!({}));
}
