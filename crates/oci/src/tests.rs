use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn blob(media_type: &str, byte: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", byte.repeat(32)), "size": size})
}

fn image(config: &str, layers: &[&str]) -> Value {
    let layers: Vec<_> = layers.iter().map(|layer| blob(layer, "bb", 20)).collect();
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob(config, "aa", 1), "layers": layers})
}

fn child(media_type: &str, platform: Value) -> Value {
    let mut child = blob(media_type, "cc", 400);
    child["platform"] = platform;
    child
}

fn index(children: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
}

fn read(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value["mediaType"].as_str().unwrap_or_default(), &value.to_string())
}

fn kind(value: &Value) -> Kind {
    read(value).unwrap().kind()
}

#[test]
fn manifest_with_image_layers_is_an_image() {
    assert_eq!(kind(&image(CONFIG, &[LAYER, LAYER])), Kind::Image);
    assert_eq!(kind(&image(CONFIG, &[])), Kind::Image);
    assert_eq!(kind(&image(CONFIG, &["application/vnd.oci.image.layer.v1.tar+zstd"])), Kind::Image);
    let mut docker = image(
        "application/vnd.docker.container.image.v1+json",
        &[
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ],
    );
    docker["mediaType"] = DOCKER_MANIFEST.into();
    assert_eq!(kind(&docker), Kind::Image);
}

#[test]
fn artifact_manifest_is_no_image() {
    let with = |mut value: Value, member: &str, what: Value| {
        value[member] = what;
        value
    };
    let empty = "application/vnd.oci.empty.v1+json";
    for (value, expected) in [
        (image(CONFIG, &["application/vnd.dev.cosign.simplesigning.v1+json"]), Kind::Signature),
        (
            with(
                image(empty, &[empty]),
                "artifactType",
                "application/vnd.dev.sigstore.bundle.v0.3+json".into(),
            ),
            Kind::Signature,
        ),
        (
            with(
                image(empty, &["application/jose+json"]),
                "artifactType",
                "application/vnd.cncf.notary.signature".into(),
            ),
            Kind::Signature,
        ),
        (image(CONFIG, &["application/vnd.in-toto+json"]), Kind::Attestation),
        (image(CONFIG, &["application/vnd.dsse.envelope.v1+json"]), Kind::Attestation),
        (image(CONFIG, &["text/spdx+json"]), Kind::Sbom),
        (image(CONFIG, &["application/vnd.cyclonedx+json"]), Kind::Sbom),
        (
            image(
                "application/vnd.cncf.helm.config.v1+json",
                &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
            ),
            Kind::HelmChart,
        ),
        (
            with(image(empty, &[empty]), "artifactType", "application/vnd.example".into()),
            Kind::Other("application/vnd.example".to_owned()),
        ),
        (
            with(image(CONFIG, &[LAYER]), "subject", blob(OCI_MANIFEST, "dd", 3)),
            Kind::Other(CONFIG.to_owned()),
        ),
        (index(&[]), Kind::Other(OCI_INDEX.to_owned())),
    ] {
        assert_eq!(kind(&value), expected, "{value}");
        assert!(!expected.is_image());
    }
}

#[test]
fn images_of_an_image_index_exclude_attestations() {
    let linux = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let mut annotated = blob(OCI_MANIFEST, "ee", 300);
    annotated["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let value = index(&[
        child(OCI_MANIFEST, json!({"os": "unknown", "architecture": "unknown"})),
        annotated,
        child("application/vnd.example", linux.clone()),
        child(OCI_MANIFEST, linux),
        blob(OCI_INDEX, "dd", 300),
    ]);
    let Manifest::Index(read) = read(&value).unwrap() else { panic!("an index") };
    assert_eq!(read.children.len(), 5);
    let images: Vec<_> = read.images().collect();
    assert_eq!(images.len(), 2);
    assert_eq!(images[0].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    assert_eq!(images[1].media_type, OCI_INDEX);
    assert_eq!(read.kind(), Kind::Image);
}

#[test]
fn child_with_a_platform_is_an_image_whatever_its_annotations() {
    let mut annotated = child(OCI_MANIFEST, json!({"os": "linux", "architecture": "arm64"}));
    annotated["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    annotated["artifactType"] = json!("application/vnd.example");
    let Manifest::Index(read) = read(&index(&[annotated])).unwrap() else { panic!("an index") };
    assert_eq!(read.images().count(), 1);
}

#[test]
fn image_index_returns_distinct_children_up_to_the_limit() {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let children = |count: usize| {
        let child = |n| json!({"mediaType": OCI_MANIFEST, "digest": digest(n % count), "size": 1});
        let Manifest::Index(index) = read(&index(&(0..2 * count).map(child).collect::<Vec<_>>())).unwrap()
        else {
            panic!("an index")
        };
        (index.children.len(), index.digests().map(|digests| digests.len()))
    };
    assert_eq!(children(MOST_CHILDREN), (2 * MOST_CHILDREN, Some(MOST_CHILDREN)));
    assert_eq!(children(MOST_CHILDREN + 1), (2 * MOST_CHILDREN + 2, None));
}

#[test]
fn image_index_of_signatures_is_a_signature() {
    let mut signature = blob(OCI_MANIFEST, "dd", 300);
    signature["artifactType"] = "application/vnd.dev.sigstore.bundle.v0.3+json".into();
    assert_eq!(kind(&index(&[signature])), Kind::Signature);
}

#[test]
fn repeated_layer_counts_once_in_the_image_size() {
    let size = |value: &Value| match read(value).unwrap() {
        Manifest::Image(image) => image.size_bytes(),
        Manifest::Index(_) => panic!("an image"),
    };
    let mut value = image(CONFIG, &[LAYER, LAYER]);
    assert_eq!(size(&value).unwrap(), 21);
    value["layers"][1] = blob(LAYER, "cc", u64::MAX);
    assert!(matches!(size(&value), Err(ManifestError::Sizes)));
}

#[test]
fn ambiguous_manifest_is_refused() {
    let mut both = image(CONFIG, &[LAYER]);
    both["manifests"] = json!([]);
    assert!(matches!(read(&both), Err(ManifestError::Ambiguous("manifests"))));
    both["mediaType"] = OCI_INDEX.into();
    assert!(matches!(read(&both), Err(ManifestError::Ambiguous("config"))));

    let text = image(CONFIG, &[LAYER]).to_string();
    assert!(matches!(Manifest::parse(OCI_INDEX, &text), Err(ManifestError::TwoMediaTypes { .. })));
    let twice = text.replacen("\"layers\"", "\"layers\":[],\"layers\"", 1);
    assert!(matches!(Manifest::parse(OCI_MANIFEST, &twice), Err(ManifestError::Json(_))));
}

#[test]
fn oci_manifest_may_omit_its_media_type() {
    let mut silent = image(CONFIG, &[LAYER]);
    silent.as_object_mut().unwrap().remove("mediaType");
    assert!(Manifest::parse(OCI_MANIFEST, &silent.to_string()).is_ok());
    assert!(matches!(Manifest::parse("", &silent.to_string()), Err(ManifestError::MediaType { .. })));
}

#[test]
fn invalid_manifests_are_refused() {
    let change = |pointer: &str, value: Value| {
        let mut changed = image(CONFIG, &[LAYER]);
        *changed.pointer_mut(pointer).unwrap() = value;
        read(&changed).is_err()
    };
    assert!(change("/schemaVersion", json!(1)));
    assert!(change("/config", json!(null)));
    assert!(change("/layers", json!(null)));
    assert!(change("/layers/0/size", json!(-1)));
    assert!(change("/layers/0/size", json!(1.5)));
    assert!(change("/config/digest", json!("sha256:abc")));
    assert!(change("/config/digest", json!("sha512:abc")));
    assert!(Manifest::parse(OCI_MANIFEST, "").is_err());
    assert!(Manifest::parse(OCI_MANIFEST, "[]").is_err());
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(matches!(Manifest::parse(schema_1, "{}"), Err(ManifestError::MediaType { .. })));
    let large = " ".repeat(MAX_BYTES + 1);
    assert!(matches!(Manifest::parse(OCI_MANIFEST, &large), Err(ManifestError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn manifest_parser_never_panics(
        media_type in prop::sample::select(vec!["", OCI_MANIFEST, OCI_INDEX, DOCKER_LIST]),
        text in prop_oneof![
            any::<String>(),
            Just(image(CONFIG, &[LAYER]).to_string()),
            Just(index(&[child(OCI_MANIFEST, json!({"os": "linux", "architecture": "amd64"}))]).to_string()),
        ],
        at in any::<prop::sample::Index>(),
        put in "[\\PC]{0,3}",
    ) {
        let mut text = text;
        let mut at = at.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, &put);
        if let Ok(manifest) = Manifest::parse(media_type, &text) {
            manifest.kind();
            manifest.subject();
        }
        ImageConfig::parse(text.as_bytes()).ok();
    }
}
