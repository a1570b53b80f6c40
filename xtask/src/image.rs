//! Real, runnable images that this module builds itself: FROM scratch, with one static program.
//!
//! The images have no base image, because a build here cannot pull images. The same input gives the
//! same bytes and the same digest. A new version gives a new digest, as in a real build.

mod program;

use std::{collections::BTreeMap, env::consts::ARCH, io::Write as _};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::aws::sha256_hex;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The port on which the program listens.
pub const PORT: u16 = 8080;

/// The input of a build.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// The text that `/version` returns.
    pub version: String,
    pub mode: Mode,
    /// OCI labels, for example `org.opencontainers.image.revision`.
    pub labels: BTreeMap<String, String>,
    /// Additional variables of the image's environment.
    pub env: BTreeMap<String, String>,
    /// Additional layers. Each layer is a set of files by path.
    pub layers: Vec<BTreeMap<String, Vec<u8>>>,
}

/// The behaviour of the built program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Healthy,
    /// The program runs, but `/health` returns 500.
    Unhealthy,
    /// The program immediately exits with 1.
    Crash,
}

/// Bytes that a registry stores under their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub media_type: String,
    pub digest: String,
    pub bytes: Vec<u8>,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciImage {
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

/// An image index: several images under one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciIndex {
    pub manifest: Blob,
    pub children: Vec<OciImage>,
}

impl Spec {
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the source commit: the label `org.opencontainers.image.revision`.
    #[must_use]
    pub fn revision(self, commit: &str) -> Self {
        self.label("org.opencontainers.image.revision", commit)
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Healthy => "healthy",
            Mode::Unhealthy => "unhealthy",
            Mode::Crash => "crash",
        }
    }
}

impl Blob {
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest(&bytes), bytes }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// Builds the image of `spec`. Compiles the program on first use.
pub fn build(spec: &Spec) -> Result<OciImage> {
    let program = program::compiled()?;
    assemble(spec, &program, architecture())
}

/// Returns the files of an image as a tar, for a container engine that imports images without a
/// registry.
pub(crate) fn file_system() -> Result<Vec<u8>> {
    tar([("server", program::compiled()?.as_slice(), 0o755)].into_iter())
}

/// Returns an image index of `children`. The config of each image names its platform.
pub fn index(children: Vec<OciImage>) -> Result<OciIndex> {
    let mut manifests = Vec::new();
    for child in &children {
        let config: Value = serde_json::from_slice(&child.config.bytes)?;
        let mut descriptor = child.manifest.descriptor();
        descriptor["platform"] = json!({ "architecture": config["architecture"], "os": config["os"] });
        manifests.push(descriptor);
    }
    let manifest = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    Ok(OciIndex { manifest: Blob::new(INDEX, serde_json::to_vec(&manifest)?), children })
}

/// Builds the image of `spec` with any program, for any architecture. So an image index may have a
/// platform that this machine cannot run.
pub fn assemble(spec: &Spec, program: &[u8], architecture: &str) -> Result<OciImage> {
    let mut tars = vec![tar([("server", program, 0o755)].into_iter())?];
    for files in &spec.layers {
        tars.push(tar(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice(), 0o644)))?);
    }
    let diff_ids: Vec<_> = tars.iter().map(|tar| digest(tar)).collect();
    let layers = tars.iter().map(|tar| Ok(Blob::new(LAYER, gzip(tar)?))).collect::<Result<Vec<_>>>()?;

    let mut env = vec![format!("APP_VERSION={}", spec.version), format!("APP_MODE={}", spec.mode.name())];
    env.extend(spec.env.iter().map(|(name, value)| format!("{name}={value}")));
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": env,
            "Entrypoint": ["/server"],
            "ExposedPorts": { format!("{PORT}/tcp"): {} },
            "Labels": spec.labels,
            // Process 1 has no handler for SIGTERM, so a stop would last for the whole grace
            // period. The program has no state to save.
            "StopSignal": "SIGKILL",
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = Blob::new(CONFIG, serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
    });
    Ok(OciImage { manifest: Blob::new(MANIFEST, serde_json::to_vec(&manifest)?), config, layers })
}

impl OciImage {
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Returns the blobs that must be pushed before the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config])
    }
}

impl OciIndex {
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }
}

/// Returns the name of this machine's architecture in Go, which image configs use.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns a tar without times and owners, so that its bytes depend on the files only.
fn tar<'a>(files: impl Iterator<Item = (&'a str, &'a [u8], u32)>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("cannot put {path} into a layer"))?;
    }
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    // The encoder writes neither a file name nor a time.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// Returns the digest of `bytes`: `sha256:` and the hash of the bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    fn image(spec: &Spec) -> OciImage {
        assemble(spec, b"\x7fELF not really", "amd64").unwrap()
    }

    #[test]
    fn same_input_gives_the_same_digest() {
        let spec = Spec::new("1.0.0").revision("a1b2c3d4").label("b", "2").label("a", "1");
        assert_eq!(image(&spec), image(&spec));
        // This snapshot must not change. A change would give a new digest to every old input.
        insta::assert_snapshot!(String::from_utf8(image(&spec).config.bytes).unwrap());
    }

    #[test]
    fn different_inputs_give_different_digests() {
        let base = Spec::new("1.0.0");
        let more = Spec { layers: vec![BTreeMap::from([("data".into(), vec![0; 10])])], ..base.clone() };
        let others = [Spec::new("1.0.1"), base.clone().mode(Mode::Crash), base.clone().revision("a1"), more];
        for other in others {
            assert_ne!(image(&base).digest(), image(&other).digest(), "{other:?}");
        }
    }

    #[test]
    fn diff_ids_are_hashes_of_the_unpacked_layers() {
        let files = BTreeMap::from([("etc/data".into(), b"x".repeat(5000))]);
        let image = image(&Spec { layers: vec![files], ..Spec::new("1") });
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        assert_eq!(image.layers.len(), 2);
        for (at, layer) in image.layers.iter().enumerate() {
            let mut unpacked = Vec::new();
            GzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][at], digest(&unpacked));
        }
    }

    #[test]
    fn image_index_lists_its_images_and_their_platforms() {
        let arm = assemble(&Spec::new("1"), b"arm", "arm64").unwrap();
        let index = index(vec![image(&Spec::new("1")), arm]).unwrap();
        let manifest: Value = serde_json::from_slice(&index.manifest.bytes).unwrap();
        assert_eq!(manifest["manifests"][1]["digest"], index.children[1].digest());
        assert_eq!(manifest["manifests"][0]["platform"], json!({"architecture": "amd64", "os": "linux"}));
        assert_eq!(manifest["manifests"][1]["platform"]["architecture"], "arm64");
    }
}
