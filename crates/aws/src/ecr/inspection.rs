//! Inspects an image: reads its manifests and configurations, and checks that ECR has its layers.
//!
//! A push can contain any bytes, so every read is limited. The result of an inspection reports the
//! defects of an image. An error means only that a call failed, and says nothing about the image.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use stablepin_oci::{self as oci, ImageConfig};
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::one_line::{LONGEST_REASON, one_line};
use stablepin_rules::validation::{InspectedImage, Inspection, InvalidImage};

use super::client::Ecr;
use super::error::EcrError;
use super::image_id::ImageId;
use super::manifests::{ABSENT, Manifest, must_hash_to, reported};
use crate::call::Call;
use crate::errors::chain;

/// The maximum size of an image configuration, in bytes. Real configurations are far smaller:
/// labels and history have a few kilobytes.
const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// The most levels of a nested image index. Real builds are far below this limit, and below the
/// limits for manifests and layers.
const DEEPEST: usize = 4;
/// The most manifests of a nested image index.
const MOST_IMAGES: usize = 50;
/// The most layers of one image.
const MOST_LAYERS: usize = 500;
/// The most manifests of a nested image index that one call reads.
const MANIFESTS_AT_A_TIME: usize = 4;
/// The most bytes of all manifests below the first image index.
const MOST_MANIFEST_BYTES: u64 = 16 * 1024 * 1024;

/// The number of images that are inspected at the same time.
const AT_A_TIME: usize = 4;

/// The manifest of one image, and the platform that the image index gives for this image.
struct PlatformManifest {
    digest: ImageDigest,
    image: oci::ImageManifest,
    platform: Option<oci::Platform>,
}

/// The blobs of an image, compared with those that ECR has.
struct Blobs {
    /// The blobs that ECR does not have.
    missing: BTreeSet<ImageDigest>,
    /// The first blob for which the manifest names another size than ECR.
    wrong_size: Option<ImageDigest>,
}

/// The result of reading a configuration. A defect is no error.
enum Config {
    Read(ImageConfig),
    Missing,
    /// The defect of the configuration, in words.
    Invalid(String),
}

impl Ecr {
    /// Inspects an image of the repository.
    ///
    /// ECR counts the inspection as a pull.
    pub async fn inspect(
        &self,
        repository: &RepositoryName,
        image: &ImageDigest,
    ) -> Result<Inspection, EcrError> {
        match self.image(repository, &[ImageId::Digest(image.clone())]).await {
            Ok(mut found) => match found.pop() {
                Some(manifest) => self.inspect_manifest(repository, &manifest).await,
                None => Ok(Err(InvalidImage::gone())),
            },
            Err(error) => Ok(Err(defect(error)?)),
        }
    }

    /// Inspects the image that has this manifest.
    pub async fn inspect_manifest(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Inspection, EcrError> {
        let manifests = match self.platform_manifests(repository, manifest).await? {
            Ok(manifests) => manifests,
            Err(defect) => return Ok(Err(defect)),
        };
        let inspect = |manifest| self.inspect_platform(repository, manifest);
        let images = stream::iter(manifests).map(inspect).buffered(AT_A_TIME).try_collect().await?;
        Ok(Ok(images))
    }

    /// Reads the manifests of the image's platforms. Reads a nested image index level by level.
    async fn platform_manifests(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Result<Vec<PlatformManifest>, InvalidImage>, EcrError> {
        let metadata = |defect: &str| Ok(Err(InvalidImage::metadata(defect)));
        let mut level = vec![(manifest.clone(), None)];
        let mut images = Vec::new();
        let mut seen = BTreeSet::from([manifest.digest.clone()]);
        let mut bytes = 0;
        for _ in 0..DEEPEST {
            let mut children = Vec::new();
            for (manifest, platform) in std::mem::take(&mut level) {
                let of = &manifest.digest;
                match manifest.parse() {
                    Ok(oci::Manifest::Image(image)) if image.layers.len() > MOST_LAYERS => {
                        return metadata(&format!("{of} has more than {MOST_LAYERS} layers"));
                    }
                    Ok(oci::Manifest::Image(image)) => {
                        images.push(PlatformManifest { digest: of.clone(), image, platform });
                    }
                    Ok(oci::Manifest::Index(index)) => children.extend(index.images().cloned()),
                    Err(error) => {
                        return metadata(&one_line(&format!("{of}: {}", chain(&error)), LONGEST_REASON));
                    }
                }
            }
            children.retain(|child| seen.insert(child.digest.clone()));
            if children.is_empty() {
                return match images.is_empty() {
                    true => metadata("the index has no image for any platform"),
                    false => Ok(Ok(images)),
                };
            }
            if seen.len() > MOST_IMAGES {
                return metadata(&format!("it has more than {MOST_IMAGES} images"));
            }
            bytes += children.iter().map(|child| child.size).fold(0, u64::saturating_add);
            if bytes > MOST_MANIFEST_BYTES {
                return metadata(&format!(
                    "its manifests have {bytes} bytes; at most {MOST_MANIFEST_BYTES} are read"
                ));
            }
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            // A manifest has at most 4 MB, so `MANIFESTS_AT_A_TIME` manifests fit into memory, even
            // if the image index names wrong sizes.
            for some in children.chunks(MANIFESTS_AT_A_TIME) {
                let wanted: Vec<ImageDigest> = some.iter().map(|child| child.digest.clone()).collect();
                let (read, gone) = match self.manifests(repository, &wanted).await {
                    Ok(read) => read,
                    Err(error) => return Ok(Err(defect(error)?)),
                };
                let is_false = |one: &&Manifest| {
                    let said = children.iter().find(|child| child.digest == one.digest);
                    said.is_some_and(|child| child.size != one.bytes.len() as u64)
                };
                if let Some(one) = read.iter().find(is_false) {
                    return metadata(&format!(
                        "the index names a wrong size for the manifest {}",
                        one.digest
                    ));
                }
                found.extend(read);
                for (child, code) in gone {
                    if !ABSENT.iter().any(|absent| absent.as_str() == code) {
                        let call = Call::new("BatchGetImage", format!("read the manifest of {child}"));
                        return Err(call.failed(reported(&code, "")).into());
                    }
                    missing.push(child);
                }
            }
            if let Some(digest) = missing.first() {
                let platform = platform_of(&children, digest).map_or(digest.to_string(), |one| name(&one));
                return Ok(Err(InvalidImage::corrupted(&platform, &missing)));
            }
            level = found
                .into_iter()
                .map(|manifest| {
                    let platform = platform_of(&children, &manifest.digest);
                    (manifest, platform)
                })
                .collect();
        }
        metadata(&format!("its indexes are nested more than {DEEPEST} levels deep"))
    }

    async fn inspect_platform(
        &self,
        repository: &RepositoryName,
        manifest: PlatformManifest,
    ) -> Result<InspectedImage, EcrError> {
        let PlatformManifest { digest, image, platform } = manifest;
        let (blobs, config) =
            tokio::join!(self.blobs(repository, &image), self.config(repository, &digest, &image.config));
        let Blobs { mut missing, wrong_size } = blobs?;
        let said = platform.as_ref().map(name);
        let (found, labels) = match (config?, image.size_bytes(), wrong_size) {
            (Config::Missing, ..) => {
                // Another caller may have pushed or deleted the configuration between the two
                // calls.
                missing.insert(image.config.digest.clone());
                (None, Err(format!("the configuration of {digest} is missing")))
            }
            (Config::Invalid(defect), ..) => (None, Err(defect)),
            (_, Err(error), _) => (None, Err(format!("{digest}: {error}"))),
            (_, Ok(_), Some(blob)) => (None, Err(format!("{digest} names a wrong size for the blob {blob}"))),
            (Config::Read(config), Ok(_), None) => match contradiction(&image, &config, platform.as_ref()) {
                Some(defect) => (Some(config.platform()), Err(format!("{digest}: {defect}"))),
                None => (Some(config.platform()), Ok(config.labels)),
            },
        };
        let found = found.map(|platform| name(&platform));
        Ok(InspectedImage {
            platform: said.or(found).unwrap_or_else(|| digest.to_string()),
            size_bytes: image.size_bytes().unwrap_or(u64::MAX),
            missing: missing.into_iter().collect(),
            labels,
            digest,
        })
    }

    /// Compares the blobs that the manifest names with those that ECR has. Omits layers that must
    /// not be distributed, because registries do not store them.
    async fn blobs(
        &self,
        repository: &RepositoryName,
        image: &oci::ImageManifest,
    ) -> Result<Blobs, EcrError> {
        let layers = image.layers.iter().filter(|layer| layer.is_distributed());
        let all: Vec<&oci::Descriptor> = std::iter::once(&image.config).chain(layers).collect();
        let digests: BTreeSet<ImageDigest> = all.iter().map(|blob| blob.digest.clone()).collect();
        let stored = self.stored_layers(repository, &digests).await?;
        let is_false = |blob: &&&oci::Descriptor| {
            stored.get(&blob.digest).copied().flatten().is_some_and(|bytes| bytes != blob.size)
        };
        let wrong_size = all.iter().find(is_false).map(|blob| blob.digest.clone());
        let missing = digests.into_iter().filter(|digest| !stored.contains_key(digest)).collect();
        Ok(Blobs { missing, wrong_size })
    }

    /// Reads a configuration.
    async fn config(
        &self,
        repository: &RepositoryName,
        image: &ImageDigest,
        descriptor: &oci::Descriptor,
    ) -> Result<Config, EcrError> {
        let (config, bytes) = (&descriptor.digest, descriptor.size);
        let what = format!("the configuration {config} of {image} in {repository}");
        if bytes > MAX_CONFIG_BYTES as u64 {
            let defect = format!("{what} has {bytes} bytes; at most {MAX_CONFIG_BYTES} are read");
            return Ok(Config::Invalid(defect));
        }
        let download = Call::new("GET", format!("download {what}"));
        let Some(address) = self.layer_address(repository, config, &what).await? else {
            return Ok(Config::Missing);
        };
        let read = self.http.download(&address, MAX_CONFIG_BYTES).await.map_err(|why| download.failed(why));
        let read = read.and_then(|bytes| must_hash_to(&download, config, &bytes).map(|()| bytes));
        match read {
            Ok(bytes) => Ok(match ImageConfig::parse(&bytes) {
                Ok(config) => Config::Read(config),
                Err(error) => {
                    Config::Invalid(one_line(&format!("{what} is not valid: {error}"), LONGEST_REASON))
                }
            }),
            Err(failed) if failed.reason().is_unusable() => Ok(Config::Invalid(words(&failed))),
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Returns the image's defect if ECR's response shows a defect. Otherwise returns the error.
fn defect(error: EcrError) -> Result<InvalidImage, EcrError> {
    match error.is_unusable() {
        true => Ok(InvalidImage::metadata(&words(&error))),
        false => Err(error),
    }
}

/// Returns how the configuration contradicts the manifest or the image index. Returns `None` if
/// there is no contradiction.
fn contradiction(
    image: &oci::ImageManifest,
    config: &ImageConfig,
    said: Option<&oci::Platform>,
) -> Option<String> {
    if config.layers != image.layers.len() {
        return Some(format!(
            "the manifest has {} layers, and the configuration has {}",
            image.layers.len(),
            config.layers
        ));
    }
    let found = config.platform();
    let same = |said: &oci::Platform| (&said.os, &said.architecture) == (&found.os, &found.architecture);
    let said = said.filter(|said| !same(said))?;
    Some(format!("its index says {}, and its configuration {}", name(said), name(&found)))
}

fn platform_of(children: &[oci::Descriptor], digest: &ImageDigest) -> Option<oci::Platform> {
    children.iter().find(|child| child.digest == *digest)?.platform.clone()
}

/// Returns a platform's name on one line, shortened. The pusher chose the name, so the name may
/// contain any characters.
fn name(platform: &oci::Platform) -> String {
    one_line(&platform.to_string(), LONGEST_PLATFORM)
}

/// The maximum length of a platform's name, in characters.
const LONGEST_PLATFORM: usize = 40;

/// Returns the error as the text of a defect, on one line.
fn words(error: &dyn std::error::Error) -> String {
    one_line(&chain(error), LONGEST_REASON)
}
