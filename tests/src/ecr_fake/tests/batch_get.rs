use serde_json::{Value, json};

use super::super::manifest::{OCI_INDEX, OCI_MANIFEST};
use super::super::{NewImage, StorageStatus};
use super::{ask, fake, kind, texts};

fn failures(answer: &Value) -> Vec<String> {
    texts(&answer["failures"], "failureCode")
}

#[test]
fn request_may_identify_images_by_tag_or_digest() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main").tag("v1"));
    let answer = ask(
        &ecr,
        "BatchGetImage",
        json!({
            "imageIds": [{ "imageTag": "main" }, { "imageDigest": digest }, { "imageDigest": digest, "imageTag": "v1" }],
        }),
    );
    let ids: Vec<_> =
        answer["images"].as_array().expect("images").iter().map(|one| &one["imageId"]).collect();
    assert_eq!(
        ids,
        [
            &json!({ "imageDigest": digest, "imageTag": "main" }),
            &json!({ "imageDigest": digest }),
            &json!({ "imageDigest": digest, "imageTag": "v1" }),
        ]
    );
    assert_eq!(answer["images"][0]["imageManifest"].as_str(), web.manifest(&digest).as_deref());
    assert_eq!(answer["images"][0]["imageManifestMediaType"], OCI_MANIFEST);
}

#[test]
fn response_lists_missing_images_as_failures() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    web.put(NewImage::named("two").tag("v2"));
    let answer = ask(
        &ecr,
        "BatchGetImage",
        json!({ "imageIds": [
        { "imageTag": "none" },
        { "imageDigest": format!("sha256:{}", "0".repeat(64)) },
        { "imageDigest": "sha256:abc" },
        { "imageTag": "no tag" },
        {},
        { "imageDigest": digest, "imageTag": "v2" },
        { "imageTag": "main" },
    ] }),
    );
    assert_eq!(
        failures(&answer),
        [
            "ImageNotFound",
            "ImageNotFound",
            "InvalidImageDigest",
            "InvalidImageTag",
            "MissingDigestAndTag",
            "ImageTagDoesNotMatchDigest",
        ]
    );
    assert_eq!(answer["failures"][0]["imageId"], json!({ "imageTag": "none" }));
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(1));
}

#[test]
fn batch_get_refuses_archived_and_activating_images() {
    let (ecr, web) = fake();
    for status in [StorageStatus::Archived, StorageStatus::Activating] {
        let digest = web.put(NewImage::named(format!("{status:?}")).status(status));
        let answer = ask(&ecr, "BatchGetImage", json!({ "imageIds": [{ "imageDigest": digest }] }));
        assert_eq!(failures(&answer), ["ImageInaccessible"]);
    }
}

#[test]
fn response_contains_only_images_of_accepted_media_types() {
    let (ecr, web) = fake();
    web.put(NewImage::index_of([NewImage::named("amd64")]).tag("main"));
    let get = |types: Value| {
        ask(
            &ecr,
            "BatchGetImage",
            json!({ "imageIds": [{ "imageTag": "main" }], "acceptedMediaTypes": types }),
        )
    };
    assert_eq!(failures(&get(json!([OCI_MANIFEST]))), ["ImageNotFound"]);
    let index = get(json!([OCI_MANIFEST, OCI_INDEX]));
    assert_eq!(index["images"][0]["imageManifestMediaType"], OCI_INDEX);
}

#[test]
fn request_must_contain_1_to_100_image_ids() {
    let (ecr, _) = fake();
    let ids = |count| json!({ "imageIds": vec![json!({ "imageTag": "none" }); count] });
    assert_eq!(failures(&ask(&ecr, "BatchGetImage", ids(100))).len(), 100);
    for count in [0, 101] {
        assert_eq!(kind(&ecr, "BatchGetImage", ids(count)), "InvalidParameterException");
    }
}
