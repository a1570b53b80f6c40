use serde_json::{Value, json};
use xtask::aws::Aws;

use super::super::{EcrFake, NewImage};
use super::{ask, client, fake};

const ROLE: &str = "arn:aws:iam::000000000000:role/retention";

fn call(ecr: &EcrFake, operation: &str, body: Value) -> Result<Value, String> {
    client(ecr).ecr(operation, &body).map_err(|error| error.to_string())
}

#[test]
fn batch_get_updates_pull_time_but_describe_does_not() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    ask(&ecr, "DescribeImages", json!({ "imageIds": [{ "imageTag": "main" }] }));
    assert_eq!(web.pulled_at(&digest), None);
    ask(&ecr, "BatchGetImage", json!({ "imageIds": [{ "imageTag": "main" }] }));
    assert_eq!(web.pulled_at(&digest), Some(ecr.now()));
    web.is_pulled_at(&digest, None);
    ecr.registry().manifest("web", "main").expect("the registry answers").expect("the image exists");
    assert_eq!(web.pulled_at(&digest), Some(ecr.now()));
}

#[test]
fn pull_by_an_excluded_principal_does_not_update_pull_time() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let excluded = Aws::new(&ecr.url(), "us-east-1", "AKIARETENTION", "secret");
    let get = json!({ "repositoryName": "web", "imageIds": [{ "imageTag": "main" }] });
    ecr.knows_key("AKIARETENTION", ROLE);
    call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": ROLE }))
        .expect("the exclusion is registered");
    excluded.ecr("BatchGetImage", &get).expect("ECR answers");
    assert_eq!(web.pulled_at(&digest), None);
    client(&ecr).ecr("BatchGetImage", &get).expect("ECR answers");
    assert!(web.pulled_at(&digest).is_some(), "pulls by other principals count");

    web.is_pulled_at(&digest, None);
    let gone = call(&ecr, "DeregisterPullTimeUpdateExclusion", json!({ "principalArn": ROLE }));
    assert_eq!(gone.expect("the exclusion is deregistered"), json!({ "principalArn": ROLE }));
    excluded.ecr("BatchGetImage", &get).expect("ECR answers");
    assert!(web.pulled_at(&digest).is_some());
}

#[test]
fn ecr_refuses_a_duplicate_pull_time_exclusion() {
    let ecr = EcrFake::start();
    let body = || json!({ "principalArn": ROLE });
    let made = call(&ecr, "RegisterPullTimeUpdateExclusion", body()).expect("the exclusion is registered");
    assert!(made["createdAt"].is_number());
    let again = call(&ecr, "RegisterPullTimeUpdateExclusion", body()).expect_err("the exclusion exists");
    assert!(again.contains("ExclusionAlreadyExistsException"), "{again}");
    let listed = call(&ecr, "ListPullTimeUpdateExclusions", json!({})).expect("a list");
    assert_eq!(listed, json!({ "pullTimeUpdateExclusions": [ROLE] }));
    call(&ecr, "DeregisterPullTimeUpdateExclusion", body()).expect("the exclusion is deregistered");
    let none =
        call(&ecr, "DeregisterPullTimeUpdateExclusion", body()).expect_err("the exclusion does not exist");
    assert!(none.contains("ExclusionNotFoundException"), "{none}");
    let wrong = call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": "me" }));
    assert!(wrong.expect_err("no ARN").contains("InvalidParameterException"));
}

#[test]
fn ecr_accepts_at_most_100_pull_time_exclusions() {
    let ecr = EcrFake::start();
    let register = |number: usize| {
        call(&ecr, "RegisterPullTimeUpdateExclusion", json!({ "principalArn": format!("{ROLE}{number}") }))
    };
    (0..100).for_each(|number| drop(register(number).expect("the exclusion is registered")));
    assert!(register(100).expect_err("one too many").contains("LimitExceededException"));
}
