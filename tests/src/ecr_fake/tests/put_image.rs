use serde_json::{Value, json};
use xtask::image::digest;
use xtask::image::index;

use super::super::manifest::OCI_MANIFEST;
use super::super::{EcrFake, NewImage, PushedAt, Repository, TagMutability};
use super::{ask, built, fake, kind, refused, retag};

/// Pushes the blobs of two builds, but not their manifests. Returns the manifests.
fn with_blobs(ecr: &EcrFake) -> [String; 2] {
    ["1", "2"].map(|version| {
        let image = built(version);
        for blob in image.blobs() {
            ecr.registry().put_blob("web", blob).expect("the registry accepts blobs");
        }
        String::from_utf8(image.manifest.bytes).expect("JSON")
    })
}

#[test]
fn put_image_stores_the_exact_bytes_of_a_manifest() {
    let (ecr, web) = fake();
    let [manifest, _] = with_blobs(&ecr);
    let odd = format!("{manifest}\n\t ");
    let answer = ask(&ecr, "PutImage", json!({ "imageManifest": odd, "imageTag": "main" }));
    let computed = digest(odd.as_bytes());
    assert_eq!(answer["image"]["imageId"], json!({ "imageDigest": computed, "imageTag": "main" }));
    assert_eq!(answer["image"]["imageManifestMediaType"], OCI_MANIFEST);
    assert_eq!(web.manifest(&computed), Some(odd));
    assert_eq!(web.tag("main"), Some(computed));
}

#[test]
fn put_image_needs_no_tag() {
    let (ecr, web) = fake();
    let [manifest, _] = with_blobs(&ecr);
    let answer = ask(&ecr, "PutImage", json!({ "imageManifest": manifest }));
    assert_eq!(answer["image"]["imageId"], json!({ "imageDigest": digest(manifest.as_bytes()) }));
    assert!(web.tags(&digest(manifest.as_bytes())).is_empty());
}

#[test]
fn put_image_refuses_existing_image_with_same_tag() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let same = retag(&web, &digest, "main");
    let (status, kind, message) = refused(&ecr, "PutImage", same);
    assert_eq!((status, &*kind), (400, "ImageAlreadyExistsException"), "{message}");
    let untagged = json!({ "imageManifest": web.manifest(&digest) });
    assert_eq!(refused(&ecr, "PutImage", untagged).1, "ImageAlreadyExistsException");
    ask(&ecr, "PutImage", retag(&web, &digest, "v1"));
    assert_eq!(web.tags(&digest), ["main", "v1"]);
    assert_eq!(ecr.events().len(), 1, "pushing an existing image sends no event");
}

#[test]
fn image_is_kept_after_its_only_tag_points_to_another_image() {
    let (ecr, web) = fake();
    let [old, new] = ["old", "new"].map(|name| web.put(NewImage::named(name)));
    for digest in [&old, &new] {
        ask(&ecr, "PutImage", retag(&web, digest, "prod-stable"));
    }
    assert_eq!(web.tag("prod-stable"), Some(new));
    assert!(web.exists(&old) && web.tags(&old).is_empty());
}

#[test]
fn new_tag_does_not_change_push_time() {
    let (ecr, web) = fake();
    let long_ago = "2020-01-01T00:00:00Z".parse().expect("a time");
    let digest = web.put(NewImage::named("one").pushed_at(PushedAt::At(long_ago)));
    ask(&ecr, "PutImage", retag(&web, &digest, "prod-stable"));
    assert_eq!(web.described(&digest)["imagePushedAt"], 1_577_836_800.0);
}

/// Puts the two tags of the image `one` on the image `two`, then puts the second tag on `one`
/// again. Returns the three results.
fn moves(web: &Repository, ecr: &EcrFake) -> [String; 3] {
    let one = web.put(NewImage::named("one").tag("prod-stable").tag("v1"));
    let two = web.put(NewImage::named("two"));
    let put = |digest: &str, tag: &str| {
        let answer = super::client(ecr).ecr("PutImage", &super::about(retag(web, digest, tag)));
        answer.map_or_else(
            |error| {
                error
                    .to_string()
                    .split([' ', ':'])
                    .find(|word| word.ends_with("Exception"))
                    .expect("a type")
                    .to_owned()
            },
            |_| "put".to_owned(),
        )
    };
    // ECR accepts a new tag with every tag mutability.
    assert_eq!(put(&two, "fresh"), "put");
    [put(&two, "prod-stable"), put(&two, "v1"), put(&one, "v1")]
}

#[test]
fn tag_mutability_decides_which_tags_a_push_may_change() {
    let stable = || vec!["*-stable".to_owned()];
    let (put, exists) = ("put", "ImageTagAlreadyExistsException");
    for (mutability, expected) in [
        (TagMutability::Mutable, [put, put, put]),
        (TagMutability::Immutable, [exists; 3]),
        (TagMutability::ImmutableExcept(stable()), [put, exists, exists]),
        (TagMutability::MutableExcept(stable()), [exists, put, put]),
    ] {
        let ecr = EcrFake::start();
        let web = ecr.creates("web", mutability.clone());
        assert_eq!(moves(&web, &ecr), expected, "{mutability:?}");
    }
}

#[test]
fn repeated_put_of_an_immutable_tag_fails() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("v1"));
    web.becomes(TagMutability::Immutable);
    assert_eq!(kind(&ecr, "PutImage", retag(&web, &digest, "v1")), "ImageTagAlreadyExistsException");
}

#[test]
fn put_image_refuses_manifest_with_wrong_digest() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    let mut put = retag(&web, &digest, "main");
    put["imageManifest"] = format!("{} ", web.manifest(&digest).expect("the image exists")).into();
    assert_eq!(kind(&ecr, "PutImage", put), "ImageDigestDoesNotMatchException");
    assert_eq!(web.count(), 1);
}

#[test]
fn put_image_refuses_manifest_with_missing_layers() {
    let (ecr, web) = fake();
    let image = built("1");
    let put = || json!({ "imageManifest": String::from_utf8_lossy(&image.manifest.bytes) });
    assert_eq!(kind(&ecr, "PutImage", put()), "LayersNotFoundException");
    for blob in image.blobs() {
        ecr.registry().put_blob("web", blob).expect("the registry accepts blobs");
    }
    ask(&ecr, "PutImage", put());
    assert_eq!(web.count(), 1);
}

#[test]
fn put_image_accepts_missing_foreign_layers() {
    let (ecr, web) = fake();
    let [manifest, _] = with_blobs(&ecr);
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["layers"].as_array_mut().expect("layers").push(json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 9,
        "digest": format!("sha256:{}", "9".repeat(64)), "urls": ["https://example.com/layer"],
    }));
    ask(&ecr, "PutImage", json!({ "imageManifest": manifest.to_string() }));
    assert_eq!(web.count(), 1);
}

#[test]
fn put_image_refuses_image_index_with_missing_children() {
    let (ecr, web) = fake();
    let all = index(vec![built("1"), built("2")]).expect("an index");
    let put = || json!({ "imageManifest": String::from_utf8_lossy(&all.manifest.bytes), "imageTag": "main" });
    ecr.registry().push("web", None, &all.children[0]).expect("a child");
    assert_eq!(kind(&ecr, "PutImage", put()), "ReferencedImagesNotFoundException");
    ecr.registry().push("web", None, &all.children[1]).expect("a child");
    ask(&ecr, "PutImage", put());
    assert_eq!(web.children(all.digest()), [all.children[0].digest(), all.children[1].digest()]);
}

#[test]
fn manifest_or_request_must_contain_media_type() {
    let (ecr, _) = fake();
    let [manifest, _] = with_blobs(&ecr);
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest.as_object_mut().expect("an object").remove("mediaType");
    let mut put = json!({ "imageManifest": manifest.to_string() });
    assert_eq!(kind(&ecr, "PutImage", put.clone()), "InvalidParameterException");
    put["imageManifestMediaType"] = OCI_MANIFEST.into();
    assert_eq!(ask(&ecr, "PutImage", put)["image"]["imageManifestMediaType"], OCI_MANIFEST);
}

#[test]
fn put_image_refuses_invalid_manifests_and_tags() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    let large = format!("{}{}", web.manifest(&digest).expect("the image exists"), " ".repeat(4_194_304));
    for put in [
        json!({ "imageManifest": "" }),
        json!({ "imageManifest": "no JSON" }),
        json!({ "imageManifest": "{\"mediaType\":\"text/plain\"}" }),
        json!({ "imageManifest": large }),
        json!({ "imageManifest": web.manifest(&digest), "imageManifestMediaType": "application/vnd.oci.image.index.v1+json" }),
        retag(&web, &digest, "-"),
        retag(&web, &digest, "a b"),
        retag(&web, &digest, &"x".repeat(301)),
    ] {
        assert_eq!(kind(&ecr, "PutImage", put.clone()), "InvalidParameterException", "{put:.100}");
    }
    ask(&ecr, "PutImage", retag(&web, &digest, &"x".repeat(300)));
}

#[test]
fn image_has_at_most_1000_tags() {
    let (ecr, web) = fake();
    let tags = (0..999).fold(NewImage::named("one"), |image, number| image.tag(format!("t{number}")));
    let digest = web.put(tags);
    ask(&ecr, "PutImage", retag(&web, &digest, "the-last"));
    assert_eq!(kind(&ecr, "PutImage", retag(&web, &digest, "too-many")), "LimitExceededException");
    assert_eq!(web.tags(&digest).len(), 1000);
}

#[test]
fn put_image_restores_an_archived_image() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    web.is_archived(&digest);
    ask(&ecr, "PutImage", retag(&web, &digest, "main"));
    assert_eq!(web.described(&digest)["imageStatus"], "ACTIVE");
}
