//! ECR's door and ECR's fake, face to face: the door understands all that the fake answers, and asks it nothing
//! that it does not know.

use jiff::Timestamp;
use stablepin_aws::ecr::{Ecr, EcrError, ImageId, ImageStatus, Manifest, PutTag};
use stablepin_aws::session::{Session, Settings};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::manifest::OCI_INDEX;
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

fn door(ecr: &EcrFake) -> Ecr {
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
    let mut settings = settings.expect("the settings are whole");
    settings.attempts = 1;
    Ecr::new(&Session::new(settings))
}

/// The manifest of an image that is there.
async fn manifest(ecr: &EcrFake, id: impl Into<ImageId>) -> Manifest {
    door(ecr).image(&web(), &[id.into()]).await.unwrap().pop().expect("it is there")
}

#[tokio::test]
async fn manifests_are_got_by_tag_and_by_digest_and_what_is_not_there_is_left_out() {
    let (ecr, repository) = fake();
    let one = repository.put(NewImage::named("one").tag("main"));
    let index = repository.put(NewImage::index_of([NewImage::named("amd64"), NewImage::named("arm64")]));
    let ids = [
        ImageId::from(&tag("main")),
        ImageId::from(&tag("none")),
        ImageId::from(&missing()),
        ImageId::from(&digest(&index)),
    ];
    let found = door(&ecr).image(&web(), &ids).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0].digest, &found[0].tag), (&digest(&one), &Some(tag("main"))));
    assert_eq!(Some(&found[0].bytes), repository.manifest(&one).as_ref());
    assert_eq!((&*found[1].media_type, &found[1].tag), (OCI_INDEX, &None));
    assert!(found[1].parse().is_ok());

    let nowhere = RepositoryName::parse("none").unwrap();
    let failed = door(&ecr).image(&nowhere, &ids).await.unwrap_err();
    assert!(matches!(failed, EcrError::RepositoryNotFound { .. }), "{failed}");
}

#[tokio::test]
async fn more_images_than_one_call_takes_are_got_in_several() {
    let (ecr, repository) = fake();
    let digests = repository.put_all((0..250).map(|number| NewImage::named(format!("build {number}"))));
    let ids: Vec<_> = digests.iter().map(|one| ImageId::Digest(digest(one))).collect();
    assert_eq!(door(&ecr).image(&web(), &ids).await.unwrap().len(), 250);
    assert_eq!(ecr.count("BatchGetImage"), 3);
}

#[tokio::test]
async fn an_image_is_described_whatever_state_it_is_in() {
    let (ecr, repository) = fake();
    let at: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
    let one = NewImage::named("one").tag("main").tag("v1").pushed_at(PushedAt::At(at));
    let one = repository.put(one);
    let found = door(&ecr).describe(&web(), &tag("v1")).await.unwrap().expect("it is there");
    assert_eq!((found.digest, found.tags), (digest(&one), vec![tag("main"), tag("v1")]));
    assert_eq!((found.pushed_at, found.status), (Some(at), ImageStatus::Active));
    assert!(found.size_bytes.is_some_and(|bytes| bytes > 1_000_000));
    assert_eq!(found.artifact_media_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));

    for (status, expected) in [
        (StorageStatus::Archived, ImageStatus::Archived),
        (StorageStatus::Activating, ImageStatus::Activating),
    ] {
        let other = digest(&repository.put(NewImage::named(format!("{status:?}")).status(status)));
        assert_eq!(door(&ecr).describe(&web(), &other).await.unwrap().expect("it is there").status, expected);
        let got = door(&ecr).image(&web(), &[ImageId::from(&other)]).await.unwrap();
        assert_eq!(got, [], "it cannot be had");
    }
    assert_eq!(door(&ecr).describe(&web(), &missing()).await.unwrap(), None);
}

#[tokio::test]
async fn a_time_of_push_that_is_missing_or_nonsense_is_none_or_harmless() {
    let (ecr, repository) = fake();
    let one = repository.put(NewImage::named("one"));
    for (told, year) in [
        (PushedAt::Nothing, None),
        (PushedAt::Seconds(-1.0), Some("1969")),
        (PushedAt::Seconds(1e13), None), // after the year 9999
    ] {
        repository.is_pushed_at(&one, told);
        let found = door(&ecr).describe(&web(), &digest(&one)).await.unwrap().expect("it is there");
        let shown = found.pushed_at.map(|at| at.strftime("%Y").to_string());
        assert_eq!(shown.as_deref(), year, "{told:?}");
    }
}

#[tokio::test]
async fn everything_that_has_a_tag_is_listed_over_all_pages() {
    let (ecr, repository) = fake();
    let image = |number| NewImage::named(format!("build {number}"));
    repository.put_all((0..1500).map(|number| image(number).tag(format!("v{number}"))));
    repository.put_all((1500..1600).map(image));
    let mut found: Vec<String> = Vec::new();
    for one in door(&ecr).tagged(&web()).await.unwrap() {
        found.extend(one.tags.iter().map(|tag| tag.as_str().to_owned()));
    }
    found.sort();
    found.dedup();
    assert_eq!((found.len(), ecr.count("DescribeImages")), (1500, 2));
    ecr.has_pages_of(100);
    assert_eq!(door(&ecr).tagged(&web()).await.unwrap().len(), 1500, "also in pages that are not full");
}

#[tokio::test]
async fn a_tag_is_put_once_and_moves_where_it_may() {
    let (ecr, repository) = fake();
    let [one, two] = ["one", "two"].map(|name| repository.put(NewImage::named(name).tag(name)));
    let [first, second] = [manifest(&ecr, &tag("one")).await, manifest(&ecr, &tag("two")).await];
    let door = door(&ecr);
    let (web, stable) = (web(), tag("prod-stable"));
    assert_eq!(door.put_tag(&web, &first, &stable).await.unwrap(), PutTag::Put);
    assert_eq!(door.put_tag(&web, &first, &stable).await.unwrap(), PutTag::AlreadyThere);
    assert_eq!(door.put_tag(&web, &second, &stable).await.unwrap(), PutTag::Put);
    assert_eq!(repository.tag("prod-stable"), Some(two.clone()));

    repository.becomes(TagMutability::Immutable);
    assert_eq!(door.put_tag(&web, &second, &stable).await.unwrap(), PutTag::AlreadyThere);
    assert_eq!(door.put_tag(&web, &first, &stable).await.unwrap(), PutTag::PointsElsewhere);
    assert_eq!(door.put_tag(&web, &first, &tag("prod-stable-000001")).await.unwrap(), PutTag::Put);
    assert_eq!((repository.tag("prod-stable"), repository.tag("prod-stable-000001")), (Some(two), Some(one)));
}

#[tokio::test]
async fn why_a_tag_is_not_put_is_understood() {
    let (ecr, repository) = fake();
    repository.put(NewImage::named("one").tag("main"));
    let image = manifest(&ecr, &tag("main")).await;
    let put = async |manifest: &Manifest| door(&ecr).put_tag(&web(), manifest, &tag("x")).await.unwrap_err();

    let altered = Manifest { bytes: format!("{} ", image.bytes), ..image.clone() };
    assert!(matches!(put(&altered).await, EcrError::ImageDigestDoesNotMatch { .. }));
    let full = (0..1000).fold(NewImage::named("full"), |image, number| image.tag(format!("t{number}")));
    let full = digest(&repository.put(full));
    let full = put(&manifest(&ecr, &full).await).await;
    assert!(matches!(full, EcrError::LimitExceeded { .. }) && full.is_refusal());

    repository.loses(image.digest.as_str());
    assert!(matches!(put(&image).await, EcrError::LayersNotFound { .. }));
    let index = repository.put(NewImage::index_of([NewImage::named("amd64")]));
    let kept = manifest(&ecr, &digest(&index)).await;
    let child = repository.children(&index)[0].clone();
    repository.loses(&index).loses(&child);
    assert!(matches!(put(&kept).await, EcrError::ReferencedImagesNotFound { .. }));

    ecr.throttles_every(1);
    let throttled = put(&image).await;
    assert!(throttled.is_retryable(), "{}", chain(&throttled));
    ecr.is_well();
    repository.is_deleted();
    assert!(matches!(put(&image).await, EcrError::RepositoryNotFound { .. }));
}

#[tokio::test]
async fn which_tags_move_is_read_as_ecr_does_it() {
    let stable = || vec!["*-stable".to_owned(), "latest".to_owned()];
    for mutability in [
        TagMutability::Mutable,
        TagMutability::Immutable,
        TagMutability::ImmutableExcept(stable()),
        TagMutability::MutableExcept(stable()),
    ] {
        let (ecr, repository) = fake();
        repository.becomes(mutability.clone());
        let found = door(&ecr).repository(&web()).await.unwrap().expect("it is there");
        assert_eq!(found.uri, "000000000000.dkr.ecr.us-east-1.amazonaws.com/prod/web");
        repository.put(NewImage::named("one").tag("prod-stable").tag("v1"));
        repository.put(NewImage::named("two").tag("two"));
        let two = manifest(&ecr, &tag("two")).await;
        for name in ["prod-stable", "v1"] {
            let moved = door(&ecr).put_tag(&web(), &two, &tag(name)).await.unwrap() == PutTag::Put;
            assert_eq!(found.mutability.can_move(&tag(name)), moved, "{mutability:?} {name}");
        }
    }
    let (ecr, _) = fake();
    let none = RepositoryName::parse("none").unwrap();
    assert_eq!(door(&ecr).repository(&none).await.unwrap(), None);
}

#[tokio::test]
async fn labels_are_read_over_the_address_that_ecr_gives() {
    let (ecr, repository) = fake();
    let labelled = |name: &str| NewImage::named(name).label("org.opencontainers.image.revision", "a1b2c3d");
    repository.put(labelled("one").tag("main"));
    repository.put(NewImage::index_of([labelled("amd64"), labelled("arm64")]).tag("index"));
    for name in ["main", "index"] {
        let manifest = manifest(&ecr, &tag(name)).await;
        let config = door(&ecr).labels(&web(), &manifest).await.unwrap().expect("an image");
        assert_eq!(config.labels["org.opencontainers.image.revision"], "a1b2c3d");
        assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", "amd64"));
    }
    let sbom = repository.put(NewImage::referrer(missing().as_str(), "application/spdx+json"));
    let sbom = manifest(&ecr, &digest(&sbom)).await;
    assert_eq!(door(&ecr).labels(&web(), &sbom).await.unwrap(), None);
}
