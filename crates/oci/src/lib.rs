//! The parts of image manifests, image indexes and image configurations that Stablepin needs.
//!
//! The parser refuses a manifest with two meanings: approvers could approve one image, and ECS
//! could run another image
//! (<https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh>). The
//! parser returns a manifest or an error for any text, and never panics.

// A match without `_` makes the compiler report every place that must handle a new variant.
#![deny(clippy::wildcard_enum_match_arm)]

mod config;
mod descriptor;
mod kind;
mod media_type;
mod mentioned;

use std::collections::BTreeSet;

use serde::Deserialize;

pub use self::config::ImageConfig;
pub use self::descriptor::{Descriptor, Platform};
pub use self::kind::Kind;
pub use self::media_type::{ACCEPTED, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
pub use self::mentioned::{MOST_CHILDREN, mentioned};

use self::kind::artifact;
use self::media_type::{CONFIGS, is_layer};
use stablepin_rules::image::ImageDigest;

/// The most bytes of a manifest that ECR accepts.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    Image(ImageManifest),
    Index(ImageIndex),
}

/// The manifest of an image for one platform, or of an artifact in the same format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    /// The manifest that this manifest refers to, such as the image that a signature signs.
    pub subject: Option<Descriptor>,
    pub artifact_type: Option<String>,
}

/// An image for several platforms. Each platform has its own manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIndex {
    /// The children, including attestations. ECR deletes no child while the image index exists.
    pub children: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    pub artifact_type: Option<String>,
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
    /// The layers of a schema 1 manifest. The parser refuses every manifest with this field.
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses a manifest. `media_type` is the media type in the registry's response, or empty if
    /// the response has none.
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
    /// Returns the kind of the manifest. An image has the configuration type and the layer types of
    /// an image, and no subject. A signature may have the configuration type of an image, but has
    /// other layer types.
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

    /// Returns the size of the configuration and all layers, in bytes. A repeated blob counts once.
    /// ECR stores this many bytes, and a pull transfers about as many.
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

    /// Returns the children that can run. Excludes the attestations that BuildKit adds with the
    /// platform `unknown/unknown`, and artifacts without a platform. A runtime chooses a child by
    /// its platform, so a child that names a platform can run, whatever its annotations say.
    /// <https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md>
    pub fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.children.iter().filter(|child| {
            let can_run = match &child.platform {
                Some(platform) => platform.os != "unknown" || platform.architecture != "unknown",
                None => {
                    let annotations = child.annotations.as_ref();
                    let is_annotated =
                        annotations.is_some_and(|all| all.contains_key("vnd.docker.reference.type"));
                    !is_annotated && child.artifact_type.as_deref().is_none_or(|kind| CONFIGS.contains(&kind))
                }
            };
            can_run && ACCEPTED.contains(&child.media_type.as_str())
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

#[cfg(test)]
mod tests;
