use serde_json::json;

use super::super::{EcrFake, NewImage, TagMutability};
use super::{ask, fake, pages};

#[test]
fn equal_image_descriptions_have_equal_digests() {
    let image = || NewImage::named("one").layer("base", 10).label("a", "b");
    let digests = [1, 2].map(|_| {
        let (_ecr, web) = fake();
        web.put(image())
    });
    assert_eq!(digests[0], digests[1]);
    let (_ecr, web) = fake();
    assert_ne!(web.put(image().layer("more", 1)), digests[0]);
}

#[test]
fn batch_get_returns_images_that_a_test_added() {
    let (ecr, web) = fake();
    let index = web.put(NewImage::index_of([NewImage::named("a"), NewImage::named("b")]).tag("main"));
    let mut all = web.children(&index);
    all.extend([
        index.clone(),
        web.put(NewImage::referrer(&index, "application/spdx+json")),
        web.put(NewImage::cosign_signature(&index)),
    ]);
    let ids: Vec<_> = all.iter().map(|digest| json!({ "imageDigest": digest })).collect();
    let answer = ask(&ecr, "BatchGetImage", json!({ "imageIds": ids }));
    for (image, digest) in answer["images"].as_array().expect("images").iter().zip(&all) {
        let bytes = image["imageManifest"].as_str().expect("a manifest");
        assert_eq!(&xtask::image::digest(bytes.as_bytes()), digest);
        serde_json::from_str::<serde_json::Value>(bytes).expect("JSON");
    }
    assert_eq!(answer["failures"], json!([]));
}

#[test]
#[should_panic(expected = "exists already")]
fn adding_an_image_twice_panics() {
    let (_ecr, web) = fake();
    web.put_all([NewImage::named("one"), NewImage::named("one")]);
}

#[test]
fn describe_images_returns_many_images_in_pages() {
    let ecr = EcrFake::start();
    let images = |repository: usize| {
        (0..500).map(move |number| {
            let image = NewImage::named(format!("{repository} {number}")).layer("base", 90_000_000);
            image.layer(format!("own {repository} {number}"), 1_000_000).tag(format!("v{number}"))
        })
    };
    for repository in 0..4 {
        ecr.creates(&format!("r{repository}"), TagMutability::Mutable).put_all(images(repository));
    }
    ecr.creates("web", TagMutability::Mutable).put_all(images(9));
    assert_eq!(pages(&ecr, "DescribeImages", &json!({ "maxResults": 250 }), "imageDetails").1, 2);
    let bytes = ecr.repository("r0").layer_bytes();
    assert!((590_000_000..590_200_000).contains(&bytes), "a shared layer counts once: {bytes}");
}
