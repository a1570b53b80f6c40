//! Tests of reading manifests.

use serde_json::json;
use stablepin_aws::ecr::sha256;
use stablepin_oci::{ACCEPTED, OCI_INDEX};

use super::fixtures::{client, digest, digests, web};
use crate::wire::{Wire, chain, ok};

const INDEX: &str =
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}";

#[tokio::test]
async fn client_returns_manifests_and_failures() {
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

    // Neither list of the response contains image 4.
    let wire = Wire::answering([ok(answer.clone())]);
    let more = [index.clone(), digest(4)];
    let failed = client(&wire).manifests(&web(), &more).await.unwrap_err();
    assert!(chain(&failed).ends_with("no valid images"), "{failed}");

    // The bytes in the response do not hash to the digest.
    let mut corrupt = answer;
    corrupt["images"][0]["imageManifest"] = format!("{INDEX} ").into();
    let wire = Wire::answering([ok(corrupt)]);
    let failed = client(&wire).manifests(&web(), &asked).await.unwrap_err();
    assert!(chain(&failed).contains(" hash to "), "{failed}");

    let nameless = json!({"images": [], "failures": [{"failureCode": "KmsError"}]});
    let wire = Wire::answering([ok(nameless)]);
    let failed = client(&wire).manifests(&web(), &[digest(1)]).await.unwrap_err();
    assert!(chain(&failed).ends_with("no valid failures"), "{failed}");
}

#[tokio::test]
async fn client_reads_a_hundred_manifests_per_call() {
    let failures = |range: std::ops::Range<usize>| {
        let of = |number: usize| json!({"imageId": {"imageDigest": digest(number).as_str()}, "failureCode": "ImageNotFound"});
        ok(json!({"images": [], "failures": range.map(of).collect::<Vec<_>>()}))
    };
    let wire = Wire::answering([failures(0..100), failures(100..101)]);
    let (manifests, missing) = client(&wire).manifests(&web(), &digests(101)).await.unwrap();
    assert_eq!((manifests.len(), missing.len(), wire.requests().len()), (0, 101, 2));
}
