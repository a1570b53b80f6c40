use std::collections::BTreeMap;

use crate::registry::Registry;
use serde_json::json;
use xtask::aws::Response;
use xtask::image::{Blob, MANIFEST, OciImage, Spec, assemble, index};

use super::super::{EcrFake, Encryption, NewImage, Repository, TagMutability};
use super::{ask, built, client, fake};

#[test]
fn pull_returns_the_pushed_image() {
    let (ecr, web) = fake();
    let files = BTreeMap::from([("data".to_owned(), vec![7; 100_000])]);
    let image = assemble(&Spec { layers: vec![files], ..Spec::new("1") }, b"never run", "amd64");
    let image = image.expect("an image");
    let registry = ecr.registry();
    let digest = registry.push("web", Some("main"), &image).expect("a push");
    assert_eq!(web.tag("main"), Some(digest.clone()));
    for reference in ["main", &digest] {
        let pulled = registry.manifest("web", reference).expect("an answer").expect("the image exists");
        assert_eq!((pulled.digest, pulled.media_type.as_str()), (digest.clone(), MANIFEST));
        assert_eq!(pulled.bytes, image.manifest.bytes);
    }
    for blob in image.blobs() {
        assert_eq!(registry.blob("web", &blob.digest).expect("an answer"), Some(blob.bytes.clone()));
    }
    let bytes: usize = image.blobs().map(|blob| blob.bytes.len()).sum();
    assert_eq!(web.described(&digest)["imageSizeInBytes"], bytes);
}

#[test]
fn second_push_of_an_image_changes_nothing() {
    let (ecr, web) = fake();
    let registry = ecr.registry();
    registry.push("web", Some("main"), &built("1")).expect("a push");
    let before = web.described(built("1").digest());
    ecr.events();
    registry.push("web", Some("main"), &built("1")).expect("a push");
    assert_eq!(web.described(built("1").digest()), before);
    assert_eq!(ecr.events().len(), 0);
    assert_eq!(ecr.count("POST uploads"), 2, "the blobs existed");
}

#[test]
fn registry_refuses_an_image_index_with_missing_children() {
    let (ecr, web) = fake();
    let index = index(vec![built("1"), built("2")]).expect("an index");
    let alone = ecr.registry().put_manifest("web", Some("main"), &index.manifest);
    assert!(format!("{:#}", alone.expect_err("the children are missing")).contains("404"));
    ecr.registry().push_index("web", Some("main"), &index).expect("a push");
    assert_eq!((web.count(), web.tag("main")), (3, Some(index.digest().to_owned())));
}

#[test]
fn registry_refuses_a_push_to_an_existing_immutable_tag() {
    let ecr = EcrFake::start();
    ecr.creates("web", TagMutability::Immutable);
    ecr.registry().push("web", Some("v1"), &built("1")).expect("a push");
    let refused = ecr.registry().push("web", Some("v1"), &built("2")).expect_err("the tag is taken");
    assert!(format!("{refused:#}").contains("TAG_INVALID"), "{refused:#}");
}

#[test]
fn errors_have_codes_of_the_registry_protocol() {
    let (ecr, _) = fake();
    let registry = ecr.registry();
    let missing = registry.put_manifest("web", None, &built("1").manifest).expect_err("no blobs");
    assert!(format!("{missing:#}").contains("BLOB_UNKNOWN"), "{missing:#}");
    let lie = Blob { digest: format!("sha256:{}", "0".repeat(64)), ..built("1").config };
    let lied = registry.put_blob("web", &lie).expect_err("another digest");
    assert!(format!("{lied:#}").contains("DIGEST_INVALID"), "{lied:#}");
    let nowhere = registry.push("none", None, &built("1")).expect_err("no repository");
    assert!(format!("{nowhere:#}").contains("404"), "{nowhere:#}");
    assert_eq!(registry.manifest("web", "none").expect("an answer"), None);
    assert_eq!(registry.blob("web", &lie.digest).expect("an answer"), None);
}

#[test]
fn pull_does_not_find_archived_image() {
    let (ecr, web) = fake();
    let image = built("1");
    let digest = ecr.registry().push("web", Some("main"), &image).expect("a push");
    web.is_archived(&digest);
    assert_eq!(ecr.registry().manifest("web", "main").expect("an answer"), None);
    assert_eq!(ecr.registry().blob("web", &image.config.digest).expect("an answer"), None);
    ecr.registry().push("web", Some("main"), &image).expect("a push");
    assert!(
        ecr.registry().manifest("web", "main").expect("an answer").is_some(),
        "the image is active again"
    );
}

#[test]
fn registry_refuses_requests_without_credentials() {
    let (ecr, _) = fake();
    let url = format!("{}/v2/", ecr.url());
    let answer = client(&ecr).call("GET", &url, None, None, false).expect("an answer");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some_and(|text| text.starts_with("Basic")));
    let token = client(&ecr).ecr("GetAuthorizationToken", &json!({})).expect("a token");
    let token = &token["authorizationData"][0];
    assert_eq!(token["proxyEndpoint"], ecr.url());
    let basic = format!("Basic {}", token["authorizationToken"].as_str().expect("a token"));
    let headers = [("authorization", basic.as_str())];
    let url = format!("{}/v2/", token["proxyEndpoint"].as_str().expect("an address"));
    let answer = client(&ecr).call_with("GET", &url, &headers, None, false).expect("an answer");
    assert_eq!(answer.status, 200);
    let somebody = Registry::new(&ecr.address().to_string(), "somebody", "a token");
    assert!(somebody.manifest("web", "main").is_err());
}

/// Starts a fake whose repository `web` has an image, and that has an empty repository `copy`.
fn with_copy() -> (EcrFake, Repository, Repository, OciImage) {
    let (ecr, web) = fake();
    let copy = ecr.creates("copy", TagMutability::Mutable);
    let image = built("1");
    ecr.registry().push("web", None, &image).expect("a push");
    (ecr, web, copy, image)
}

/// Asks the registry to mount a blob of a repository in the repository `copy`.
fn mount(ecr: &EcrFake, digest: &str, from: &str) -> Response {
    let url = format!("{}/v2/copy/blobs/uploads/?mount={digest}&from={from}", ecr.url());
    let headers = [("authorization", "Basic QVdTOnRva2Vu")];
    client(ecr).call_with("POST", &url, &headers, Some(b""), false).expect("an answer")
}

#[test]
fn registry_mounts_a_blob_of_another_repository() {
    let (ecr, web, copy, image) = with_copy();
    ecr.mounts_blobs();
    for blob in image.blobs() {
        let answer = mount(&ecr, &blob.digest, "web");
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("location"), Some(&*format!("/v2/copy/blobs/{}", blob.digest)));
        assert_eq!(answer.header("docker-content-digest"), Some(&*blob.digest));
        assert_eq!(copy.layer(&blob.digest), Some(blob.bytes.clone()));
    }
    ask(&ecr, "BatchDeleteImage", json!({ "imageIds": [{ "imageDigest": image.digest() }] }));
    assert_eq!(web.layer_bytes(), 0, "the image and its layers are deleted");
    ecr.registry().put_manifest("copy", Some("main"), &image.manifest).expect("the mounted blobs remain");
    assert_eq!(
        ecr.registry().blob("copy", &image.config.digest).expect("an answer"),
        Some(image.config.bytes)
    );
}

#[test]
fn registry_starts_an_upload_if_it_cannot_mount_the_blob() {
    let (ecr, web, copy, image) = with_copy();
    let digest = &image.config.digest;
    let upload_starts = |why: &str, digest: &str, from: &str| {
        let answer = mount(&ecr, digest, from);
        assert_eq!(answer.status, 202, "{why}");
        let location = answer.header("location").expect("an address");
        assert!(location.starts_with("/v2/copy/blobs/uploads/"), "{why}: {location}");
        assert_eq!(copy.layer_bytes(), 0, "{why}");
    };
    upload_starts("the account has not enabled blob mounting", digest, "web");
    ecr.mounts_blobs();
    upload_starts("the source does not exist", digest, "none");
    upload_starts("the source lacks the blob", &built("2").config.digest, "web");
    ecr.registry().put_blob("web", &built("2").config).expect("a blob");
    upload_starts("no image has the blob", &built("2").config.digest, "web");
    let key = |name: &str| Encryption::Kms(format!("arn:aws:kms:us-east-1:000000000000:key/{name}"));
    copy.is_encrypted_with(key("1"));
    upload_starts("the encryption types differ", digest, "web");
    web.is_encrypted_with(key("2"));
    upload_starts("the keys differ", digest, "web");
    web.is_encrypted_with(key("1"));
    web.is_archived(image.digest());
    upload_starts("the image is archived", digest, "web");
    ecr.registry().push("web", None, &image).expect("a push restores the image");
    web.caches_on_pull("main", NewImage::named("upstream"));
    upload_starts("the source is a pull-through cache", digest, "web");
    let other = ecr.creates("other", TagMutability::Mutable);
    other.is_encrypted_with(key("1"));
    ecr.registry().push("other", None, &image).expect("a push");
    assert_eq!(mount(&ecr, digest, "other").status, 201, "the keys are equal");
}
