//! Descriptors: the references of a manifest to blobs and to other manifests.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::media_type::{DOCKER_LIST, OCI_INDEX};
use stablepin_rules::image::ImageDigest;

/// A manifest's reference to a blob or to another manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: ImageDigest,
    /// The stored size in bytes. For a layer, the compressed size.
    pub size: u64,
    pub platform: Option<Platform>,
    pub artifact_type: Option<String>,
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// Returns true if the descriptor refers to an image index.
    pub fn is_index(&self) -> bool {
        [DOCKER_LIST, OCI_INDEX].contains(&self.media_type.as_str())
    }

    /// Returns true if registries store the layer. A layer that must not be distributed is stored
    /// elsewhere.
    /// <https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers>
    pub fn is_distributed(&self) -> bool {
        !["nondistributable", "foreign"].iter().any(|word| self.media_type.contains(word))
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
