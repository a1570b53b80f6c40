use serde_json::{Value, json};
use stablepin_aws::ecr::{Ecr, EcrError, ImageId, ImageStatus, Manifest, PutTag, sha256};
use stablepin_oci::{ACCEPTED, OCI_INDEX, OCI_MANIFEST};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::mutability::Mutability;
use stablepin_rules::validation::{Inspection, InvalidImage};

use crate::wire::{DOWNLOAD, Request, Wire, bytes, chain, error, ok};

fn web() -> RepositoryName {
    RepositoryName::parse("prod/web").unwrap()
}

fn stable() -> ImageTag {
    ImageTag::parse("prod-stable").unwrap()
}

fn digest(byte: &str) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", byte.repeat(32))).unwrap()
}

/// Bytes that no serializer would write. The client must send them unchanged.
const ODD: &str = "{\n\t\"schemaVersion\" : 2 ,\"config\":{ \"mediaType\":\"\\u0061pplication/é\"} }\n";

fn odd() -> Manifest {
    Manifest {
        digest: sha256(ODD.as_bytes()),
        tag: None,
        media_type: OCI_MANIFEST.to_owned(),
        bytes: ODD.to_owned(),
    }
}

fn answer_of(manifests: &[&str], failures: Value) -> Value {
    let images: Vec<_> = manifests
        .iter()
        .map(|bytes| {
            let manifest: Value = serde_json::from_str(bytes).unwrap();
            json!({
                "imageId": {"imageDigest": sha256(bytes.as_bytes()).as_str(), "imageTag": "main"},
                "imageManifest": bytes,
                "imageManifestMediaType": manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST),
            })
        })
        .collect();
    json!({"images": images, "failures": failures})
}

#[tokio::test]
async fn put_tag_sends_the_exact_bytes_of_the_manifest() {
    let wire = Wire::answering([ok(json!({"image": {}}))]);
    let put = Ecr::new(&wire.session()).put_tag(&web(), &odd(), &stable()).await.unwrap();
    assert_eq!(put, PutTag::Put);
    let request = wire.request();
    assert_eq!(request.operation(), "PutImage");
    assert_eq!(
        request.json(),
        json!({
            "repositoryName": "prod/web",
            "imageManifest": ODD,
            "imageManifestMediaType": OCI_MANIFEST,
            "imageDigest": sha256(ODD.as_bytes()).as_str(),
            "imageTag": "prod-stable",
        })
    );
}

#[tokio::test]
async fn put_tag_returns_the_ecr_error() {
    let wire = Wire::answering([error(400, "ImageAlreadyExistsException")]);
    let put = Ecr::new(&wire.session()).put_tag(&web(), &odd(), &stable()).await.unwrap();
    assert_eq!(put, PutTag::AlreadyThere);
    for (code, named) in [
        ("ImageDigestDoesNotMatchException", "another digest than"),
        ("LayersNotFoundException", "layers of"),
        ("ReferencedImagesNotFoundException", "copy them first"),
        ("LimitExceededException", "as ECR allows"),
        ("KmsException", "the key that encrypts the repository"),
        ("RepositoryNotFoundException", "no such repository"),
        ("AccessDeniedException", "could not put the tag prod-stable"),
    ] {
        let wire = Wire::answering([error(400, code)]);
        let failed = Ecr::new(&wire.session()).put_tag(&web(), &odd(), &stable()).await.unwrap_err();
        let text = chain(&failed);
        assert!(text.contains(named), "{text}");
        assert!(text.contains(&format!("{code}: told by the test (HTTP 400, request 7f2f)")), "{text}");
        assert!(!failed.is_retryable(), "{text}");
        assert!(failed.is_refusal(), "{text}");
    }
    for code in ["ThrottlingException", "ExpiredTokenException", "ServerException"] {
        let wire = Wire::answering([error(400, code)]);
        let failed = Ecr::new(&wire.session()).put_tag(&web(), &odd(), &stable()).await.unwrap_err();
        assert!(!failed.is_refusal(), "{}", chain(&failed));
    }
}

#[tokio::test]
async fn immutable_tag_on_the_same_digest_is_not_a_conflict() {
    let on = |digest: &ImageDigest| ok(json!({"imageDetails": [{"imageDigest": digest.as_str()}]}));
    for (described, expected) in [
        (on(&odd().digest), PutTag::AlreadyThere),
        (on(&digest("ab")), PutTag::PointsElsewhere),
        (error(400, "ImageNotFoundException"), PutTag::PointsElsewhere),
    ] {
        let wire = Wire::answering([error(400, "ImageTagAlreadyExistsException"), described]);
        let put = Ecr::new(&wire.session()).put_tag(&web(), &odd(), &stable()).await.unwrap();
        assert_eq!(put, expected);
        assert_eq!(wire.requests()[1].json()["imageIds"], json!([{"imageTag": "prod-stable"}]));
    }
}

#[tokio::test]
async fn manifest_request_accepts_all_media_types() {
    let wire = Wire::answering([ok(answer_of(
        &[ODD],
        json!([{"imageId": {"imageTag": "gone"}, "failureCode": "ImageNotFound", "failureReason": "none"}]),
    ))]);
    let ids = [
        ImageId::from(&stable()),
        ImageId::from(&digest("ab")),
        ImageId::Tag(ImageTag::parse("gone").unwrap()),
    ];
    let found = Ecr::new(&wire.session()).image(&web(), &ids).await.unwrap();
    assert_eq!(found, [Manifest { tag: Some(ImageTag::parse("main").unwrap()), ..odd() }]);
    let sent = wire.request().json();
    assert_eq!(sent["acceptedMediaTypes"], json!(ACCEPTED));
    assert_eq!(
        sent["imageIds"],
        json!([{"imageTag": "prod-stable"}, {"imageDigest": digest("ab").as_str()}, {"imageTag": "gone"}])
    );
}

#[tokio::test]
async fn failure_code_other_than_missing_image_is_an_error() {
    for (code, retryable) in
        [("KmsError", false), ("ImageReferencedByManifestList", false), ("UpstreamUnavailable", true)]
    {
        let failures =
            json!([{"imageId": {"imageTag": "main"}, "failureCode": code, "failureReason": "why"}]);
        let wire = Wire::answering([ok(answer_of(&[ODD], failures))]);
        let failed = Ecr::new(&wire.session()).image(&web(), &[ImageId::from(&stable())]).await.unwrap_err();
        assert_eq!(
            chain(&failed),
            format!("could not read the manifest of main in prod/web (BatchGetImage): {code}, why")
        );
        assert_eq!((failed.is_retryable(), failed.is_refusal()), (retryable, !retryable), "{code}");
    }
}

#[tokio::test]
async fn client_rejects_a_manifest_with_another_hash() {
    let mut answer = answer_of(&[ODD], json!([]));
    answer["images"][0]["imageManifest"] = ODD.trim().into();
    let wire = Wire::answering([ok(answer)]);
    let failed = Ecr::new(&wire.session()).image(&web(), &[ImageId::from(&stable())]).await.unwrap_err();
    assert!(chain(&failed).contains(" hash to ") && failed.is_refusal(), "{failed}");
}

#[tokio::test]
async fn client_reads_a_hundred_manifests_per_call() {
    let wire = Wire::answering([ok(answer_of(&[], json!([]))), ok(answer_of(&[], json!([])))]);
    let ids = vec![ImageId::from(&stable()); 101];
    assert_eq!(Ecr::new(&wire.session()).image(&web(), &ids).await.unwrap(), []);
    let lengths: Vec<_> =
        wire.requests().iter().map(|request| request.json()["imageIds"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [100, 1]);
}

#[tokio::test]
async fn missing_image_is_none_but_archived_image_is_described() {
    let described = json!({"imageDetails": [{
        "imageDigest": digest("ab").as_str(),
        "imageTags": ["main", "v1", "x".repeat(200)],
        "imageSizeInBytes": 1234,
        "imagePushedAt": 1_752_760_000.5,
        "imageManifestMediaType": OCI_INDEX,
        "imageStatus": "ARCHIVED",
    }]});
    let wire = Wire::answering([ok(described)]);
    let detail = Ecr::new(&wire.session()).describe(&web(), &digest("ab")).await.unwrap().unwrap();
    assert_eq!(detail.status, ImageStatus::Archived);
    assert_eq!(detail.size_bytes, Some(1234));
    assert_eq!(detail.pushed_at.unwrap().to_string(), "2025-07-17T13:46:40.5Z");
    assert_eq!(detail.tags.iter().map(ImageTag::as_str).collect::<Vec<_>>(), ["main", "v1"]);
    let sent = wire.request().json();
    assert_eq!(sent["filter"], json!({"imageStatus": "ANY"}));
    assert_eq!(sent["imageIds"], json!([{"imageDigest": digest("ab").as_str()}]));

    let wire = Wire::answering([error(400, "ImageNotFoundException")]);
    assert_eq!(Ecr::new(&wire.session()).describe(&web(), &stable()).await.unwrap(), None);
    assert_eq!(wire.request().json()["imageIds"], json!([{"imageTag": "prod-stable"}]));

    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    let failed = Ecr::new(&wire.session()).describe(&web(), &stable()).await.unwrap_err();
    assert!(failed.is_of_all_images() && failed.is_refusal());
}

#[tokio::test]
async fn repository_setting_determines_which_tags_are_mutable() {
    let described = |mutability: &str, filters: Value| {
        ok(json!({"repositories": [{
            "repositoryArn": "arn:aws:ecr:eu-west-1:111122223333:repository/prod/web",
            "repositoryUri": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/prod/web",
            "imageTagMutability": mutability,
            "imageTagMutabilityExclusionFilters": filters,
        }]}))
    };
    let stable_only = json!([{"filterType": "WILDCARD", "filter": "*-stable"}]);
    let unknown = json!([{"filterType": "REGEX", "filter": ".*"}]);
    for (mutability, filters, moves) in [
        ("MUTABLE", json!([]), true),
        ("IMMUTABLE", json!([]), false),
        ("IMMUTABLE_WITH_EXCLUSION", stable_only.clone(), true),
        ("MUTABLE_WITH_EXCLUSION", stable_only, false),
        ("IMMUTABLE_WITH_EXCLUSION", unknown.clone(), false),
        ("MUTABLE_WITH_EXCLUSION", unknown, false),
        ("SOMETHING_NEW", json!([]), false),
    ] {
        let wire = Wire::answering([described(mutability, filters)]);
        let found = Ecr::new(&wire.session()).repository(&web()).await.unwrap().unwrap();
        assert_eq!(found.mutability.can_move(&stable()), moves, "{mutability}");
    }
    let wire = Wire::answering([described("MUTABLE", Value::Null)]);
    let found = Ecr::new(&wire.session()).repository(&web()).await.unwrap().unwrap();
    assert_eq!(found.mutability, Mutability::Mutable);
    assert_eq!(found.uri, "111122223333.dkr.ecr.eu-west-1.amazonaws.com/prod/web");

    let wire = Wire::answering([error(400, "RepositoryNotFoundException")]);
    assert_eq!(Ecr::new(&wire.session()).repository(&web()).await.unwrap(), None);
}

const CONFIG: &str = r#"{"architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"org.opencontainers.image.revision":"a1b2c3d"}}}"#;

fn image_with(config: &[u8]) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": sha256(config).as_str(),
            "size": config.len(),
        },
        "layers": [],
    })
    .to_string()
}

fn manifest(bytes: String) -> Manifest {
    let parsed: Value = serde_json::from_str(&bytes).unwrap();
    let media_type = parsed["mediaType"].as_str().unwrap().to_owned();
    Manifest { digest: sha256(bytes.as_bytes()), tag: None, media_type, bytes }
}

fn index(child: &str) -> String {
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": digest("cd").as_str(), "size": 9, "platform": unknown},
            {"mediaType": OCI_MANIFEST, "digest": sha256(child.as_bytes()).as_str(), "size": child.len(),
             "platform": {"os": "linux", "architecture": "arm64"}},
        ],
    })
    .to_string()
}

/// Prepares responses to the check of the layers and to the request for a download address. Either
/// call may come first.
fn answers_config(wire: &Wire, config: &[u8]) {
    let available = json!({"layerDigest": sha256(config).as_str(), "layerAvailability": "AVAILABLE"});
    let url = format!("{}{DOWNLOAD}?X-Amz-Signature=secret%2Fpath&b=2", wire.url);
    for _ in 0..2 {
        wire.will_answer(ok(json!({"downloadUrl": url, "layers": [available], "failures": []})));
    }
}

async fn inspect(wire: &Wire, bytes: String) -> Result<Inspection, EcrError> {
    Ecr::new(&wire.session()).inspect_manifest(&web(), &manifest(bytes)).await
}

/// Returns the defect of the configuration of the only image.
fn defect(inspection: Inspection) -> String {
    let mut images = inspection.unwrap();
    assert_eq!(images.len(), 1);
    images.remove(0).labels.unwrap_err()
}

#[tokio::test]
async fn client_inspects_images_of_an_image_index_but_no_attestation() {
    let child = image_with(CONFIG.as_bytes());
    let wire = Wire::answering([ok(answer_of(&[&child], json!([])))]);
    answers_config(&wire, CONFIG.as_bytes());
    wire.will_send(bytes(CONFIG));
    let images = inspect(&wire, index(&child)).await.unwrap().unwrap();
    let [image] = &images[..] else { panic!("{images:?}") };
    assert_eq!(image.labels.as_ref().unwrap()["org.opencontainers.image.revision"], "a1b2c3d");
    assert_eq!((image.platform.as_str(), image.missing.len()), ("linux/arm64", 0));
    assert_eq!(image.size_bytes, CONFIG.len() as u64);

    let requests = wire.requests();
    assert_eq!(requests[0].json()["imageIds"], json!([{"imageDigest": sha256(child.as_bytes()).as_str()}]));
    let config = sha256(CONFIG.as_bytes());
    // The download may arrive before the call that looks for layers.
    let (get, asked): (Vec<_>, Vec<_>) = requests[1..].iter().partition(|one| one.method == "GET");
    let asked: Vec<Value> = asked.into_iter().map(Request::json).collect();
    assert!(asked.iter().any(|one| one["layerDigest"] == config.as_str()), "{asked:?}");
    assert!(asked.iter().any(|one| one["layerDigests"] == json!([config.as_str()])), "{asked:?}");
    let [get] = get[..] else { panic!("{get:?}") };
    assert_eq!((get.method.as_str(), get.path.as_str()), ("GET", "/blob?X-Amz-Signature=secret%2Fpath&b=2"));
    assert!(!get.headers.contains_key("authorization"), "the presigned address needs no signature");
}

#[tokio::test]
async fn client_checks_hash_and_size_of_a_configuration() {
    let found = async |blob: Vec<u8>| {
        let wire = Wire::answering([]);
        answers_config(&wire, CONFIG.as_bytes());
        wire.will_send(bytes(blob));
        let defect = defect(inspect(&wire, image_with(CONFIG.as_bytes())).await.unwrap());
        assert!(!defect.contains("X-Amz-Signature"), "{defect}");
        defect
    };
    let other = found(CONFIG.replace("a1b2c3d", "0000000").into_bytes()).await;
    assert!(other.contains(" hash to "), "{other}");
    let endless = found(vec![b' '; 300 * 1024]).await;
    assert!(endless.contains("more of it than 262144 bytes"), "{endless}");

    let large = vec![b' '; 256 * 1024 + 1];
    let wire = Wire::answering([ok(json!({"layers": [], "failures": []}))]);
    let defect = defect(inspect(&wire, image_with(&large)).await.unwrap());
    assert!(defect.ends_with("has 262145 bytes; at most 262144 are read"), "{defect}");
    assert_eq!(wire.operations(), ["BatchCheckLayerAvailability"]);
}

#[tokio::test]
async fn configuration_must_match_its_manifest_and_index() {
    for (config, expected) in [
        (CONFIG.replace("arm64", "amd64"), "its index says linux/arm64, and its configuration linux/amd64"),
        (CONFIG.replace("[]", "[\"sha256:1\"]"), "the manifest has 0 layers, and the configuration has 1"),
        ("{}".to_owned(), "is not valid: missing field `architecture`"),
    ] {
        let child = image_with(config.as_bytes());
        let wire = Wire::answering([ok(answer_of(&[&child], json!([])))]);
        answers_config(&wire, config.as_bytes());
        wire.will_send(bytes(config));
        let defect = defect(inspect(&wire, index(&child)).await.unwrap());
        assert!(defect.contains(expected), "{defect}");
    }
}

#[tokio::test]
async fn errors_omit_the_signature_of_the_download_url() {
    for (status, retryable) in [(403, false), (503, true)] {
        let wire = Wire::answering([]);
        answers_config(&wire, CONFIG.as_bytes());
        wire.will_send(error(status, "AccessDenied"));
        let failed = inspect(&wire, image_with(CONFIG.as_bytes())).await.unwrap_err();
        assert!(chain(&failed).contains(&format!("HTTP {status}")), "{}", chain(&failed));
        assert!(!format!("{failed:?}").contains("X-Amz-Signature"), "{failed:?}");
        assert_eq!(failed.is_retryable(), retryable);
    }
    for url in [
        "nonsense?X-Amz-Signature=s",
        "http://?X-Amz-Signature=s",
        "http://a b/?X-Amz-Signature=s",
        "x://h/?X-Amz-Signature=s",
    ] {
        let answer = || ok(json!({"downloadUrl": url, "layers": [], "failures": []}));
        let wire = Wire::answering([answer(), answer()]);
        let found = inspect(&wire, image_with(CONFIG.as_bytes())).await;
        assert!(!format!("{found:?}").contains("X-Amz-Signature"), "{found:?}");
    }
}

#[tokio::test]
async fn image_index_without_images_is_invalid() {
    let wire = Wire::answering([]);
    let nothing = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    let invalid = inspect(&wire, nothing).await.unwrap().unwrap_err();
    assert_eq!(invalid, InvalidImage::metadata("the index has no image for any platform"));
    assert_eq!(wire.requests().len(), 0);
}

#[tokio::test]
async fn client_reads_all_pages_of_tagged_images() {
    let image = |n: &str, tag: &str| {
        json!({
            "imageDigest": format!("sha256:{}", n.repeat(32)), "imageTags": [tag], "imagePushedAt": 1_752_762_652,
        })
    };
    let wire = Wire::answering([
        ok(json!({"imageDetails": [image("01", "main")], "nextToken": "more"})),
        ok(json!({"imageDetails": [image("02", "v1")]})),
    ]);
    let web = RepositoryName::parse("web").unwrap();
    let found = Ecr::new(&wire.session()).tagged(&web).await.unwrap();
    let tags: Vec<&str> = found.iter().flat_map(|image| &image.tags).map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["main", "v1"]);
    assert!(found.iter().all(|image| image.pushed_at.is_some()));
    let asked: Vec<Value> = wire.requests().iter().map(crate::wire::Request::json).collect();
    assert_eq!(
        asked[0],
        json!({"repositoryName": "web", "maxResults": 1000, "filter": {"tagStatus": "TAGGED"}})
    );
    assert_eq!(asked[1]["nextToken"], "more");
}
