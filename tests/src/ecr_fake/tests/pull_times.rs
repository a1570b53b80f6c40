use serde_json::{Value, json};
use xtask::aws::Aws;

use super::super::{EcrFake, NewImage};
use super::{ask, client, fake};

const ROLE: &str = "arn:aws:iam::000000000000:role/retention";

fn call(ecr: &EcrFake, operation: &str, body: Value) -> Result<Value, String> {
    client(ecr).ecr(operation, &body).map_err(|error| error.to_string())
}

#[test]
fn getting_a_manifest_is_a_pull_and_describing_is_none() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    ask(&ecr, "DescribeImages", json!({ "imageIds": [{ "imageTag": "main" }] }));
    assert_eq!(web.pulled_at(&digest), None);
    ask(&ecr, "BatchGetImage", json!({ "imageIds": [{ "imageTag": "main" }] }));
    assert_eq!(web.pulled_at(&digest), Some(ecr.now()));
    web.is_pulled_at(&digest, None);
    ecr.registry().manifest("web", "main").expect("it answers").expect("it is there");
    assert_eq!(web.pulled_at(&digest), Some(ecr.now()));
}

#[test]
fn a_principal_that_is_excluded_leaves_no_time() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let excluded = Aws::new(&ecr.url(), "us-east-1", "AKIARETENTION", "secret");
    let get = json!({ "repositoryName": "web", "imageIds": [{ "imageTag": "main" }] });
    ecr.knows_key("AKIARETENTION", ROLE);
    call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": ROLE })).expect("it is registered");
    excluded.ecr("BatchGetImage", &get).expect("it answers");
    assert_eq!(web.pulled_at(&digest), None);
    client(&ecr).ecr("BatchGetImage", &get).expect("it answers");
    assert!(web.pulled_at(&digest).is_some(), "others count");

    web.is_pulled_at(&digest, None);
    let gone = call(&ecr, "DeregisterPullTimeUpdateExclusion", json!({ "principalArn": ROLE }));
    assert_eq!(gone.expect("it is deregistered"), json!({ "principalArn": ROLE }));
    excluded.ecr("BatchGetImage", &get).expect("it answers");
    assert!(web.pulled_at(&digest).is_some());
}

#[test]
fn exclusions_are_registered_once_and_listed() {
    let ecr = EcrFake::start();
    let body = || json!({ "principalArn": ROLE });
    let made = call(&ecr, "RegisterPullTimeUpdateExclusion", body()).expect("it is registered");
    assert!(made["createdAt"].is_number());
    let again = call(&ecr, "RegisterPullTimeUpdateExclusion", body()).expect_err("it is there");
    assert!(again.contains("ExclusionAlreadyExistsException"), "{again}");
    let listed = call(&ecr, "ListPullTimeUpdateExclusions", json!({})).expect("a list");
    assert_eq!(listed, json!({ "pullTimeUpdateExclusions": [ROLE] }));
    call(&ecr, "DeregisterPullTimeUpdateExclusion", body()).expect("it is deregistered");
    let none = call(&ecr, "DeregisterPullTimeUpdateExclusion", body()).expect_err("it is gone");
    assert!(none.contains("ExclusionNotFoundException"), "{none}");
    let wrong = call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": "me" }));
    assert!(wrong.expect_err("no ARN").contains("InvalidParameterException"));
}

#[test]
fn a_hundred_may_be_excluded() {
    let ecr = EcrFake::start();
    let register = |number: usize| {
        call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": format!("{ROLE}{number}") }))
    };
    (0..100).for_each(|number| drop(register(number).expect("it is registered")));
    assert!(register(100).expect_err("one too many").contains("LimitExceededException"));
}
