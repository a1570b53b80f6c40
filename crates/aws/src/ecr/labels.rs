//! The labels in the configuration of an image.

use stablepin_oci::{self as oci, ImageConfig};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use super::image_id::ImageId;
use super::manifests::{Manifest, must_hash_to, read};
use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;

/// The largest image configuration that the client downloads. Real configurations are far smaller:
/// labels and history need a few kilobytes.
const MAX_CONFIG_BYTES: usize = 256 * 1024;

impl Ecr {
    /// Reads the labels in an image's configuration. For an image index, it reads the configuration
    /// of the first image. Returns `None` for an artifact without an image: a signature, a chart,
    /// an index of attestations.
    pub async fn labels(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Option<ImageConfig>, EcrError> {
        let call = read(repository);
        let parse = |manifest: &Manifest| {
            let why = || format!("the manifest of {} cannot be used", manifest.digest);
            let unusable = |error| FailedCall::unusable(why(), false).with_source(error);
            manifest.parse().map_err(|error| call.failed(unusable(error)))
        };
        let mut parsed = parse(manifest)?;
        let mut digest = manifest.digest.clone();
        // An index may contain another index. A third level does not occur in real images.
        for _ in 0..2 {
            let oci::Manifest::Index(index) = &parsed else { break };
            let Some(child) = index.images().next().filter(|_| index.kind().is_image()) else {
                return Ok(None);
            };
            let child = child.digest.clone();
            let Some(found) = self.image(repository, &[ImageId::Digest(child.clone())]).await?.pop() else {
                let why = format!("the index {digest} refers to {child}, which is not there");
                return Err(call.unusable(why).into());
            };
            parsed = parse(&found)?;
            digest = child;
        }
        let oci::Manifest::Image(image) = parsed else { return Ok(None) };
        if !image.kind().is_image() {
            return Ok(None);
        }
        Ok(Some(self.config(repository, &digest, &image.config).await?))
    }

    async fn config(
        &self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        descriptor: &oci::Descriptor,
    ) -> Result<ImageConfig, CallError> {
        let (config, bytes) = (&descriptor.digest, descriptor.size);
        let what = format!("the configuration {config} of {digest} in {repository}");
        let call = Call::new("GetDownloadUrlForLayer", format!("get an address for {what}"));
        let download = Call::new("GET", format!("download {what}"));
        if bytes > MAX_CONFIG_BYTES as u64 {
            return Err(
                download.unusable(format!("it has {bytes} bytes; at most {MAX_CONFIG_BYTES} are read"))
            );
        }
        let address = self
            .client
            .get_download_url_for_layer()
            .repository_name(repository.as_str())
            .layer_digest(config.as_str())
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        let url = address.download_url().ok_or_else(|| call.lacks("downloadUrl"))?;
        let bytes = self.http.download(url, MAX_CONFIG_BYTES).await.map_err(|why| download.failed(why))?;
        must_hash_to(&download, config, &bytes)?;
        ImageConfig::parse(&bytes).map_err(|error| {
            download.failed(FailedCall::unusable("it is not valid", false).with_source(error))
        })
    }
}
