//! Pushes that open no promotion.

use jiff::Timestamp;
use serde_json::json;
use stablepin_tests::{App, Plan, image};
use xtask::image::{Blob, MANIFEST, Spec, assemble, index};

/// Delivers a push event. Returns the number of the application's promotions afterwards.
fn promotions_after(app: &App, tag: &str, digest: &str) -> usize {
    app.deliver(&app.push_event(tag, digest, Timestamp::now()));
    app.promotions().len()
}

#[test]
fn push_to_an_unregistered_repository_is_ignored() {
    let app = App::create_unregistered(Plan::new("unregistered"));
    let digest = app.push("main", &Spec::new("1"));
    assert_eq!(promotions_after(&app, "main", &digest), 0);
    assert_eq!(app.tags(&digest), ["main"], "no tag was added");
}

#[test]
fn push_of_a_tag_that_matches_no_builds_pattern_is_ignored() {
    let app = Plan::new("other-tag").create_with_fakes();
    for tag in ["feature-x", "latest", "prod-stable", "mainline", "xv1"] {
        let digest = app.push(tag, &Spec::new(tag));
        assert_eq!(promotions_after(&app, tag, &digest), 0, "{tag}");
        assert_eq!(app.tags(&digest), [tag]);
    }
}

/// buildx pushes the platforms' images first, without a tag. Only the image index, which buildx
/// pushes last, is a build.
#[test]
fn multi_platform_build_opens_one_promotion() {
    let app = Plan::new("platforms").create_with_fakes();
    let arm = assemble(&Spec::new("1"), b"arm", "arm64").expect("an image");
    let index = index(vec![image(&Spec::new("1")), arm]).expect("an index");
    let digest = app.push_index("main", &index);
    for child in &index.children {
        assert_eq!(promotions_after(&app, "", child.digest()), 1, "the image of a platform has no tag");
    }
    let promotions = app.promotions();
    assert_eq!((promotions.len(), &promotions[0]["digest"]), (1, &json!(digest)));
    app.approve(&digest);
    assert_eq!(app.pins(), [(1, digest.clone())]);
    assert_eq!(app.tag("prod-stable").as_ref(), Some(&digest), "the whole index is pinned");
    assert_eq!(app.tag(&app.build_tag(&digest)), Some(digest));
    assert!(
        index.children.iter().all(|child| app.tags(child.digest()).is_empty()),
        "no image of a platform has a tag"
    );
    assert_eq!(app.web().count(), 3);
}

/// cosign and `oras attach` store their artifacts in the image's repository.
#[test]
fn signatures_and_artifacts_open_no_promotion() {
    let app = Plan::new("artifacts").create_with_fakes();
    let digest = app.push("main", &Spec::new("1"));
    app.link(&digest);
    let artifact = |kind: &str| {
        let empty = Blob::new("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        app.registry().put_blob(&app.plan.repository, &empty).expect("a blob");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": { "mediaType": empty.media_type, "digest": empty.digest, "size": 2 },
            "layers": [{ "mediaType": empty.media_type, "digest": empty.digest, "size": 2 }],
            "subject": { "mediaType": MANIFEST, "digest": digest, "size": 500 },
        });
        Blob::new(MANIFEST, manifest.to_string().into_bytes())
    };
    let put = |tag: &str, manifest: &Blob| {
        let digest = app.registry().put_manifest(&app.plan.repository, Some(tag), manifest);
        let digest = digest.expect("the registry accepts an artifact");
        app.hears();
        assert_eq!(app.promotions().len(), 1, "{tag}");
        // The second event describes the artifact as an ordinary image.
        assert_eq!(promotions_after(&app, tag, &digest), 1, "{tag}");
    };
    let signature = artifact("application/vnd.dev.cosign.artifact.sig.v1+json");
    put(&format!("{}.sig", digest.replace(':', "-")), &signature);
    put(&digest.replace(':', "-"), &signature);
    // An artifact is no build, even under a tag that a `builds` pattern matches.
    put("main-sbom", &artifact("application/spdx+json"));
    let chart = Blob::new("application/vnd.cncf.helm.config.v1+json", b"{}".to_vec());
    let helm = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": chart.media_type, "digest": chart.digest, "size": 2 },
        "layers": [],
    });
    put("v1.0.0", &Blob::new(MANIFEST, helm.to_string().into_bytes()));
}

/// Rule 7: only the table decides whether a tag is Stablepin's own, not the name of the tag. The
/// application's `builds` contains `production-2*`, which also matches Stablepin's build tags.
#[test]
fn stablepin_ignores_only_tags_that_it_recorded() {
    let app = Plan::new("own-tags").create_with_fakes();
    let digest = app.pin("main", &Spec::new("1"));
    let build_tag = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
    for ours in [build_tag.as_str(), "prod-stable", "prod-stable-000001"] {
        assert_eq!(promotions_after(&app, ours, &digest), 1, "{ours}");
    }

    let theirs = "production-20250717-143052-a1b2c3d4";
    let pushed = app.push(theirs, &Spec::new("2"));
    app.link(&pushed);
    assert_eq!(app.build(&pushed).expect("a build")["commit"], "a1b2c3d4");

    // Stablepin never put this build tag on the new image, so another person pushed the image.
    let moved = app.push(&build_tag, &Spec::new("3"));
    app.link(&moved);
}

#[test]
fn push_event_for_a_missing_image_is_ignored() {
    let app = Plan::new("gone").create_with_fakes();
    let never = format!("sha256:{}", "5eed".repeat(16));
    assert_eq!(promotions_after(&app, "main", &never), 0);
}

#[test]
fn push_events_with_hostile_tags_or_digests_are_ignored() {
    let app = Plan::new("hostile").create_with_fakes();
    let digest = app.push("other", &Spec::new("1"));
    for tag in ["<script>", "a\nb", "../main", "main main", "main\u{0}"] {
        assert_eq!(promotions_after(&app, tag, &digest), 0, "{tag:?}");
    }
    for bad in ["", "sha256:", "sha256:zz", "latest"] {
        assert_eq!(promotions_after(&app, "main", bad), 0, "{bad:?}");
    }
}
