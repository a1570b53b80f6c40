use serde_json::{Value, json};

use super::super::{NewImage, StorageStatus, TagMutability};
use super::{ask, fake, kind, texts};

fn delete(ecr: &super::EcrFake, ids: Value) -> (Vec<String>, Vec<String>) {
    let answer = ask(ecr, "BatchDeleteImage", json!({ "imageIds": ids }));
    (texts(&answer["imageIds"], "imageTag"), texts(&answer["failures"], "failureCode"))
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn removal_of_the_last_tag_deletes_the_image() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("a").tag("b").tag("c"));
    assert_eq!(delete(&ecr, json!([{ "imageTag": "a" }])), (vec!["a".to_owned()], none()));
    assert_eq!(web.tags(&digest), ["b", "c"]);
    delete(&ecr, json!([{ "imageTag": "b" }, { "imageTag": "c" }]));
    assert!(!web.exists(&digest));
}

#[test]
fn deletion_by_digest_returns_one_row_per_tag() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("a").tag("prod-stable"));
    let untagged = web.put(NewImage::named("two"));
    let answer = ask(
        &ecr,
        "BatchDeleteImage",
        json!({
            "imageIds": [{ "imageDigest": digest }, { "imageDigest": untagged }],
        }),
    );
    assert_eq!(
        answer["imageIds"],
        json!([
            { "imageDigest": digest, "imageTag": "a" },
            { "imageDigest": digest, "imageTag": "prod-stable" },
            { "imageDigest": untagged },
        ])
    );
    assert_eq!((web.count(), web.tag("a"), web.tag("prod-stable")), (0, None, None));
}

#[test]
fn batch_delete_removes_immutable_tags() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("v1").tag("v2"));
    web.becomes(TagMutability::Immutable);
    delete(&ecr, json!([{ "imageTag": "v1" }]));
    assert_eq!(web.tags(&digest), ["v2"]);
}

#[test]
fn tag_in_request_must_point_to_digest_in_request() {
    let (ecr, web) = fake();
    let one = web.put(NewImage::named("one").tag("a").tag("b"));
    web.put(NewImage::named("two").tag("c"));
    let failed = |code: &str| (none(), vec![code.to_owned()]);
    for tag in ["c", "none"] {
        let ids = json!([{ "imageDigest": one, "imageTag": tag }]);
        assert_eq!(delete(&ecr, ids), failed("ImageTagDoesNotMatchDigest"));
    }
    let (gone, failures) = delete(&ecr, json!([{ "imageDigest": one, "imageTag": "a" }]));
    assert_eq!((gone.len(), failures.len()), (2, 0));
}

#[test]
fn failed_deletions_do_not_stop_other_deletions() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one").tag("a"));
    let (gone, failures) = delete(
        &ecr,
        json!([
            { "imageTag": "none" },
            { "imageDigest": "sha256:abc" },
            { "imageTag": "no tag" },
            {},
            { "imageTag": "a" },
            { "imageTag": "a" },
        ]),
    );
    assert_eq!(gone, ["a"]);
    let expected =
        ["ImageNotFound", "InvalidImageDigest", "InvalidImageTag", "MissingDigestAndTag", "ImageNotFound"];
    assert_eq!(failures, expected);
}

#[test]
fn request_must_contain_1_to_100_image_ids() {
    let (ecr, web) = fake();
    let digests = web.put_all(super::named(101));
    let ids = |count: usize| {
        let ids: Vec<_> = digests[..count].iter().map(|digest| json!({ "imageDigest": digest })).collect();
        json!({ "imageIds": ids })
    };
    for count in [0, 101] {
        assert_eq!(kind(&ecr, "BatchDeleteImage", ids(count)), "InvalidParameterException");
    }
    ask(&ecr, "BatchDeleteImage", ids(100));
    assert_eq!(web.digests(), [digests[100].clone()]);
}

#[test]
fn ecr_deletes_no_child_before_its_image_index() {
    let (ecr, web) = fake();
    let index = web.put(NewImage::index_of([NewImage::named("amd64"), NewImage::named("arm64").tag("arm")]));
    let children = web.children(&index);
    let referenced = vec!["ImageReferencedByManifestList".to_owned()];
    assert_eq!(delete(&ecr, json!([{ "imageDigest": children[0] }])), (none(), referenced.clone()));
    assert_eq!(delete(&ecr, json!([{ "imageTag": "arm" }])), (none(), referenced.clone()), "its last tag");
    assert_eq!(web.tags(&children[1]), ["arm"]);

    // ECR refuses to delete a child together with its image index, in either order.
    let both = json!([{ "imageDigest": index }, { "imageDigest": children[0] }]);
    assert_eq!(delete(&ecr, both), (vec!["-".to_owned()], referenced));
    assert!(!web.exists(&index) && web.exists(&children[0]));
    delete(&ecr, json!([{ "imageDigest": children[0] }, { "imageDigest": children[1] }]));
    assert_eq!(web.count(), 0);
}

#[test]
fn batch_delete_can_remove_one_of_two_tags_of_a_child() {
    let (ecr, web) = fake();
    let index = web.put(NewImage::index_of([NewImage::named("amd64").tag("a").tag("b")]));
    let child = web.children(&index)[0].clone();
    delete(&ecr, json!([{ "imageTag": "a" }]));
    assert_eq!(web.tags(&child), ["b"]);
}

#[test]
fn ecr_deletes_no_child_before_all_of_its_image_indexes() {
    let (ecr, web) = fake();
    let children = web.put_all(super::named(2));
    let [first, second] = [&children[..1], &children[..]].map(|these| web.put(NewImage::index(these)));
    for (index, expected) in [(first, 1), (second, 0)] {
        delete(&ecr, json!([{ "imageDigest": index }]));
        assert_eq!(delete(&ecr, json!([{ "imageDigest": children[0] }])).1.len(), expected);
    }
}

#[test]
fn deletion_of_an_image_keeps_its_referrers() {
    let (ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    let sbom = web.put(NewImage::referrer(&subject, "application/spdx+json"));
    let signature = web.put(NewImage::cosign_signature(&subject));
    delete(&ecr, json!([{ "imageDigest": subject }]));
    assert!(!web.exists(&subject) && web.exists(&sbom) && web.exists(&signature));
    assert_eq!(web.described(&sbom)["subjectManifestDigest"], *subject);
    assert_eq!(web.tags(&signature), [format!("{}.sig", subject.replace(':', "-"))]);
}

#[test]
fn batch_delete_deletes_archived_images() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").status(StorageStatus::Archived));
    delete(&ecr, json!([{ "imageDigest": digest }]));
    assert!(!web.exists(&digest));
}

#[test]
fn layer_is_removed_with_the_last_image_that_contains_it() {
    let (ecr, web) = fake();
    let image = |name: &str| NewImage::named(name).layer("base", 1000).layer(name, 100);
    let [one, two] = ["one", "two"].map(|name| web.put(image(name)));
    let configs = web.layer_bytes() - 1200;
    delete(&ecr, json!([{ "imageDigest": one }]));
    assert_eq!(web.layer_bytes(), 1100 + configs / 2);
    delete(&ecr, json!([{ "imageDigest": two }]));
    assert_eq!(web.layer_bytes(), 0);
}
