//! Image manifests, image indexes and image configurations, as far as the rules need them.
//!
//! The parser is strict: a manifest with two meanings could be approved as one image and run as
//! another
//! (<https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh>). Any
//! text gives a manifest or an error.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::image::ImageDigest;

/// The media types that are requested, so that a registry neither converts a manifest nor selects a
/// platform.
pub const ACCEPTED: [&str; 4] = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX];

pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

const CONFIGS: [&str; 2] =
    ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];

/// ECR's limit for a manifest, in bytes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html>
pub const MAX_BYTES: usize = 4_194_304;

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest has {bytes} bytes; at most {MAX_BYTES} are allowed")]
    TooLarge { bytes: usize },
    #[error("the manifest's media type {found:?} is not one of a Docker (schema 2) or OCI manifest or index")]
    MediaType { found: String },
    #[error("the registry calls the manifest {told:?}, it calls itself {says:?}")]
    TwoMediaTypes { told: String, says: String },
    #[error("the manifest is not valid")]
    Json(#[source] serde_json::Error),
    #[error("the manifest's schemaVersion is {found}, not 2")]
    SchemaVersion { found: u64 },
    #[error("the manifest has {0:?}, which its media type does not have: it could be read in two ways")]
    Ambiguous(&'static str),
    #[error("the manifest has no {0:?}")]
    Lacks(&'static str),
    #[error("the sizes in the manifest add up to more than can be counted")]
    Sizes,
}

/// The most children of an index that are followed. An image for twelve platforms with attestations
/// has 24.
pub const MOST_CHILDREN: usize = 1000;

/// Returns every digest that occurs in a text. A manifest that is not understood can refer only to
/// these. None if there are more than [`MOST_CHILDREN`], or if the text has escapes.
pub fn mentioned(bytes: &str) -> Option<BTreeSet<ImageDigest>> {
    const BEGINS: &str = "sha256:";
    if bytes.contains("\\u") {
        return None;
    }
    let text = bytes.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(BEGINS) {
        let digest = text.get(at..at + BEGINS.len() + 64).map(ImageDigest::parse);
        if let Some(Ok(digest)) = digest {
            found.insert(digest);
        }
        if found.len() > MOST_CHILDREN {
            return None;
        }
    }
    Some(found)
}

/// A manifest's description of a blob or of another manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: ImageDigest,
    /// The stored size in bytes. Layers are compressed.
    pub size: u64,
    pub platform: Option<Platform>,
    pub artifact_type: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// Returns whether it describes an image index.
    pub fn is_index(&self) -> bool {
        [DOCKER_LIST, OCI_INDEX].contains(&self.media_type.as_str())
    }
}

/// The machine that an image runs on, such as `linux/amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    Image(ImageManifest),
    Index(ImageIndex),
}

/// The image of one platform, or an artifact that is stored in the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    /// The manifest that this one describes.
    pub subject: Option<Descriptor>,
    pub artifact_type: Option<String>,
}

/// An image for several platforms, each with its own manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIndex {
    /// The children, including attestations. ECR keeps each one as long as the index exists.
    pub children: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    pub artifact_type: Option<String>,
}

/// The kind of a manifest: an image that can run, or an artifact that describes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Image,
    Signature,
    Attestation,
    Sbom,
    HelmChart,
    /// Anything else, with the type that it declares.
    Other(String),
}

impl Kind {
    /// Returns whether it is an image. Only images can be promoted.
    pub fn is_image(&self) -> bool {
        *self == Self::Image
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    /// The layers of a schema 1 manifest.
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses a manifest. `media_type` is the type from the registry's answer, or empty if it gave
    /// none.
    pub fn parse(media_type: &str, bytes: &str) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        if !media_type.is_empty() && !ACCEPTED.contains(&media_type) {
            return Err(ManifestError::MediaType { found: media_type.to_owned() });
        }
        let raw: Raw = serde_json::from_str(bytes).map_err(ManifestError::Json)?;
        if raw.schema_version != 2 {
            return Err(ManifestError::SchemaVersion { found: raw.schema_version });
        }
        let media_type = match raw.media_type {
            Some(says) if !media_type.is_empty() && says != media_type => {
                return Err(ManifestError::TwoMediaTypes { told: media_type.to_owned(), says });
            }
            Some(says) => says,
            None => media_type.to_owned(),
        };
        if raw.fs_layers.is_some() {
            return Err(ManifestError::Ambiguous("fsLayers"));
        }
        match media_type.as_str() {
            DOCKER_MANIFEST | OCI_MANIFEST => {
                if raw.manifests.is_some() {
                    return Err(ManifestError::Ambiguous("manifests"));
                }
                Ok(Self::Image(ImageManifest {
                    config: raw.config.ok_or(ManifestError::Lacks("config"))?,
                    layers: raw.layers.ok_or(ManifestError::Lacks("layers"))?,
                    subject: raw.subject,
                    artifact_type: raw.artifact_type,
                }))
            }
            DOCKER_LIST | OCI_INDEX => {
                if raw.config.is_some() {
                    return Err(ManifestError::Ambiguous("config"));
                }
                if raw.layers.is_some() {
                    return Err(ManifestError::Ambiguous("layers"));
                }
                Ok(Self::Index(ImageIndex {
                    children: raw.manifests.ok_or(ManifestError::Lacks("manifests"))?,
                    subject: raw.subject,
                    artifact_type: raw.artifact_type,
                }))
            }
            _ => Err(ManifestError::MediaType { found: media_type }),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Image(image) => image.kind(),
            Self::Index(index) => index.kind(),
        }
    }

    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(ImageManifest { subject, .. }) | Self::Index(ImageIndex { subject, .. }) => {
                subject.as_ref()
            }
        }
    }
}

impl ImageManifest {
    /// Returns the kind. An image has the configuration and layers of an image, and no subject.
    /// Signatures and attestations use the same configuration type, but other layer types.
    pub fn kind(&self) -> Kind {
        let layers = self.layers.iter().map(|layer| layer.media_type.as_str());
        let runs = CONFIGS.contains(&self.config.media_type.as_str()) && layers.clone().all(is_layer);
        if runs
            && self.subject.is_none()
            && self.artifact_type.as_deref().is_none_or(|t| CONFIGS.contains(&t))
        {
            return Kind::Image;
        }
        let declared = self.artifact_type.as_deref();
        let types = declared.into_iter().chain([self.config.media_type.as_str()]).chain(layers);
        artifact(types)
    }

    /// Returns the total bytes of the configuration and all layers, each counted once. This is the
    /// stored size, and about the pulled size.
    pub fn size_bytes(&self) -> Result<u64, ManifestError> {
        let mut seen = BTreeSet::new();
        std::iter::once(&self.config)
            .chain(&self.layers)
            .filter(|blob| seen.insert(&blob.digest))
            .try_fold(0_u64, |sum, blob| sum.checked_add(blob.size))
            .ok_or(ManifestError::Sizes)
    }
}

impl ImageIndex {
    /// Returns the distinct digests of all children. None if there are more than [`MOST_CHILDREN`].
    pub fn digests(&self) -> Option<BTreeSet<ImageDigest>> {
        let digests: BTreeSet<&ImageDigest> = self.children.iter().map(|child| &child.digest).collect();
        (digests.len() <= MOST_CHILDREN).then(|| digests.into_iter().cloned().collect())
    }

    /// Returns the children that can run. They exclude attestations, which BuildKit adds with the
    /// platform `unknown/unknown`.
    /// <https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md>
    pub fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.children.iter().filter(|child| {
            let unknown =
                child.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown");
            let annotated =
                child.annotations.as_ref().is_some_and(|all| all.contains_key("vnd.docker.reference.type"));
            let artifact = child.artifact_type.as_deref().is_some_and(|t| !CONFIGS.contains(&t));
            ACCEPTED.contains(&child.media_type.as_str()) && !unknown && !annotated && !artifact
        })
    }

    pub fn kind(&self) -> Kind {
        let declared = self.artifact_type.as_deref();
        if self.subject.is_none() && declared.is_none() && self.images().next().is_some() {
            return Kind::Image;
        }
        let children = self.children.iter().filter_map(|child| child.artifact_type.as_deref());
        artifact(declared.into_iter().chain(children).chain([OCI_INDEX]))
    }
}

/// Returns whether the type is a file system layer, in any compression, including layers that are
/// not distributed.
fn is_layer(media_type: &str) -> bool {
    ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."]
        .iter()
        .any(|prefix| media_type.starts_with(prefix))
}

fn artifact<'a>(types: impl Iterator<Item = &'a str> + Clone) -> Kind {
    let any = |words: &[&str]| types.clone().any(|t| words.iter().any(|word| t.contains(word)));
    if any(&["cosign.simplesigning", "sigstore.bundle", "notary.signature", "signer.signature"]) {
        Kind::Signature
    } else if any(&["in-toto", "dsse.envelope"]) {
        Kind::Attestation
    } else if any(&["spdx", "cyclonedx", "syft", "sbom"]) {
        Kind::Sbom
    } else if any(&["cncf.helm"]) {
        Kind::HelmChart
    } else {
        Kind::Other(types.clone().next().unwrap_or_default().to_owned())
    }
}

/// The part of an image's configuration that is used here.
/// <https://github.com/opencontainers/image-spec/blob/main/config.md>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The labels. The image's author sets them, so they are hints and no proof.
    pub labels: BTreeMap<String, String>,
    pub architecture: String,
    pub os: String,
}

#[derive(Deserialize)]
struct RawConfig {
    architecture: String,
    os: String,
    config: Option<RawRunConfig>,
}

#[derive(Deserialize)]
struct RawRunConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: RawConfig = serde_json::from_slice(bytes)?;
        Ok(Self {
            labels: raw.config.and_then(|config| config.labels).unwrap_or_default(),
            architecture: raw.architecture,
            os: raw.os,
        })
    }
}

#[cfg(test)]
mod tests {
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
    fn image_has_image_configuration_and_layers() {
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
    fn accessories_are_no_images() {
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
    fn index_images_exclude_attestations() {
        let linux = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
        let mut annotated = child(OCI_MANIFEST, linux.clone());
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
    fn index_children_count_once_up_to_a_limit() {
        let digest = |n: usize| format!("sha256:{n:064x}");
        let children = |count: usize| {
            let child = |n| json!({"mediaType": OCI_MANIFEST, "digest": digest(n % count), "size": 1});
            let Manifest::Index(index) =
                read(&index(&(0..2 * count).map(child).collect::<Vec<_>>())).unwrap()
            else {
                panic!("an index")
            };
            (index.children.len(), index.digests().map(|digests| digests.len()))
        };
        assert_eq!(children(MOST_CHILDREN), (2 * MOST_CHILDREN, Some(MOST_CHILDREN)));
        assert_eq!(children(MOST_CHILDREN + 1), (2 * MOST_CHILDREN + 2, None));
    }

    #[test]
    fn mentioned_digests_are_distinct() {
        let digest = |n: usize| format!("sha256:{n:064x}");
        let of = |text: &str| {
            mentioned(text).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let text = format!("{{\"a\": \"{}\", \"b\": [\"{}\", \"{0}\"]", digest(2), digest(1).to_uppercase());
        assert_eq!(of(&text), Some(vec![digest(1), digest(2)]));
        assert_eq!(of("no manifest sha256:12 sha512:00 ä"), Some(vec![]));
        assert_eq!(of(&format!("sha256:{}", digest(3))), Some(vec![digest(3)]));
        assert_eq!(
            of(&format!("\\u0073ha256:{} {}", digest(1), digest(2))),
            None,
            "the escape may hide a digest"
        );
        let many: String = (0..=MOST_CHILDREN).map(digest).collect();
        assert_eq!(of(&many), None);
    }

    #[test]
    fn index_of_signatures_is_a_signature() {
        let mut signature = blob(OCI_MANIFEST, "dd", 300);
        signature["artifactType"] = "application/vnd.dev.sigstore.bundle.v0.3+json".into();
        assert_eq!(kind(&index(&[signature])), Kind::Signature);
    }

    #[test]
    fn repeated_layer_counts_once() {
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

    #[test]
    fn configuration_may_omit_labels() {
        let config = |text: &str| ImageConfig::parse(text.as_bytes());
        let full = config(r#"{"architecture":"amd64","os":"linux","config":{"Labels":{"a":"b"},"Env":[]}}"#)
            .unwrap();
        assert_eq!(full.labels["a"], "b");
        assert_eq!((full.os.as_str(), full.architecture.as_str()), ("linux", "amd64"));
        for none in [
            r#"{"architecture":"amd64","os":"linux"}"#,
            r#"{"architecture":"amd64","os":"linux","config":null}"#,
            r#"{"architecture":"amd64","os":"linux","config":{"Labels":null}}"#,
        ] {
            assert!(config(none).unwrap().labels.is_empty(), "{none}");
        }
        assert!(config("{}").is_err());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_manifest_or_an_error(
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
}
