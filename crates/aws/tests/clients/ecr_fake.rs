//! Tests of the ECR client against the ECR fake. The client must understand every response of the
//! fake, and the fake must understand every request of the client.

use jiff::Timestamp;
use stablepin_aws::ecr::{Ecr, ImageId, ImageStatus, Manifest, PutTag};
use stablepin_aws::session::{Session, Settings};
use stablepin_oci::OCI_INDEX;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::validation::InvalidImage;
use stablepin_tests::ecr_fake::{EcrFake, NewImage, PushedAt, Repository, StorageStatus, TagMutability};

use crate::wire::chain;

fn web() -> RepositoryName {
    RepositoryName::parse("prod/web").unwrap()
}

fn tag(text: &str) -> ImageTag {
    ImageTag::parse(text).unwrap()
}

fn digest(text: &str) -> ImageDigest {
    ImageDigest::parse(text).unwrap()
}

fn missing() -> ImageDigest {
    digest(&format!("sha256:{}", "0".repeat(64)))
}

fn fake() -> (EcrFake, Repository) {
    let ecr = EcrFake::start();
    let web = ecr.creates("prod/web", TagMutability::Mutable);
    (ecr, web)
}

fn client(ecr: &EcrFake) -> Ecr {
    let settings = Settings::read(|name| {
        let value = match name {
            "AWS_REGION" => "us-east-1".to_owned(),
            "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE".to_owned(),
            "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
            "AWS_ENDPOINT_URL_ECR" => ecr.url(),
            _ => return None,
        };
        Some(value)
    });
    let mut settings = settings.expect("the settings are complete");
    settings.attempts = 1;
    Ecr::new(&Session::new(settings))
}

/// The manifest of an existing image.
async fn manifest(ecr: &EcrFake, id: impl Into<ImageId>) -> Manifest {
    client(ecr).image(&web(), &[id.into()]).await.unwrap().pop().expect("the image exists")
}

#[tokio::test]
async fn client_reads_manifests_by_tag_and_by_digest() {
    let (ecr, repository) = fake();
    let one = repository.put(NewImage::named("one").tag("main"));
    let index = repository.put(NewImage::index_of([NewImage::named("amd64"), NewImage::named("arm64")]));
    let ids = [
        ImageId::from(&tag("main")),
        ImageId::from(&tag("none")),
        ImageId::from(&missing()),
        ImageId::from(&digest(&index)),
    ];
    let found = client(&ecr).image(&web(), &ids).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0].digest, &found[0].tag), (&digest(&one), &Some(tag("main"))));
    assert_eq!(Some(&found[0].bytes), repository.manifest(&one).as_ref());
    assert_eq!((&*found[1].media_type, &found[1].tag), (OCI_INDEX, &None));
    assert!(found[1].parse().is_ok());

    let nowhere = RepositoryName::parse("none").unwrap();
    let failed = client(&ecr).image(&nowhere, &ids).await.unwrap_err();
    assert!(failed.is_of_all_images() && failed.to_string().contains("no such repository"), "{failed}");
}

#[tokio::test]
async fn client_reads_250_manifests_in_three_calls() {
    let (ecr, repository) = fake();
    let digests = repository.put_all((0..250).map(|number| NewImage::named(format!("build {number}"))));
    let ids: Vec<_> = digests.iter().map(|one| ImageId::Digest(digest(one))).collect();
    assert_eq!(client(&ecr).image(&web(), &ids).await.unwrap().len(), 250);
    assert_eq!(ecr.count("BatchGetImage"), 3);
}

#[tokio::test]
async fn client_describes_images_in_every_state() {
    let (ecr, repository) = fake();
    let at: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
    let one = NewImage::named("one").tag("main").tag("v1").pushed_at(PushedAt::At(at));
    let one = repository.put(one);
    let found = client(&ecr).describe(&web(), &tag("v1")).await.unwrap().expect("the image exists");
    assert_eq!((found.digest, found.tags), (digest(&one), vec![tag("main"), tag("v1")]));
    assert_eq!((found.pushed_at, found.status), (Some(at), ImageStatus::Active));
    assert!(found.size_bytes.is_some_and(|bytes| bytes > 1_000_000));
    assert_eq!(found.artifact_media_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));

    for (status, expected) in [
        (StorageStatus::Archived, ImageStatus::Archived),
        (StorageStatus::Activating, ImageStatus::Activating),
    ] {
        let other = digest(&repository.put(NewImage::named(format!("{status:?}")).status(status)));
        assert_eq!(
            client(&ecr).describe(&web(), &other).await.unwrap().expect("the image exists").status,
            expected
        );
        let got = client(&ecr).image(&web(), &[ImageId::from(&other)]).await.unwrap();
        assert_eq!(got, [], "BatchGetImage does not return it");
    }
    assert_eq!(client(&ecr).describe(&web(), &missing()).await.unwrap(), None);
}

#[tokio::test]
async fn client_accepts_a_missing_or_invalid_push_time() {
    let (ecr, repository) = fake();
    let one = repository.put(NewImage::named("one"));
    for (pushed_at, year) in [
        (PushedAt::Nothing, None),
        (PushedAt::Seconds(-1.0), Some("1969")),
        (PushedAt::Seconds(1e13), None), // after the year 9999
    ] {
        repository.is_pushed_at(&one, pushed_at);
        let found = client(&ecr).describe(&web(), &digest(&one)).await.unwrap().expect("the image exists");
        let shown = found.pushed_at.map(|at| at.strftime("%Y").to_string());
        assert_eq!(shown.as_deref(), year, "{pushed_at:?}");
    }
}

#[tokio::test]
async fn client_lists_all_pages_of_tagged_images() {
    let (ecr, repository) = fake();
    let image = |number| NewImage::named(format!("build {number}"));
    repository.put_all((0..1500).map(|number| image(number).tag(format!("v{number}"))));
    repository.put_all((1500..1600).map(image));
    let mut found: Vec<String> = Vec::new();
    for one in client(&ecr).tagged(&web()).await.unwrap() {
        found.extend(one.tags.iter().map(|tag| tag.as_str().to_owned()));
    }
    found.sort();
    found.dedup();
    assert_eq!((found.len(), ecr.count("DescribeImages")), (1500, 2));
    ecr.has_pages_of(100);
    assert_eq!(client(&ecr).tagged(&web()).await.unwrap().len(), 1500, "pages may have fewer images");
}

#[tokio::test]
async fn put_tag_moves_only_mutable_tags() {
    let (ecr, repository) = fake();
    let [one, two] = ["one", "two"].map(|name| repository.put(NewImage::named(name).tag(name)));
    let [first, second] = [manifest(&ecr, &tag("one")).await, manifest(&ecr, &tag("two")).await];
    let client = client(&ecr);
    let (web, stable) = (web(), tag("prod-stable"));
    assert_eq!(client.put_tag(&web, &first, &stable).await.unwrap(), PutTag::Put);
    assert_eq!(client.put_tag(&web, &first, &stable).await.unwrap(), PutTag::AlreadyThere);
    assert_eq!(client.put_tag(&web, &second, &stable).await.unwrap(), PutTag::Put);
    assert_eq!(repository.tag("prod-stable"), Some(two.clone()));

    repository.becomes(TagMutability::Immutable);
    assert_eq!(client.put_tag(&web, &second, &stable).await.unwrap(), PutTag::AlreadyThere);
    assert_eq!(client.put_tag(&web, &first, &stable).await.unwrap(), PutTag::PointsElsewhere);
    assert_eq!(client.put_tag(&web, &first, &tag("prod-stable-000001")).await.unwrap(), PutTag::Put);
    assert_eq!((repository.tag("prod-stable"), repository.tag("prod-stable-000001")), (Some(two), Some(one)));
}

#[tokio::test]
async fn put_tag_error_includes_the_ecr_code() {
    let (ecr, repository) = fake();
    repository.put(NewImage::named("one").tag("main"));
    let image = manifest(&ecr, &tag("main")).await;
    let put =
        async |manifest: &Manifest| client(&ecr).put_tag(&web(), manifest, &tag("x")).await.unwrap_err();

    let altered = Manifest { bytes: format!("{} ", image.bytes), ..image.clone() };
    assert!(chain(&put(&altered).await).contains("ImageDigestDoesNotMatchException"));
    let full = (0..1000).fold(NewImage::named("full"), |image, number| image.tag(format!("t{number}")));
    let full = digest(&repository.put(full));
    let full = put(&manifest(&ecr, &full).await).await;
    assert!(chain(&full).contains("LimitExceededException") && full.is_refusal());

    repository.loses(image.digest.as_str());
    assert!(chain(&put(&image).await).contains("LayersNotFoundException"));
    let index = repository.put(NewImage::index_of([NewImage::named("amd64")]));
    let kept = manifest(&ecr, &digest(&index)).await;
    let child = repository.children(&index)[0].clone();
    repository.loses(&index).loses(&child);
    assert!(chain(&put(&kept).await).contains("ReferencedImagesNotFoundException"));

    ecr.throttles_every(1);
    let throttled = put(&image).await;
    assert!(throttled.is_retryable(), "{}", chain(&throttled));
    ecr.is_well();
    repository.is_deleted();
    assert!(put(&image).await.is_of_all_images());
}

#[tokio::test]
async fn mutability_predicts_whether_put_tag_moves_a_tag() {
    let stable = || vec!["*-stable".to_owned(), "latest".to_owned()];
    for mutability in [
        TagMutability::Mutable,
        TagMutability::Immutable,
        TagMutability::ImmutableExcept(stable()),
        TagMutability::MutableExcept(stable()),
    ] {
        let (ecr, repository) = fake();
        repository.becomes(mutability.clone());
        let found = client(&ecr).repository(&web()).await.unwrap().expect("the repository exists");
        assert_eq!(found.uri, "000000000000.dkr.ecr.us-east-1.amazonaws.com/prod/web");
        repository.put(NewImage::named("one").tag("prod-stable").tag("v1"));
        repository.put(NewImage::named("two").tag("two"));
        let two = manifest(&ecr, &tag("two")).await;
        for name in ["prod-stable", "v1"] {
            let moved = client(&ecr).put_tag(&web(), &two, &tag(name)).await.unwrap() == PutTag::Put;
            assert_eq!(found.mutability.can_move(&tag(name)), moved, "{mutability:?} {name}");
        }
    }
    let (ecr, _) = fake();
    let none = RepositoryName::parse("none").unwrap();
    assert_eq!(client(&ecr).repository(&none).await.unwrap(), None);
}

#[tokio::test]
async fn client_inspects_an_image_and_an_image_index() {
    let (ecr, repository) = fake();
    let labelled = |name: &str| NewImage::named(name).label("org.opencontainers.image.revision", "a1b2c3d");
    repository.put(labelled("one").tag("main"));
    repository.put(NewImage::index_of([labelled("amd64"), labelled("arm64")]).tag("index"));
    for (name, platforms) in [("main", vec!["linux/amd64"]), ("index", vec!["linux/amd64", "linux/arm64"])] {
        let manifest = manifest(&ecr, &tag(name)).await;
        let images = client(&ecr).inspect(&web(), &manifest.digest).await.unwrap().unwrap();
        let found: Vec<&str> = images.iter().map(|image| image.platform.as_str()).collect();
        assert_eq!(found, platforms);
        for image in &images {
            assert_eq!(image.labels.as_ref().unwrap()["org.opencontainers.image.revision"], "a1b2c3d");
            assert!(image.missing.is_empty() && image.size_bytes > 1_000_000, "{image:?}");
        }
    }
    assert_eq!(client(&ecr).inspect(&web(), &missing()).await.unwrap(), Err(InvalidImage::gone()));
}
