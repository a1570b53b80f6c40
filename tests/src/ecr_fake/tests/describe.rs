use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::manifest::{OCI_INDEX, OCI_MANIFEST};
use super::super::{NewImage, PushedAt, StorageStatus};
use super::{ask, fake, kind, named, pages, texts};

#[test]
fn describe_images_returns_all_fields_of_an_image() {
    let (ecr, web) = fake();
    let at = "2026-01-02T03:04:05.5Z".parse().expect("a time");
    let image = NewImage::named("one").layer("base", 1000).layer("own", 234);
    let digest = web.put(image.tag("v1").tag("main").pushed_at(PushedAt::At(at)).pulled_at(at));
    let shown = ask(&ecr, "DescribeImages", json!({}))["imageDetails"][0].clone();
    let config = shown["imageSizeInBytes"].as_u64().expect("a size") - 1234;
    assert!((50..500).contains(&config), "{config}");
    assert_eq!(
        shown,
        json!({
            "registryId": "000000000000",
            "repositoryName": "web",
            "imageDigest": digest,
            "imageTags": ["main", "v1"],
            "imageSizeInBytes": 1234 + config,
            "imagePushedAt": 1_767_323_045.5,
            "lastRecordedPullTime": 1_767_323_045.5,
            "imageManifestMediaType": OCI_MANIFEST,
            "artifactMediaType": "application/vnd.oci.image.config.v1+json",
            "imageStatus": "ACTIVE",
        })
    );
    assert_eq!(web.described(&digest), shown);
}

#[test]
fn response_has_no_tags_field_for_an_untagged_image() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one"));
    assert!(ask(&ecr, "DescribeImages", json!({}))["imageDetails"][0].get("imageTags").is_none());
}

#[test]
fn image_index_has_the_size_of_its_largest_child() {
    let (_ecr, web) = fake();
    let sizes = [("a", 1000), ("b", 5000), ("c", 2000)];
    let children = sizes.map(|(name, size)| NewImage::named(name).layer(name, size));
    let index = web.put(NewImage::index_of(children));
    let shown = web.described(&index);
    assert_eq!(shown["imageManifestMediaType"], OCI_INDEX);
    assert!(shown.get("artifactMediaType").is_none());
    let largest = &web.children(&index)[1];
    assert_eq!(shown["imageSizeInBytes"], web.described(largest)["imageSizeInBytes"]);
}

#[test]
fn description_of_a_referrer_contains_its_subject_digest() {
    let (_ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    let sbom = web.put(NewImage::referrer(&subject, "application/spdx+json"));
    let shown = web.described(&sbom);
    assert_eq!(shown["subjectManifestDigest"], *subject);
    assert_eq!(shown["artifactMediaType"], "application/spdx+json");
    assert!(web.described(&subject).get("subjectManifestDigest").is_none());
}

#[test]
fn test_can_make_ecr_omit_or_corrupt_the_push_time() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    let shown = || ask(&ecr, "DescribeImages", json!({}))["imageDetails"][0].clone();
    web.is_pushed_at(&digest, PushedAt::Nothing);
    assert!(shown().get("imagePushedAt").is_none());
    for seconds in [-1.0, 1e13] {
        web.is_pushed_at(&digest, PushedAt::Seconds(seconds));
        assert_eq!(shown()["imagePushedAt"], seconds);
    }
}

#[test]
fn page_has_100_images_by_default_and_at_most_1000() {
    let (ecr, web) = fake();
    web.put_all(named(1001));
    for (members, count) in
        [(json!({}), 11), (json!({ "maxResults": 1000 }), 2), (json!({ "maxResults": 501 }), 2)]
    {
        let (all, pages) = pages(&ecr, "DescribeImages", &members, "imageDetails");
        let digests: BTreeSet<_> = texts(&json!(all), "imageDigest").into_iter().collect();
        assert_eq!((all.len(), digests.len(), pages), (1001, 1001, count));
    }
    for wrong in [0, 1001] {
        let refused = kind(&ecr, "DescribeImages", json!({ "maxResults": wrong }));
        assert_eq!(refused, "InvalidParameterException");
    }
}

#[test]
fn full_last_page_has_no_next_token() {
    let (ecr, web) = fake();
    web.put_all(named(200));
    assert_eq!(pages(&ecr, "DescribeImages", &json!({}), "imageDetails").1, 2);
    assert_eq!(pages(&ecr, "ListImages", &json!({}), "imageIds").1, 2);
}

#[test]
fn next_token_is_valid_only_for_its_own_list() {
    let (ecr, web) = fake();
    web.put_all(named(2));
    let token = ask(&ecr, "DescribeImages", json!({ "maxResults": 1 }))["nextToken"].clone();
    assert_eq!(kind(&ecr, "ListImages", json!({ "nextToken": token })), "InvalidParameterException");
    assert_eq!(kind(&ecr, "DescribeImages", json!({ "nextToken": "x" })), "InvalidParameterException");
}

#[test]
fn list_order_is_arbitrary_but_stable() {
    let (ecr, web) = fake();
    let pushed = web.put_all(named(50));
    let listed = || texts(&ask(&ecr, "DescribeImages", json!({}))["imageDetails"], "imageDigest");
    let first = listed();
    assert_ne!(first, pushed);
    assert_ne!(first, web.digests());
    assert_eq!(first, listed());
    ecr.shuffles(7);
    let second = listed();
    assert_ne!(second, first);
    ecr.shuffles(1);
    assert_eq!(listed(), first);
}

#[test]
fn later_pages_are_complete_after_a_deletion() {
    let (ecr, web) = fake();
    web.put_all(named(30));
    let first = ask(&ecr, "DescribeImages", json!({ "maxResults": 10 }));
    let seen = texts(&first["imageDetails"], "imageDigest");
    for digest in &seen {
        web.loses(digest);
    }
    let rest = ask(&ecr, "DescribeImages", json!({ "nextToken": first["nextToken"] }));
    assert_eq!(texts(&rest["imageDetails"], "imageDigest").len(), 20);
}

#[test]
fn test_can_limit_page_size() {
    let (ecr, web) = fake();
    web.put_all(named(10));
    ecr.has_pages_of(3);
    assert_eq!(pages(&ecr, "DescribeImages", &json!({ "maxResults": 1000 }), "imageDetails").1, 4);
    assert_eq!(pages(&ecr, "ListImages", &json!({ "maxResults": 1000 }), "imageIds").1, 4);
}

#[test]
fn lists_contain_only_active_images_by_default() {
    let (ecr, web) = fake();
    let [active, archived, activating] =
        [StorageStatus::Active, StorageStatus::Archived, StorageStatus::Activating]
            .map(|status| web.put(NewImage::named(format!("{status:?}")).status(status)));
    for (filter, expected) in [
        (json!({}), vec![&active]),
        (json!({ "tagStatus": "ANY" }), vec![&active]),
        (json!({ "imageStatus": "ACTIVE" }), vec![&active]),
        (json!({ "imageStatus": "ARCHIVED" }), vec![&archived]),
        (json!({ "imageStatus": "ACTIVATING" }), vec![&activating]),
        (json!({ "imageStatus": "ANY" }), vec![&active, &archived, &activating]),
    ] {
        let expected: BTreeSet<String> = expected.into_iter().cloned().collect();
        for (operation, list) in [("DescribeImages", "imageDetails"), ("ListImages", "imageIds")] {
            let answer = ask(&ecr, operation, json!({ "filter": filter }));
            let found: BTreeSet<String> = texts(&answer[list], "imageDigest").into_iter().collect();
            assert_eq!(found, expected, "{operation} {filter}");
        }
    }
    let all = ask(&ecr, "DescribeImages", json!({}));
    assert_eq!(texts(&all["imageDetails"], "imageDigest"), [active]);
}

#[test]
fn filter_selects_tagged_or_untagged_images() {
    let (ecr, web) = fake();
    let tagged = web.put(NewImage::named("one").tag("main"));
    let untagged = web.put(NewImage::named("two"));
    for (status, expected) in [("TAGGED", vec![&tagged]), ("UNTAGGED", vec![&untagged])] {
        for (operation, list) in [("DescribeImages", "imageDetails"), ("ListImages", "imageIds")] {
            let answer = ask(&ecr, operation, json!({ "filter": { "tagStatus": status } }));
            assert_eq!(texts(&answer[list], "imageDigest").iter().collect::<Vec<_>>(), expected);
        }
    }
    let wrong = json!({ "filter": { "tagStatus": "SOME" } });
    assert_eq!(kind(&ecr, "DescribeImages", wrong), "InvalidParameterException");
}

#[test]
fn request_fails_if_one_of_its_images_is_missing() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let archived = web.put(NewImage::named("two").status(StorageStatus::Archived));
    let both = json!([{ "imageTag": "main" }, { "imageDigest": digest }]);
    let answer = ask(&ecr, "DescribeImages", json!({ "imageIds": both }));
    assert_eq!(texts(&answer["imageDetails"], "imageDigest"), [&*digest, &*digest]);
    for missing in [
        json!([{ "imageTag": "main" }, { "imageTag": "none" }]),
        json!([{ "imageDigest": archived }]),
        json!([{ "imageDigest": archived, "imageTag": "main" }]),
    ] {
        assert_eq!(kind(&ecr, "DescribeImages", json!({ "imageIds": missing })), "ImageNotFoundException");
    }
    let any = json!({ "imageIds": [{ "imageDigest": archived }], "filter": { "imageStatus": "ANY" } });
    assert_eq!(ask(&ecr, "DescribeImages", any)["imageDetails"][0]["imageStatus"], "ARCHIVED");
}

#[test]
fn describe_accepts_1_to_100_image_ids_without_paging() {
    let (ecr, web) = fake();
    web.put(NewImage::named("one").tag("main"));
    let ids = |count| vec![json!({ "imageTag": "main" }); count];
    assert_eq!(
        ask(&ecr, "DescribeImages", json!({ "imageIds": ids(100) }))["imageDetails"][99]["imageTags"][0],
        "main"
    );
    for members in [
        json!({ "imageIds": ids(101) }),
        json!({ "imageIds": ids(0) }),
        json!({ "imageIds": ids(1), "maxResults": 1 }),
        json!({ "imageIds": ids(1), "nextToken": "x" }),
        json!({ "imageIds": [{ "imageDigest": "nonsense" }] }),
        json!({ "imageIds": [{}] }),
    ] {
        assert_eq!(
            kind(&ecr, "DescribeImages", members.clone()),
            "InvalidParameterException",
            "{members:.80}"
        );
    }
}

#[test]
fn list_images_returns_one_row_per_tag() {
    let (ecr, web) = fake();
    let one = web.put(NewImage::named("one").tag("a").tag("b").tag("c"));
    let two = web.put(NewImage::named("two"));
    for size in 1..=4 {
        let (rows, _) = pages(&ecr, "ListImages", &json!({ "maxResults": size }), "imageIds");
        let mut rows: Vec<Value> = rows;
        rows.sort_by_key(ToString::to_string);
        let mut expected: Vec<_> =
            ["a", "b", "c"].iter().map(|tag| json!({ "imageDigest": one, "imageTag": tag })).collect();
        expected.push(json!({ "imageDigest": two }));
        expected.sort_by_key(ToString::to_string);
        assert_eq!(rows, expected, "page size {size}");
    }
}
