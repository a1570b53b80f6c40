use std::collections::BTreeMap;

use crate::registry::Registry;
use serde_json::json;
use xtask::image::{Blob, MANIFEST, Spec, assemble, index};

use super::super::{EcrFake, TagMutability};
use super::{built, client, fake};

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
    let answer = client(&ecr).call_with("GET", &url, &headers, None, false).expect("an answer");
    assert_eq!(answer.status, 200);
    let somebody = Registry::new(&ecr.address().to_string(), "somebody", "a token");
    assert!(somebody.manifest("web", "main").is_err());
}
