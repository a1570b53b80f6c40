//! BatchCheckLayerAvailability reports which layers exist. GetDownloadUrlForLayer returns download
//! URLs of layers.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::caller::EcrCaller;
use super::images::is_digest;
use super::repository::StoredRepository;
use super::world::{EcrWorld, Presigned};
use crate::fake::input::{Answer, Input, Refused};

/// The time for which a download URL is valid. This is an assumption.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The maximum number of digests in one call.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchCheckLayerAvailability.html>
const DIGESTS: usize = 100;

impl EcrWorld {
    pub(super) fn batch_check_layer_availability(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "layerDigests"])?;
        let digests = input.texts("layerDigests")?;
        let repository = &*self.of(input)?;
        if digests.is_empty() || digests.len() > DIGESTS {
            return Err(Refused::parameter(format!("layerDigests must have 1 to {DIGESTS} items.")));
        }
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for digest in digests {
            if digest.is_empty() || !is_digest(digest) {
                let code = if digest.is_empty() { "MissingLayerDigest" } else { "InvalidLayerDigest" };
                failures.push(json!({
                    "layerDigest": digest, "failureCode": code, "failureReason": "no digest of a layer",
                }));
                continue;
            }
            layers.push(availability(repository, digest));
        }
        Ok(json!({ "layers": layers, "failures": failures }))
    }

    /// Returns a signed URL from which a client can download the layer.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html>
    pub(super) fn get_download_url_for_layer(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        input.knows(&["registryId", "repositoryName", "layerDigest"])?;
        let digest = input.needed("layerDigest")?;
        let account = self.account.clone();
        let repository = &*self.of(input)?;
        let name = repository.name.clone();
        let Some(layer) = repository.layers.get(digest) else {
            let message = format!(
                "The layer with digest '{digest}' does not exist within the repository with name '{name}' in the registry with id '{account}'"
            );
            return Err(Refused::new(400, "LayersNotFoundException", message));
        };
        // "The specified layer is not available because it is not associated with an image."
        // Assumption: a layer is also unavailable if all its images are archived.
        // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html>
        if layer.not_archived == 0 {
            let message = format!("The layer with digest '{digest}' is not available");
            return Err(Refused::new(400, "LayerInaccessibleException", message));
        }
        let signature = format!("{}{}", self.clock.hex(), self.clock.hex());
        let until = self.clock.now() + GOOD_FOR;
        let signed = Presigned { repository: name.clone(), digest: digest.to_owned(), until };
        self.presigned.insert(signature.clone(), signed);
        // ECR returns a URL of S3. The fake returns a URL of the fake, with the host that the
        // caller used.
        let url = format!(
            "http://{}/v2/{name}/blobs/{digest}?X-Amz-Expires={}&X-Amz-Signature={signature}",
            caller.host,
            GOOD_FOR.as_secs()
        );
        Ok(json!({ "downloadUrl": url, "layerDigest": digest }))
    }
}

/// Returns the availability of a layer as in ECR's response, but without the media type, which the
/// fake does not store.
fn availability(repository: &StoredRepository, digest: &str) -> Value {
    match repository.layers.get(digest) {
        None => json!({ "layerDigest": digest, "layerAvailability": "UNAVAILABLE" }),
        Some(layer) => {
            // All images with this layer are archived.
            let archived = layer.images > 0 && layer.not_archived == 0;
            json!({
                "layerDigest": digest,
                "layerAvailability": if archived { "ARCHIVED" } else { "AVAILABLE" },
                "layerSize": layer.size,
            })
        }
    }
}
