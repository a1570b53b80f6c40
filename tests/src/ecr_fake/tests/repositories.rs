use serde_json::{Value, json};

use super::super::{EcrFake, Encryption, NewImage, TagMutability};
use super::{ask, client, fake, kind, refused, texts};

fn names(ecr: &EcrFake, ask: Value) -> (Vec<String>, Option<Value>) {
    let answer = client(ecr).ecr("DescribeRepositories", &ask).expect("the fake answers");
    (texts(&answer["repositories"], "repositoryName"), answer.get("nextToken").cloned())
}

#[test]
fn describe_returns_the_created_repository() {
    let ecr = EcrFake::start();
    let body = json!({ "repositoryName": "team/web", "imageTagMutability": "IMMUTABLE" });
    let made = client(&ecr).ecr("CreateRepository", &body).expect("the repository is created");
    let shown = client(&ecr).ecr("DescribeRepositories", &json!({ "repositoryNames": ["team/web"] }));
    assert_eq!(shown.expect("the repository exists")["repositories"][0], made["repository"]);
    let made = &made["repository"];
    assert_eq!(made["repositoryArn"], "arn:aws:ecr:us-east-1:000000000000:repository/team/web");
    assert_eq!(made["repositoryUri"], "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/web");
    assert_eq!(made["imageTagMutability"], "IMMUTABLE");
    assert!(made.get("imageTagMutabilityExclusionFilters").is_none());
    let again = client(&ecr).ecr("CreateRepository", &body).expect_err("the repository exists");
    assert!(again.is("RepositoryAlreadyExistsException"));
    let bad = client(&ecr).ecr("CreateRepository", &json!({ "repositoryName": "Web//" }));
    assert!(bad.expect_err("no name").is("InvalidParameterException"));
}

#[test]
fn only_mutability_modes_with_exclusion_accept_filters() {
    let ecr = EcrFake::start();
    let filter = |filter: &str| json!({ "filterType": "WILDCARD", "filter": filter });
    let create = |mode: &str, filters: Value| {
        let body = json!({
            "repositoryName": format!("r-{}", ecr.calls().len()), "imageTagMutability": mode,
            "imageTagMutabilityExclusionFilters": filters,
        });
        client(&ecr).ecr("CreateRepository", &body)
    };
    let made = create("IMMUTABLE_WITH_EXCLUSION", json!([filter("*-stable"), filter("latest")]));
    let made = made.expect("the repository is created");
    assert_eq!(
        texts(&made["repository"]["imageTagMutabilityExclusionFilters"], "filter"),
        ["*-stable", "latest"]
    );
    for (mode, filters) in [
        ("IMMUTABLE_WITH_EXCLUSION", json!([])),
        ("MUTABLE_WITH_EXCLUSION", Value::Null),
        ("MUTABLE", json!([filter("a")])),
        ("MUTABLE_WITH_EXCLUSION", json!(vec![filter("a"); 6])),
        ("MUTABLE_WITH_EXCLUSION", json!([filter("a/b")])),
        ("MUTABLE_WITH_EXCLUSION", json!([{ "filterType": "REGEX", "filter": "a" }])),
        ("SOMETIMES", json!([])),
    ] {
        let refused = create(mode, filters).expect_err("the filters are refused");
        assert!(refused.is("InvalidParameterException"), "{mode}: {refused}");
    }
}

#[test]
fn put_image_tag_mutability_changes_the_tag_mutability() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("v1"));
    web.put(NewImage::named("two").tag("main"));
    let answer = ask(&ecr, "PutImageTagMutability", json!({ "imageTagMutability": "IMMUTABLE" }));
    assert_eq!(answer["imageTagMutability"], "IMMUTABLE");
    let refusal = kind(&ecr, "PutImage", super::retag(&web, &digest, "main"));
    assert_eq!(refusal, "ImageTagAlreadyExistsException");
}

#[test]
fn page_has_100_repositories_by_default_and_at_most_1000() {
    let ecr = EcrFake::start();
    for number in 0..150 {
        ecr.creates(&format!("r{number:03}"), TagMutability::Mutable);
    }
    let (first, token) = names(&ecr, json!({}));
    let (second, none) = names(&ecr, json!({ "nextToken": token.expect("there is a second page") }));
    assert_eq!((first.len(), second.len(), none), (100, 50, None));
    assert_eq!(names(&ecr, json!({ "maxResults": 1000 })).0.len(), 150);
    let call =
        |body: Value| client(&ecr).ecr("DescribeRepositories", &body).expect_err("the request is refused");
    for body in [
        json!({ "maxResults": 1001 }),
        json!({ "maxResults": 0 }),
        json!({ "repositoryNames": ["r001"], "maxResults": 1 }),
        json!({ "repositoryNames": vec!["r001"; 101] }),
        json!({ "nextToken": "mine" }),
    ] {
        assert!(call(body.clone()).is("InvalidParameterException"), "{body}");
    }
}

#[test]
fn calls_for_missing_repository_fail() {
    let (ecr, web) = fake();
    let body = json!({ "repositoryNames": ["web", "none"] });
    let refused_by = client(&ecr).ecr("DescribeRepositories", &body).expect_err("one repository is missing");
    assert!(refused_by.is("RepositoryNotFoundException"));
    let (status, kind, message) = refused(&ecr, "DescribeImages", json!({ "registryId": "111122223333" }));
    assert_eq!((status, &*kind), (400, "RepositoryNotFoundException"));
    assert!(message.contains("in the registry with id '111122223333'"), "{message}");
    web.is_deleted();
    assert_eq!(super::kind(&ecr, "ListImages", json!({})), "RepositoryNotFoundException");
}

#[test]
fn ecr_returns_the_policies_that_a_test_has_set() {
    let (ecr, web) = fake();
    assert_eq!(kind(&ecr, "GetRepositoryPolicy", json!({})), "RepositoryPolicyNotFoundException");
    assert_eq!(kind(&ecr, "GetLifecyclePolicy", json!({})), "LifecyclePolicyNotFoundException");
    let of_all = || client(&ecr).ecr("GetRegistryPolicy", &json!({}));
    assert!(of_all().expect_err("there is none").is("RegistryPolicyNotFoundException"));
    ecr.has_registry_policy(Some("{}"));
    assert_eq!(of_all().expect("now there is one")["policyText"], "{}");
    web.has_policy(Some("{\"Statement\":[]}")).has_lifecycle_policy(Some("{\"rules\":[]}"));
    assert_eq!(ask(&ecr, "GetRepositoryPolicy", json!({}))["policyText"], "{\"Statement\":[]}");
    assert_eq!(ask(&ecr, "GetLifecyclePolicy", json!({}))["lifecyclePolicyText"], "{\"rules\":[]}");
}

#[test]
fn deletion_of_a_repository_with_images_needs_force() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one"));
    assert_eq!(kind(&ecr, "DeleteRepository", json!({})), "RepositoryNotEmptyException");
    ask(&ecr, "DeleteRepository", json!({ "force": true }));
    assert_eq!(kind(&ecr, "DeleteRepository", json!({})), "RepositoryNotFoundException");
    assert_eq!(ecr.events(), Vec::<Value>::new());
}

#[test]
fn describe_returns_the_encryption_of_the_repository() {
    let (ecr, web) = fake();
    let encryption = || {
        let answer = client(&ecr).ecr("DescribeRepositories", &json!({})).expect("the fake answers");
        answer["repositories"][0]["encryptionConfiguration"].clone()
    };
    assert_eq!(encryption(), json!({ "encryptionType": "AES256" }));
    let key = "arn:aws:kms:us-east-1:000000000000:key/1";
    web.is_encrypted_with(Encryption::Kms(key.to_owned()));
    assert_eq!(encryption(), json!({ "encryptionType": "KMS", "kmsKey": key }));
}
