use serde_json::{Value, json};
use stablepin_aws::ecr::{
    Deleted, Ecr, EcrError, FailedImage, ImageStatus, PER_DELETE, StorageClass, Untag, sha256,
};
use stablepin_aws::session::Session;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::manifest::{ACCEPTED, DOCKER_LIST, OCI_INDEX, OCI_MANIFEST};

use crate::wire::{Answer, Wire, chain, error, ok};

const ROLE: &str = "arn:aws:iam::111122223333:role/retention";

fn web() -> RepositoryName {
    RepositoryName::parse("prod/web").unwrap()
}

fn tag(text: &str) -> ImageTag {
    ImageTag::parse(text).unwrap()
}

fn digest(number: usize) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{number:064x}")).unwrap()
}

fn digests(count: usize) -> Vec<ImageDigest> {
    (0..count).map(digest).collect()
}

fn image(number: usize) -> Value {
    json!({"imageDigest": digest(number).as_str(), "imageManifestMediaType": OCI_MANIFEST, "imageStatus": "ACTIVE"})
}

fn images(numbers: impl IntoIterator<Item = usize>) -> Answer {
    ok(json!({"imageDetails": numbers.into_iter().map(image).collect::<Vec<_>>()}))
}

fn client(wire: &Wire) -> Ecr {
    Ecr::patient(&wire.session())
}

fn with(member: &str, value: Value) -> Value {
    let mut image = image(1);
    image[member] = value;
    image
}

/// The inventory of a repository with only this image.
async fn inventory_of(image: Value) -> Result<stablepin_aws::ecr::ListedImages, EcrError> {
    let wire = Wire::answering([ok(json!({"imageDetails": [image]}))]);
    client(&wire).inventory(&web()).await
}

#[tokio::test]
async fn inventory_has_all_pages_and_states() {
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
    assert!(matches!(failed, EcrError::DescribeAll { .. }) && !failed.is_retryable(), "{failed}");

    let page = |token: &str| ok(json!({"imageDetails": [image(1)], "nextToken": token}));
    let wire = Wire::answering([page("two"), page("three"), page("two"), page("three")]);
    let failed = client(&wire).inventory(&web()).await.unwrap_err();
    assert_eq!(failed.to_string(), "the list of images of prod/web does not end (DescribeImages)");
    assert_eq!(wire.requests().len(), 3);

    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    let failed = client(&wire).inventory(&web()).await.unwrap_err();
    assert!(matches!(failed, EcrError::RepositoryNotFound { .. }), "{failed}");
}

#[tokio::test]
async fn odd_image_is_listed_with_its_oddness() {
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
async fn time_outside_the_calendar_is_none() {
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
async fn missing_or_invalid_members_get_defaults() {
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
async fn images_are_described_a_hundred_per_call() {
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
async fn missing_image_does_not_hide_others() {
    let missing = || error(400, "ImageNotFoundException");
    // Image 2 of 0..8 is missing. The calls are: all, 0..4, 0..2, 2..4, 2, 3, 4..8.
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

const INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

#[tokio::test]
async fn manifests_are_returned_with_failures() {
    let index = sha256(INDEX.as_bytes());
    let stored = json!({
        "imageId": {"imageDigest": index.as_str(), "imageTag": "v1"},
        "imageManifest": INDEX, "imageManifestMediaType": OCI_INDEX,
    });
    let failure = |number: usize, code: &str| json!({"imageId": {"imageDigest": digest(number).as_str()}, "failureCode": code, "failureReason": "why"});
    let answer = json!({
        "images": [stored, stored],
        "failures": [failure(1, "ImageNotFound"), failure(2, "ImageInaccessible"), failure(3, "Tomorrow")],
    });
    let wire = Wire::answering([ok(answer.clone())]);
    let asked = [index.clone(), digest(1), digest(2), digest(3)];
    let (manifests, failures) = client(&wire).manifests(&web(), &asked).await.unwrap();
    assert_eq!(manifests.len(), 1);
    assert_eq!((&manifests[0].digest, manifests[0].bytes.as_str()), (&index, INDEX));
    let failures: Vec<_> = failures.iter().map(|(digest, code)| (digest.clone(), code.as_str())).collect();
    assert_eq!(
        failures,
        [(digest(1), "ImageNotFound"), (digest(2), "ImageInaccessible"), (digest(3), "Tomorrow")]
    );
    let sent = wire.request().json();
    assert_eq!(sent["acceptedMediaTypes"], json!(ACCEPTED));
    assert_eq!(sent["imageIds"].as_array().unwrap().len(), 4);

    // An image that is in neither list.
    let wire = Wire::answering([ok(answer.clone())]);
    let more = [index.clone(), digest(4)];
    let failed = client(&wire).manifests(&web(), &more).await.unwrap_err();
    assert!(matches!(failed, EcrError::Answer { member: "images", .. }), "{failed}");

    // Bytes that do not hash to the digest.
    let mut corrupt = answer;
    corrupt["images"][0]["imageManifest"] = format!("{INDEX} ").into();
    let wire = Wire::answering([ok(corrupt)]);
    let failed = client(&wire).manifests(&web(), &asked).await.unwrap_err();
    assert!(matches!(failed, EcrError::Corrupt { .. }), "{failed}");

    let nameless = json!({"images": [], "failures": [{"failureCode": "KmsError"}]});
    let wire = Wire::answering([ok(nameless)]);
    let failed = client(&wire).manifests(&web(), &[digest(1)]).await.unwrap_err();
    assert!(matches!(failed, EcrError::Answer { member: "failures", .. }), "{failed}");
}

#[tokio::test]
async fn manifests_are_read_a_hundred_per_call() {
    let failures = |range: std::ops::Range<usize>| {
        let of = |number: usize| json!({"imageId": {"imageDigest": digest(number).as_str()}, "failureCode": "ImageNotFound"});
        ok(json!({"images": [], "failures": range.map(of).collect::<Vec<_>>()}))
    };
    let wire = Wire::answering([failures(0..100), failures(100..101)]);
    let (manifests, missing) = client(&wire).manifests(&web(), &digests(101)).await.unwrap();
    assert_eq!((manifests.len(), missing.len(), wire.requests().len()), (0, 101, 2));
}

#[tokio::test]
async fn deletion_returns_digests_and_failures() {
    let id = |number: usize, tag: &str| json!({"imageDigest": digest(number).as_str(), "imageTag": tag});
    let answer = json!({
        "imageIds": [id(1, "main"), id(1, "v1"), {"imageDigest": digest(2).as_str()}],
        "failures": [
            {"imageId": {"imageDigest": digest(3).as_str()}, "failureCode": "ImageReferencedByManifestList",
             "failureReason": "Requested image referenced by manifest list"},
            {"failureCode": "Tomorrow"},
        ],
    });
    let wire = Wire::answering([ok(answer)]);
    let deleted = client(&wire).delete(&web(), &[digest(1), digest(2), digest(3)]).await.unwrap();
    assert_eq!(deleted.digests, [digest(1), digest(2)].into());
    assert_eq!(
        deleted.failures,
        [
            FailedImage {
                digest: Some(digest(3)),
                code: "ImageReferencedByManifestList".to_owned(),
                reason: "Requested image referenced by manifest list".to_owned(),
            },
            FailedImage { digest: None, code: "Tomorrow".to_owned(), reason: String::new() },
        ]
    );
    let request = wire.request();
    assert_eq!(request.operation(), "BatchDeleteImage");
    let ids = [1, 2, 3].map(|number| json!({"imageDigest": digest(number).as_str()}));
    assert_eq!(request.json(), json!({"repositoryName": "prod/web", "imageIds": ids}));
}

#[tokio::test]
async fn deletion_is_one_call() {
    let wire = Wire::answering([]);
    assert_eq!(client(&wire).delete(&web(), &[]).await.unwrap(), Deleted::default());
    assert_eq!(wire.requests().len(), 0);

    let wire = Wire::answering([ok(json!({"imageIds": [], "failures": []}))]);
    client(&wire).delete(&web(), &digests(PER_DELETE)).await.unwrap();
    assert_eq!(wire.request().json()["imageIds"].as_array().unwrap().len(), 100);

    for (code, retryable) in
        [("InvalidParameterException", false), ("ThrottlingException", true), ("ServerException", false)]
    {
        let wire = Wire::answering([error(400, code)]);
        let failed = client(&wire).delete(&web(), &digests(1)).await.unwrap_err();
        assert!(matches!(failed, EcrError::BatchDeleteImage { .. }), "{failed}");
        assert_eq!(failed.is_retryable(), retryable, "{code}");
    }
    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    let failed = client(&wire).delete(&web(), &digests(1)).await.unwrap_err();
    assert!(matches!(failed, EcrError::RepositoryNotFound { .. }), "{failed}");

    let wire = Wire::answering([ok(json!({"imageIds": [{"imageTag": "v1"}]}))]);
    let failed = client(&wire).delete(&web(), &digests(1)).await.unwrap_err();
    assert!(matches!(failed, EcrError::Answer { operation: "BatchDeleteImage", .. }), "{failed}");
}

#[tokio::test]
async fn untag_never_deletes_the_image() {
    let tagged = |tags: &[&str]| ok(json!({"imageDetails": [with("imageTags", json!(tags))]}));
    let untag = async |answers: Vec<Answer>| {
        let wire = Wire::answering(answers);
        (client(&wire).untag(&web(), &tag("v1"), &digest(1)).await, wire)
    };
    let gone = json!({"imageIds": [{"imageDigest": digest(1).as_str(), "imageTag": "v1"}], "failures": []});
    let (untagged, wire) = untag(vec![tagged(&["main", "v1"]), ok(gone)]).await;
    assert_eq!(untagged.unwrap(), Untag::Untagged);
    assert_eq!(
        wire.requests()[1].json(),
        json!({"repositoryName": "prod/web", "imageIds": [{"imageTag": "v1"}]})
    );

    for (described, expected) in [
        (tagged(&["v1"]), Untag::LastTag),
        (tagged(&["main"]), Untag::NotThere),
        (tagged(&[]), Untag::NotThere),
        (error(400, "ImageNotFoundException"), Untag::NotThere),
    ] {
        let (untagged, wire) = untag(vec![described]).await;
        assert_eq!(untagged.unwrap(), expected);
        assert_eq!(wire.requests().len(), 1);
    }

    let failure = |code: &str| {
        ok(
            json!({"failures": [{"imageId": {"imageTag": "v1"}, "failureCode": code, "failureReason": "why"}]}),
        )
    };
    let (untagged, _) = untag(vec![tagged(&["main", "v1"]), failure("ImageNotFound")]).await;
    assert_eq!(untagged.unwrap(), Untag::NotThere);
    let (untagged, _) = untag(vec![tagged(&["main", "v1"]), failure("KmsError")]).await;
    let text = untagged.unwrap_err().to_string();
    assert_eq!(text, "could not take the tag v1 off in prod/web (BatchDeleteImage): KmsError, why");
}

#[tokio::test]
async fn image_is_archived_and_restored() {
    for (class, named) in [(StorageClass::Archive, "ARCHIVE"), (StorageClass::Standard, "STANDARD")] {
        let wire = Wire::answering([ok(json!({"imageStatus": "ARCHIVED"}))]);
        client(&wire).set_storage_class(&web(), &digest(1), class).await.unwrap();
        let request = wire.request();
        assert_eq!(request.operation(), "UpdateImageStorageClass");
        assert_eq!(
            request.json(),
            json!({
                "repositoryName": "prod/web",
                "imageId": {"imageDigest": digest(1).as_str()},
                "targetStorageClass": named,
            })
        );
    }
    let failed = async |code: &str| {
        let wire = Wire::answering([error(400, code)]);
        client(&wire).set_storage_class(&web(), &digest(1), StorageClass::Archive).await.unwrap_err()
    };
    assert!(matches!(failed("ImageNotFoundException").await, EcrError::ImageNotFound { .. }));
    let unsupported = failed("ImageStorageClassUpdateNotSupportedException").await;
    assert!(matches!(unsupported, EcrError::StorageClassNotSupported { .. }), "{unsupported}");
    assert!(chain(&unsupported).contains("told by the test"), "{unsupported}");
    assert!(matches!(failed("RepositoryNotFoundException").await, EcrError::RepositoryNotFound { .. }));
    let throttled = failed("ThrottlingException").await;
    assert!(matches!(throttled, EcrError::UpdateImageStorageClass { .. }) && throttled.is_retryable());
}

#[tokio::test]
async fn policies_of_a_repository_are_read() {
    let wire = Wire::answering([
        ok(json!({"policyText": "{\"Version\":\"2012-10-17\"}"})),
        error(400, "RepositoryPolicyNotFoundException"),
        error(400, "AccessDeniedException"),
        error(400, "RepositoryNotFoundException"),
        ok(json!({})),
    ]);
    let client = client(&wire);
    assert_eq!(
        client.repository_policy(&web()).await.unwrap().as_deref(),
        Some("{\"Version\":\"2012-10-17\"}")
    );
    assert_eq!(client.repository_policy(&web()).await.unwrap(), None);
    let denied = client.repository_policy(&web()).await.unwrap_err();
    assert!(matches!(denied, EcrError::GetRepositoryPolicy { .. }) && !denied.is_retryable(), "{denied}");
    let gone = client.repository_policy(&web()).await.unwrap_err();
    assert!(matches!(gone, EcrError::RepositoryNotFound { .. }), "{gone}");
    let empty = client.repository_policy(&web()).await.unwrap_err();
    assert!(matches!(empty, EcrError::Answer { member: "policyText", .. }), "{empty}");
    assert_eq!(wire.requests()[0].json(), json!({"repositoryName": "prod/web"}));
    assert!(wire.operations().iter().all(|operation| operation == "GetRepositoryPolicy"));

    let wire = Wire::answering([
        ok(json!({"lifecyclePolicyText": "{\"rules\":[]}"})),
        error(400, "LifecyclePolicyNotFoundException"),
        error(400, "AccessDeniedException"),
        error(400, "RepositoryNotFoundException"),
        ok(json!({})),
    ]);
    let client = Ecr::patient(&wire.session());
    assert_eq!(client.lifecycle_policy(&web()).await.unwrap().as_deref(), Some("{\"rules\":[]}"));
    assert_eq!(client.lifecycle_policy(&web()).await.unwrap(), None);
    let denied = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(matches!(denied, EcrError::GetLifecyclePolicy { .. }) && !denied.is_retryable(), "{denied}");
    let gone = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(matches!(gone, EcrError::RepositoryNotFound { .. }), "{gone}");
    let empty = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(matches!(empty, EcrError::Answer { member: "lifecyclePolicyText", .. }), "{empty}");
    assert!(wire.operations().iter().all(|operation| operation == "GetLifecyclePolicy"));
}

#[tokio::test]
async fn role_is_excluded_from_pull_times_once() {
    let others = |token: Option<&str>| {
        let mut page = json!({"pullTimeUpdateExclusions": ["arn:aws:iam::111122223333:role/other"]});
        if let Some(token) = token {
            page["nextToken"] = token.into();
        }
        ok(page)
    };
    let wire = Wire::answering([others(Some("two")), others(None), ok(json!({"principalArn": ROLE}))]);
    assert!(client(&wire).exclude_from_pull_times(ROLE).await.unwrap());
    assert_eq!(
        wire.operations(),
        ["ListPullTimeUpdateExclusions", "ListPullTimeUpdateExclusions", "RegisterPullTimeUpdateExclusion"]
    );
    assert_eq!(wire.requests()[1].json(), json!({"nextToken": "two"}));
    assert_eq!(wire.requests()[2].json(), json!({"principalArn": ROLE}));

    let wire = Wire::answering([
        others(Some("two")),
        ok(json!({"pullTimeUpdateExclusions": [ROLE], "nextToken": "three"})),
    ]);
    assert!(!client(&wire).exclude_from_pull_times(ROLE).await.unwrap());
    assert_eq!(wire.requests().len(), 2);

    let wire = Wire::answering([others(None), error(400, "ExclusionAlreadyExistsException")]);
    assert!(!client(&wire).exclude_from_pull_times(ROLE).await.unwrap());

    let wire = Wire::answering([others(None), error(400, "LimitExceededException")]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(matches!(failed, EcrError::RegisterPullTimeUpdateExclusion { .. }), "{failed}");

    let wire = Wire::answering([error(400, "AccessDeniedException")]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(matches!(failed, EcrError::ListPullTimeUpdateExclusions { .. }), "{failed}");

    let wire = Wire::answering([others(Some("two")), others(Some("two"))]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(matches!(failed, EcrError::Endless { .. }), "{failed}");
}

#[tokio::test]
async fn failed_page_is_retried() {
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
