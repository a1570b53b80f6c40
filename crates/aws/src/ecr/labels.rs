//! The labels in the configuration of an image.

use stablepin_oci::{self as oci, ImageConfig};
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::{EcrError, MAX_CONFIG_BYTES};
use super::image_id::ImageId;
use super::manifests::{Manifest, must_hash_to};
use crate::failed_call::FailedCall;

impl Ecr {
    /// Reads the labels in the image's configuration. For an index, it reads the first image's.
    /// Returns `None` if there is nothing to run: a signature, a chart, an index of attestations.
    pub async fn labels(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<Option<ImageConfig>, EcrError> {
        let unreadable = |digest: &ImageDigest| {
            let (repository, digest) = (repository.clone(), digest.clone());
            move |source| EcrError::Unreadable { repository, digest, source }
        };
        let mut parsed = manifest.parse().map_err(unreadable(&manifest.digest))?;
        let mut digest = manifest.digest.clone();
        // An index may contain another index. A third level does not occur in real images.
        for _ in 0..2 {
            let oci::Manifest::Index(index) = &parsed else { break };
            let Some(child) = index.images().next().filter(|_| index.kind().is_image()) else {
                return Ok(None);
            };
            let child = child.digest.clone();
            let Some(found) = self.image(repository, &[ImageId::Digest(child.clone())]).await?.pop() else {
                return Err(EcrError::ChildNotFound { repository: repository.clone(), digest, child });
            };
            parsed = found.parse().map_err(unreadable(&child))?;
            digest = child;
        }
        let oci::Manifest::Image(image) = parsed else { return Ok(None) };
        if !image.kind().is_image() {
            return Ok(None);
        }
        self.config(repository, &digest, &image.config).await.map(Some)
    }

    async fn config(
        &self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        descriptor: &oci::Descriptor,
    ) -> Result<ImageConfig, EcrError> {
        if descriptor.size > MAX_CONFIG_BYTES as u64 {
            return Err(EcrError::ConfigTooLarge { digest: digest.clone(), bytes: descriptor.size });
        }
        let config = &descriptor.digest;
        let address = self
            .client
            .get_download_url_for_layer()
            .repository_name(repository.as_str())
            .layer_digest(config.as_str())
            .send()
            .await
            .map_err(|error| EcrError::GetDownloadUrlForLayer {
                repository: repository.clone(),
                config: config.clone(),
                source: FailedCall::new(error),
            })?;
        let url = address.download_url().ok_or_else(|| EcrError::Answer {
            operation: "GetDownloadUrlForLayer",
            repository: repository.clone(),
            member: "downloadUrl",
        })?;
        let bytes = self.http.download(url, MAX_CONFIG_BYTES).await.map_err(|source| EcrError::Download {
            repository: repository.clone(),
            config: config.clone(),
            source,
        })?;
        must_hash_to(repository, config, &bytes)?;
        ImageConfig::parse(&bytes).map_err(|source| EcrError::Config {
            repository: repository.clone(),
            config: config.clone(),
            source,
        })
    }
}
