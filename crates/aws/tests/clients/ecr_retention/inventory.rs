//! Tests of listing and describing images.

use serde_json::{Value, json};
use stablepin_aws::ecr::{Ecr, EcrError, ImageStatus};
use stablepin_aws::session::Session;
use stablepin_oci::{DOCKER_LIST, OCI_INDEX};

use super::fixtures::{client, digest, digests, image, images, tag, web, with};
use crate::wire::{Wire, chain, error, ok};

/// Reads the inventory of a repository that has only this image.
async fn inventory_of(image: Value) -> Result<stablepin_aws::ecr::ListedImages, EcrError> {
    let wire = Wire::answering([ok(json!({"imageDetails": [image]}))]);
    client(&wire).inventory(&web()).await
}

#[tokio::test]
async fn inventory_includes_images_of_all_pages_and_states() {
    let first = json!({
        "imageDigest": digest(1).as_str(),
        "imageTags": ["main", "v1"],
        "imageSizeInBytes": 1234,
        "imagePushedAt": 1_752_760_000.5,
        "lastRecordedPullTime": 1_752_846_400,
        "lastArchivedAt": 1_752_932_800,
        "lastActivatedAt": 1_753_019_200,
        "imageManifestMediaType": OCI_INDEX,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ARCHIVED",
        "subjectManifestDigest": digest(9).as_str(),
    });
    let wire = Wire::answering([
        ok(json!({"imageDetails": [first], "nextToken": "two"})),
        ok(json!({"imageDetails": [image(2)], "nextToken": "three"})),
        ok(json!({"imageDetails": [with("imageManifestMediaType", DOCKER_LIST.into())]})),
    ]);
    let found = client(&wire).inventory(&web()).await.unwrap().images;
    assert_eq!(found.len(), 3);
    let first = &found[0];
    assert_eq!(first.digest, digest(1));
    assert_eq!(first.tags, [tag("main"), tag("v1")]);
    assert_eq!((first.size_bytes, first.status), (Some(1234), ImageStatus::Archived));
    let times = [first.pushed_at, first.pulled_at, first.archived_at, first.activated_at];
    let times: Vec<String> = times.iter().map(|at| at.unwrap().to_string()).collect();
    assert_eq!(
        times,
        ["2025-07-17T13:46:40.5Z", "2025-07-18T13:46:40Z", "2025-07-19T13:46:40Z", "2025-07-20T13:46:40Z"]
    );
    assert_eq!((first.is_index, first.subject.as_ref()), (true, Some(&digest(9))));
    assert_eq!((found[1].is_index, found[2].is_index), (false, true));
    assert_eq!((&found[1].subject, found[1].pushed_at, found[1].size_bytes), (&None, None, None));

    let asked: Vec<Value> = wire.requests().iter().map(|request| request.json()).collect();
    let page = json!({"repositoryName": "prod/web", "maxResults": 1000, "filter": {"imageStatus": "ANY"}});
    assert_eq!(asked[0], page);
    assert_eq!((&asked[1]["nextToken"], &asked[2]["nextToken"]), (&"two".into(), &"three".into()));
    assert!(wire.operations().iter().all(|operation| operation == "DescribeImages"));
}

#[tokio::test]
async fn incomplete_inventory_is_an_error() {
    let wire = Wire::answering([
        ok(json!({"imageDetails": [image(1)], "nextToken": "two"})),
        error(400, "AccessDeniedException"),
    ]);
    let failed = client(&wire).inventory(&web()).await.unwrap_err();
    assert_eq!(failed.to_string(), "could not list the images of prod/web (DescribeImages)");
    assert!(!failed.is_retryable());

    let page = |token: &str| ok(json!({"imageDetails": [image(1)], "nextToken": token}));
    let wire = Wire::answering([page("two"), page("three"), page("two"), page("three")]);
    let failed = client(&wire).inventory(&web()).await.unwrap_err();
    assert_eq!(
        chain(&failed),
        "could not list the images of prod/web (DescribeImages): the list does not end"
    );
    assert_eq!(wire.requests().len(), 3);

    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    let failed = client(&wire).inventory(&web()).await.unwrap_err();
    assert!(failed.is_of_all_images(), "{failed}");
}

#[tokio::test]
async fn inventory_keeps_images_with_unreadable_fields() {
    for (member, value) in [
        ("imageTags", json!(["v1", "-no tag"])),
        ("imageTags", json!("v1")),
        ("imageStatus", json!("MELTING")),
        ("subjectManifestDigest", json!("nothing")),
        ("imageSizeInBytes", json!(-1)),
        ("imageSizeInBytes", json!(1e30)),
        ("imagePushedAt", json!("yesterday")),
        ("imageManifestMediaType", json!(7)),
    ] {
        let wire =
            Wire::answering([ok(json!({"imageDetails": [image(2), with(member, value.clone()), image(3)]}))]);
        let listed = client(&wire).inventory(&web()).await.unwrap();
        let odd: Vec<Option<&str>> =
            listed.images.iter().map(|image| image.odd.as_ref().map(|odd| odd.0.as_str())).collect();
        let text = odd[1].unwrap_or_default();
        assert!(text.contains(member) && text.contains("not understood"), "{value}: {text}");
        assert_eq!((odd.len(), odd[0], odd[2]), (3, None, None), "{value}");
        assert_eq!(listed.images[1].digest, digest(1));
        assert!(listed.unnamed.is_empty());
    }
    let mut nameless = image(1);
    nameless.as_object_mut().unwrap().remove("imageDigest");
    for (odd, named) in
        [(with("imageDigest", "sha512:00".into()), "sha512:00"), (nameless, ""), (json!(7), "")]
    {
        let listed = inventory_of(odd).await.unwrap();
        assert_eq!((listed.images.len(), listed.unnamed), (0, vec![named.to_owned()]));
    }
}

#[tokio::test]
async fn unrepresentable_time_becomes_none() {
    for (at, expected) in [
        (json!(0), Some("1970-01-01T00:00:00Z")),
        (json!(-1), Some("1969-12-31T23:59:59Z")),
        (json!(-1.5), Some("1969-12-31T23:59:58.5Z")),
        (json!(253_402_000_000_u64), Some("9999-12-28T12:26:40Z")),
        (json!(9_000_000_000_000_u64), None),
        (json!(-9_000_000_000_000_i64), None),
        (json!(1e300), None),
        (json!(-1e300), None),
        (json!(i64::MAX), None),
        (json!(null), None),
    ] {
        for member in ["imagePushedAt", "lastRecordedPullTime", "lastArchivedAt", "lastActivatedAt"] {
            let found = inventory_of(with(member, at.clone())).await.unwrap();
            let one = &found.images[0];
            let times = [one.pushed_at, one.pulled_at, one.archived_at, one.activated_at];
            let time = times.into_iter().flatten().next().map(|at| at.to_string());
            assert_eq!(time.as_deref(), expected, "{member}: {at}");
        }
    }
}

#[tokio::test]
async fn missing_or_invalid_fields_get_defaults() {
    let found = inventory_of(with("imageSizeInBytes", json!(-5))).await.unwrap();
    assert_eq!(found.images[0].size_bytes, None);
    let found = inventory_of(with("imageManifestMediaType", Value::Null)).await.unwrap();
    assert!(found.images[0].is_index);
    let found = inventory_of(with("imageStatus", Value::Null)).await.unwrap();
    assert_eq!(found.images[0].status, ImageStatus::Active);
    let found = inventory_of(with("imageStatus", "ACTIVATING".into())).await.unwrap();
    assert_eq!(found.images[0].status, ImageStatus::Activating);
}

#[tokio::test]
async fn client_describes_a_hundred_images_per_call() {
    let wire = Wire::answering([images(0..100), images(100..150)]);
    let found = client(&wire).describe_some(&web(), &digests(150)).await.unwrap();
    assert_eq!(found.len(), 150);
    let asked = wire.requests()[0].json();
    assert_eq!(asked["filter"], json!({"imageStatus": "ANY"}));
    assert_eq!(asked["imageIds"][99], json!({"imageDigest": digest(99).as_str()}));
    assert!(asked.get("maxResults").is_none(), "ECR refuses maxResults together with imageIds");
    assert_eq!(wire.requests()[1].json()["imageIds"].as_array().unwrap().len(), 50);

    let wire = Wire::answering([]);
    assert_eq!(client(&wire).describe_some(&web(), &[]).await.unwrap(), []);
    assert_eq!(wire.requests().len(), 0);
}

#[tokio::test]
async fn missing_image_does_not_hide_the_other_images() {
    let missing = || error(400, "ImageNotFoundException");
    // Image 2 of the images 0..8 is missing. The calls request 0..8, 0..4, 0..2, 2..4, 2, 3, 4..8.
    let answers = [missing(), missing(), images(0..2), missing(), missing(), images([3]), images(4..8)];
    let wire = Wire::answering(answers);
    let found = client(&wire).describe_some(&web(), &digests(8)).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|image| image.digest).collect();
    let expected: Vec<_> = [0, 1, 3, 4, 5, 6, 7].map(digest).to_vec();
    assert_eq!(found, expected);
    let sizes: Vec<_> =
        wire.requests().iter().map(|request| request.json()["imageIds"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [8, 4, 2, 2, 1, 1, 4]);

    let wire = Wire::answering([missing(), images([0]), error(400, "AccessDeniedException")]);
    let failed = client(&wire).describe_some(&web(), &digests(2)).await.unwrap_err();
    assert!(chain(&failed).contains("AccessDeniedException"), "{failed}");
}

#[tokio::test]
async fn inventory_retries_a_failed_page() {
    let wire = Wire::answering([
        ok(json!({"imageDetails": [image(1)], "nextToken": "two"})),
        error(500, "ServerException"),
        error(500, "ServerException"),
        images([2]),
    ]);
    let mut settings = wire.settings();
    settings.patient_attempts = 3;
    let found = Ecr::patient(&Session::new(settings)).inventory(&web()).await.unwrap().images;
    assert_eq!(found.len(), 2);
    let tokens: Vec<_> = wire.requests().iter().map(|request| request.json()["nextToken"].clone()).collect();
    assert_eq!(tokens, [Value::Null, "two".into(), "two".into(), "two".into()]);
}
