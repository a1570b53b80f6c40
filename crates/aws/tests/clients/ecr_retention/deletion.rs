//! Tests of deleting images, removing tags, and archiving images.

use serde_json::json;
use stablepin_aws::ecr::{Deleted, FailedImage, PER_DELETE, StorageClass, Untag};

use super::fixtures::{client, digest, digests, tag, web, with};
use crate::wire::{Answer, Wire, chain, error, ok};

#[tokio::test]
async fn deletion_returns_deleted_digests_and_failures() {
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
async fn deletion_makes_at_most_one_call() {
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
        assert_eq!(failed.to_string(), "could not delete from prod/web (BatchDeleteImage)");
        assert_eq!(failed.is_retryable(), retryable, "{code}");
    }
    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    let failed = client(&wire).delete(&web(), &digests(1)).await.unwrap_err();
    assert!(failed.is_of_all_images(), "{failed}");

    let wire = Wire::answering([ok(json!({"imageIds": [{"imageTag": "v1"}]}))]);
    let failed = client(&wire).delete(&web(), &digests(1)).await.unwrap_err();
    assert!(chain(&failed).ends_with("(BatchDeleteImage): the answer has no valid imageDigest"), "{failed}");
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
    let text = chain(&untagged.unwrap_err());
    assert_eq!(text, "could not take the tag v1 off in prod/web (BatchDeleteImage): KmsError, why");
}

#[tokio::test]
async fn client_archives_and_restores_an_image() {
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
    assert_eq!(failed("ImageNotFoundException").await.of_one_image(), Some("ImageNotFound"));
    let unsupported = failed("ImageStorageClassUpdateNotSupportedException").await;
    assert_eq!(unsupported.of_one_image(), Some("ImageStorageClassUpdateNotSupported"), "{unsupported}");
    assert!(unsupported.to_string().ends_with("the image cannot be moved to that storage class"));
    assert!(chain(&unsupported).contains("told by the test"), "{unsupported}");
    let absent = failed("RepositoryNotFoundException").await;
    assert!(absent.is_of_all_images() && absent.of_one_image().is_none(), "{absent}");
    let throttled = failed("ThrottlingException").await;
    assert!(throttled.of_one_image().is_none() && throttled.is_retryable(), "{throttled}");
}
