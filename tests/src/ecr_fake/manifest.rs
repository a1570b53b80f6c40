//! Parses manifests.
//! <https://github.com/opencontainers/image-spec/blob/main/manifest.md>

use serde_json::Value;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The media types of image manifests.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html>
const MANIFESTS: [&str; 2] = [OCI_MANIFEST, DOCKER_MANIFEST];
/// The media types of image indexes.
const INDEXES: [&str; 2] = [OCI_INDEX, DOCKER_LIST];

/// The digest and the size of a blob in a manifest.
pub(super) struct NamedBlob {
    pub(super) digest: String,
    pub(super) size: u64,
}

#[derive(Default)]
pub(super) struct Parsed {
    pub(super) media_type: String,
    /// The artifact type, which an image index usually does not have.
    pub(super) artifact: Option<String>,
    /// The digest of the image to which the manifest refers, if the manifest is a referrer.
    pub(super) subject: Option<String>,
    /// The digests of the children of an image index.
    pub(super) children: Vec<String>,
    /// The configuration and the layers of an image, without the layers that another server stores
    /// (`urls`).
    pub(super) blobs: Vec<NamedBlob>,
    pub(super) annotations: Option<Value>,
}

impl Parsed {
    /// Parses a manifest. `named` is the media type in the request. An error contains the message
    /// for the caller.
    pub(super) fn read(bytes: &str, named: Option<&str>) -> Result<Self, String> {
        let manifest: Value = serde_json::from_str(bytes)
            .map_err(|_| "Invalid parameter at 'imageManifest': it is no JSON.".to_owned())?;
        // "If you push an image manifest that does not contain the mediaType field, you must
        // specify the imageManifestMediaType in the request."
        // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html>
        let own = manifest["mediaType"].as_str();
        let media_type = match (own, named) {
            (None, None) => return Err("imageManifestMediaType is required for this manifest.".to_owned()),
            // Assumption: ECR refuses a request whose media type differs from the media type in the
            // manifest.
            (Some(own), Some(named)) if own != named => {
                return Err(format!("imageManifestMediaType is {named}, but the manifest contains {own}."));
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type.to_owned(),
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut parsed = Self {
            subject: text(&manifest["subject"]["digest"]),
            artifact: text(&manifest["artifactType"]),
            annotations: manifest.get("annotations").cloned(),
            ..Self::default()
        };
        let list = |member: &str| manifest[member].as_array().cloned().unwrap_or_default();
        let digest = |one: &Value| text(&one["digest"]).ok_or("A descriptor has no digest.".to_owned());
        if INDEXES.contains(&media_type.as_str()) {
            parsed.children = list("manifests").iter().map(digest).collect::<Result<_, _>>()?;
        } else if MANIFESTS.contains(&media_type.as_str()) {
            parsed.artifact = parsed.artifact.or_else(|| text(&manifest["config"]["mediaType"]));
            let here = |one: &&Value| one["urls"].as_array().is_none_or(Vec::is_empty);
            for one in [manifest["config"].clone()].iter().chain(&list("layers")).filter(here) {
                parsed
                    .blobs
                    .push(NamedBlob { digest: digest(one)?, size: one["size"].as_u64().unwrap_or_default() });
            }
        } else {
            return Err(format!("The media type {media_type} is not supported."));
        }
        parsed.media_type = media_type;
        Ok(parsed)
    }
}
