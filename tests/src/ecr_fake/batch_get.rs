//! BatchGetImage returns manifests. Each returned manifest counts as a pull of its image.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>

use serde_json::json;

use super::caller::EcrCaller;
use super::image_id::{BatchFailure, Id};
use super::images::{Digest, StorageStatus, StoredImage};
use super::new_image::LayerNames;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input};

impl EcrWorld {
    pub(super) fn batch_get_image(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        input.knows(&["registryId", "repositoryName", "imageIds", "acceptedMediaTypes"])?;
        let accepted = input.texts("acceptedMediaTypes")?;
        let account = self.account.clone();
        let name = self.of(input)?.name.clone();
        let ids = Id::all(input)?;
        self.fetch_from_upstream(&name, &ids);
        let repository = &self.repositories[&name];
        let (mut images, mut failures, mut pulled) = (Vec::new(), Vec::new(), Vec::new());
        for id in &ids {
            let found = id.find(repository).and_then(|digest| match repository.unreadable.get(&digest) {
                Some(code) => Err(BatchFailure { code, reason: "the image cannot be read".to_owned() }),
                None => pullable(&repository.images[&digest], &accepted),
            });
            match found {
                Err(failure) => failures.push(id.failed(&failure)),
                Ok(image) => {
                    // Assumption: a request with only a digest gets a response without a tag.
                    let mut named = json!({ "imageDigest": &*image.digest });
                    if let Some(tag) = id.tag {
                        named["imageTag"] = tag.into();
                    }
                    pulled.push(Digest::clone(&image.digest));
                    images.push(json!({
                        "registryId": account,
                        "repositoryName": name,
                        "imageId": named,
                        "imageManifest": &*image.bytes,
                        "imageManifestMediaType": &*image.media_type,
                    }));
                }
            }
        }
        for digest in &pulled {
            self.pulled(&name, digest, caller);
        }
        Ok(json!({ "images": images, "failures": failures }))
    }

    /// Adds the wanted images that are only in the upstream registry of a pull-through cache.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>
    fn fetch_from_upstream(&mut self, name: &str, ids: &[Id<'_>]) {
        let now = self.clock.now();
        let Some(repository) = self.repositories.get_mut(name) else { return };
        for tag in ids.iter().filter_map(|id| id.tag) {
            if let Some(image) = repository.upstream.remove(tag) {
                repository.put_new(image.tag(tag), now, &mut LayerNames::new());
            }
        }
    }
}

/// Returns the image, or the failure if ECR refuses to return its manifest.
///
/// "Archived images cannot be pulled. Requests to pull the archived image will fail with a 404
/// error."
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive-image.html>
///
/// Assumptions: the code of this failure is `ImageInaccessible`. The same failure applies while ECR
/// restores an image. If the request does not accept the image's media type, ECR reports the image
/// as missing.
pub(super) fn pullable<'i>(
    image: &'i StoredImage,
    accepted: &[&str],
) -> Result<&'i StoredImage, BatchFailure> {
    let fails = |code, reason: &str| Err(BatchFailure { code, reason: reason.to_owned() });
    match image.status {
        StorageStatus::Archived => fails("ImageInaccessible", "Requested image is archived"),
        StorageStatus::Activating => fails("ImageInaccessible", "Requested image is being restored"),
        StorageStatus::Active if !accepted.is_empty() && !accepted.contains(&&*image.media_type) => {
            fails("ImageNotFound", "Requested image not found with an accepted media type")
        }
        StorageStatus::Active => Ok(image),
    }
}
