//! Images that a test adds directly to a repository, without pushing them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use xtask::image::{CONFIG, LAYER, digest};

use super::images::{Digest, PushedAt, StorageStatus, StoredImage};
use super::manifest::{OCI_INDEX, OCI_MANIFEST, Parsed};
use super::put_image::image;
use super::repository::{Layer, StoredRepository};

/// The description of an image that a test adds. Equal descriptions have equal digests.
#[derive(Debug, Clone)]
pub struct NewImage {
    what: What,
    tags: Vec<String>,
    pushed_at: Option<PushedAt>,
    pulled_at: Option<Timestamp>,
    status: StorageStatus,
}

#[derive(Debug, Clone)]
enum What {
    StoredImage { name: String, layers: Vec<(String, u64)>, labels: Vec<(String, String)> },
    Index { children: Vec<NewImage>, there: Vec<String> },
    Referrer { subject: String, artifact: String },
    Signature { subject: String },
    Manifest { bytes: String, media_type: String },
}

/// The architectures of images. An image whose name contains `arm` is for ARM64.
const AMD64: &str = "amd64";
const ARM64: &str = "arm64";

/// The size of the layer that an image gets by default.
const LAYER_BYTES: u64 = 1_000_000;

/// The media type of the empty configuration `{}`, for manifests that need no configuration.
/// <https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor>
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

impl NewImage {
    /// Describes an image for one platform. Images with different names have different digests.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(What::StoredImage { name: name.into(), layers: Vec::new(), labels: Vec::new() })
    }

    /// Describes an image index and its children. The fake adds the children before the index.
    pub fn index_of(children: impl IntoIterator<Item = Self>) -> Self {
        Self::new(What::Index { children: children.into_iter().collect(), there: Vec::new() })
    }

    /// Describes an image index of existing images.
    pub fn index<S: AsRef<str>>(digests: impl IntoIterator<Item = S>) -> Self {
        let there = digests.into_iter().map(|digest| digest.as_ref().to_owned()).collect();
        Self::new(What::Index { children: Vec::new(), there })
    }

    /// Describes a referrer, such as an SBOM or an attestation. The image to which it refers need
    /// not exist.
    pub fn referrer(subject: &str, artifact_type: &str) -> Self {
        Self::new(What::Referrer { subject: subject.to_owned(), artifact: artifact_type.to_owned() })
    }

    /// Describes a signature in cosign's default format: an image with a tag that contains the
    /// signed image's digest.
    /// <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>
    pub fn cosign_signature(subject: &str) -> Self {
        let tag = format!("{}.sig", subject.replacen(':', "-", 1));
        Self::new(What::Signature { subject: subject.to_owned() }).tag(tag)
    }

    /// Describes an image with this manifest. The blobs and children in the manifest must exist.
    pub fn manifest(bytes: impl Into<String>, media_type: &str) -> Self {
        Self::new(What::Manifest { bytes: bytes.into(), media_type: media_type.to_owned() })
    }

    fn new(what: What) -> Self {
        Self { what, tags: Vec::new(), pushed_at: None, pulled_at: None, status: StorageStatus::Active }
    }

    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds a layer. Layers with equal names are the same layer. An image without layers gets its
    /// own layer of 1 MB.
    #[must_use]
    pub fn layer(mut self, name: impl Into<String>, bytes: u64) -> Self {
        if let What::StoredImage { layers, .. } = &mut self.what {
            layers.push((name.into(), bytes));
        }
        self
    }

    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        if let What::StoredImage { labels, .. } = &mut self.what {
            labels.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the push time. The default is the current time.
    #[must_use]
    pub fn pushed_at(mut self, at: PushedAt) -> Self {
        self.pushed_at = Some(at);
        self
    }

    #[must_use]
    pub fn pulled_at(mut self, at: Timestamp) -> Self {
        self.pulled_at = Some(at);
        self
    }

    #[must_use]
    pub fn status(mut self, status: StorageStatus) -> Self {
        self.status = status;
        self
    }
}

/// The digests of layers by name, so that the fake computes each digest only once.
pub(super) type LayerNames = HashMap<String, Digest>;

impl StoredRepository {
    /// Adds the image without the checks and the event of `PutImage`.
    pub(super) fn put_new(&mut self, new: NewImage, now: Timestamp, names: &mut LayerNames) -> Digest {
        let (bytes, media_type) = match new.what {
            What::StoredImage { name, layers, labels } => {
                (self.image_manifest(&name, layers, &labels, names), OCI_MANIFEST.to_owned())
            }
            What::Index { children, there } => {
                let put = |child| self.put_new(child, now, names);
                let mut all: Vec<Digest> = children.into_iter().map(put).collect();
                all.extend(there.into_iter().map(Digest::from));
                (self.index_manifest(&all), OCI_INDEX.to_owned())
            }
            What::Referrer { subject, artifact } => {
                let config = self.blob(EMPTY, "{}");
                let layer = self.made_up(&format!("{artifact} of {subject}"), 1000, names);
                let size = self.images.get(&*subject).map_or(0, |image| image.bytes.len());
                let bytes = format!(
                    r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{artifact}","config":{config},"layers":[{}],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":{size}}}}}"#,
                    descriptor(&artifact, &layer, 1000)
                );
                (bytes, OCI_MANIFEST.to_owned())
            }
            What::Signature { subject } => {
                let config = self.blob(CONFIG, &format!(r#"{{"comment":"signature of {subject}"}}"#));
                let layer = self.made_up(&format!("signature of {subject}"), 300, names);
                let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
                let bytes = format!(
                    r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{}]}}"#,
                    descriptor(kind, &layer, 300)
                );
                (bytes, OCI_MANIFEST.to_owned())
            }
            What::Manifest { bytes, media_type } => (bytes, media_type),
        };
        let parsed = Parsed::read(&bytes, Some(&media_type)).expect("a manifest that ECR accepts");
        for blob in &parsed.blobs {
            assert!(self.layers.contains_key(&*blob.digest), "the blob {} does not exist", blob.digest);
        }
        for child in &parsed.children {
            assert!(self.images.contains_key(&**child), "the child {child} does not exist");
        }
        let mut image = image(self, digest(bytes.as_bytes()), &bytes, parsed);
        assert!(!self.images.contains_key(&image.digest), "{} exists already: {bytes}", image.digest);
        image.pushed_at = new.pushed_at.unwrap_or(PushedAt::At(now));
        image.pulled_at = new.pulled_at;
        image.status = new.status;
        image.archived_at = (new.status != StorageStatus::Active).then_some(now);
        let digest = Arc::clone(&image.digest);
        self.add(image);
        for tag in new.tags {
            self.tag(&tag, &digest);
        }
        digest
    }

    fn image_manifest(
        &mut self,
        name: &str,
        mut layers: Vec<(String, u64)>,
        labels: &[(String, String)],
        names: &mut LayerNames,
    ) -> String {
        let quoted = Value::from(name);
        if layers.is_empty() {
            layers.push((name.to_owned(), LAYER_BYTES));
        }
        let architecture = if name.contains("arm") { ARM64 } else { AMD64 };
        let diff_ids: Vec<String> = layers.iter().map(|(layer, _)| digest(layer.as_bytes())).collect();
        let root = json!({ "type": "layers", "diff_ids": diff_ids });
        let mut config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","rootfs":{root},"comment":{quoted},"config":{{"Labels":{{"#
        );
        for (at, (label, value)) in labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(config, "{comma}{}:{}", Value::from(label.as_str()), Value::from(value.as_str()));
        }
        config += "}}}";
        let config = self.blob(CONFIG, &config);
        let mut manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":["#);
        for (at, (layer, size)) in layers.iter().enumerate() {
            let digest = self.made_up(layer, *size, names);
            manifest += if at == 0 { "" } else { "," };
            manifest += &descriptor(LAYER, &digest, *size);
        }
        manifest + "]}"
    }

    /// Returns the manifest of an image index. The first child is for amd64, and the second child
    /// is for arm64. All later children have an unknown platform, as attestations do.
    fn index_manifest(&self, children: &[Digest]) -> String {
        let mut manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":["#);
        for (at, child) in children.iter().enumerate() {
            let image = self.images.get(child).unwrap_or_else(|| panic!("the child {child} does not exist"));
            let (os, architecture) = match at {
                0 | 1 => ("linux", self.architecture(image).unwrap_or([AMD64, ARM64][at])),
                _ => ("unknown", "unknown"),
            };
            let _ = write!(
                manifest,
                r#"{}{{"mediaType":"{}","digest":"{child}","size":{},"platform":{{"architecture":"{architecture}","os":"{os}"}}}}"#,
                if at == 0 { "" } else { "," },
                image.media_type,
                image.bytes.len(),
            );
        }
        manifest + "]}"
    }

    /// Returns the architecture in the image's configuration. An index has none.
    fn architecture(&self, image: &StoredImage) -> Option<&'static str> {
        let manifest: Value = serde_json::from_str(&image.bytes).ok()?;
        let config = self.layers.get(manifest["config"]["digest"].as_str()?)?.bytes.clone()?;
        let config: Value = serde_json::from_slice(&config).ok()?;
        [AMD64, ARM64].into_iter().find(|known| config["architecture"] == *known)
    }

    /// Adds a blob with its bytes. Returns the blob's descriptor.
    fn blob(&mut self, media_type: &str, bytes: &str) -> String {
        let digest = Digest::from(digest(bytes.as_bytes()));
        let shown = descriptor(media_type, &digest, bytes.len() as u64);
        let layer = || Layer {
            size: bytes.len() as u64,
            bytes: Some(Arc::from(bytes.as_bytes())),
            images: 0,
            not_archived: 0,
        };
        self.layers.entry(digest).or_insert_with(layer);
        shown
    }

    /// Adds a layer that has a size but no bytes. Returns the layer's digest.
    fn made_up(&mut self, name: &str, size: u64, names: &mut LayerNames) -> Digest {
        let known = names.get(name).cloned();
        let digest = known.unwrap_or_else(|| {
            let digest = Digest::from(digest(name.as_bytes()));
            names.insert(name.to_owned(), Arc::clone(&digest));
            digest
        });
        let layer = || Layer { size, bytes: None, images: 0, not_archived: 0 };
        self.layers.entry(Arc::clone(&digest)).or_insert_with(layer);
        digest
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}
