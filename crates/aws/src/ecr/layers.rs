//! Layers: which layers a repository has, and the transfer of a layer to another repository. In
//! ECR's API, a configuration is a layer too.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::operation::upload_layer_part::UploadLayerPartError;
use aws_sdk_ecr::primitives::Blob;
use aws_sdk_ecr::types::LayerAvailability;
use stablepin_oci::Descriptor;
use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::digest::digest;
use super::error::EcrError;
use crate::call::{Call, CallError};

/// The most layers that one BatchCheckLayerAvailability call accepts.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchCheckLayerAvailability.html>
const PER_LAYER_CHECK: usize = 100;

/// The largest part that this client sends, even if ECR asks for larger parts. Each layer that is
/// on its way needs memory for one part.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const LARGEST_PART: u64 = 10 * 1024 * 1024;

/// An upload that ECR has begun.
struct Upload {
    id: String,
    part_bytes: u64,
}

impl Ecr {
    /// Returns those of the layers that the repository has, each with its size. The layers of
    /// archived images are not included.
    pub async fn stored_layers(
        &self,
        repository: &RepositoryName,
        digests: &BTreeSet<ImageDigest>,
    ) -> Result<BTreeMap<ImageDigest, Option<u64>>, EcrError> {
        let call = Call::new("BatchCheckLayerAvailability", format!("look for layers in {repository}"));
        let digests: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let mut stored = BTreeMap::new();
        for part in digests.chunks(PER_LAYER_CHECK) {
            let answer = self
                .client
                .batch_check_layer_availability()
                .repository_name(repository.as_str())
                .set_layer_digests(Some(part.to_vec()))
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            for layer in answer.layers() {
                let of = digest(layer.layer_digest()).ok_or_else(|| call.lacks("layerDigest"))?;
                if layer.layer_availability() == Some(&LayerAvailability::Available) {
                    stored.insert(of, layer.layer_size().and_then(|bytes| u64::try_from(bytes).ok()));
                }
            }
        }
        Ok(stored)
    }

    /// Returns the address from which a layer can be downloaded for some minutes. Returns `None` if
    /// the repository does not have the layer. The address is a secret.
    pub(super) async fn layer_address(
        &self,
        repository: &RepositoryName,
        layer: &ImageDigest,
        what: &str,
    ) -> Result<Option<String>, CallError> {
        let call = Call::new("GetDownloadUrlForLayer", format!("get an address for {what}"));
        let address = self
            .client
            .get_download_url_for_layer()
            .repository_name(repository.as_str())
            .layer_digest(layer.as_str())
            .send()
            .await;
        let gone = ["LayersNotFoundException", "LayerInaccessibleException"];
        let Some(address) = call.none_if(&gone, address)? else { return Ok(None) };
        Ok(Some(address.download_url().ok_or_else(|| call.lacks("downloadUrl"))?.to_owned()))
    }

    /// Copies a layer of this registry's repository `from` to the repository `to` of the target's
    /// registry. Sends the layer in parts while it arrives, so that the memory does not grow with
    /// the layer. Calls `arrived` after each part with the part's size. ECR accepts the layer only
    /// if its bytes hash to the digest.
    pub async fn copy_layer(
        &self,
        from: &RepositoryName,
        target: &Self,
        to: &RepositoryName,
        layer: &Descriptor,
        arrived: impl Fn(u64),
    ) -> Result<(), EcrError> {
        let Descriptor { digest, size, .. } = layer;
        let what = format!("the layer {digest} of {from}");
        let download = Call::new("GET", format!("download {what}"));
        let address = self.layer_address(from, digest, &what).await?;
        let address = address.ok_or_else(|| download.unusable("the repository does not have it"))?;
        let mut stream = self.http.stream(&address).await.map_err(|why| download.failed(why))?;
        let upload = target.begin_upload(to, digest).await?;
        let mut sent = 0;
        loop {
            let part = stream.part(upload.part_bytes).await.map_err(|why| download.failed(why))?;
            let length = part.len() as u64;
            if sent + length > *size {
                let why = format!("there is more of it than the {size} bytes in its manifest");
                return Err(download.unusable(why).into());
            }
            if length == 0 {
                break;
            }
            target.upload_part(to, digest, &upload, sent, part).await?;
            sent += length;
            arrived(length);
        }
        target.complete_upload(to, digest, &upload).await
    }

    async fn begin_upload(
        &self,
        repository: &RepositoryName,
        layer: &ImageDigest,
    ) -> Result<Upload, EcrError> {
        let call = Call::new("InitiateLayerUpload", format!("begin to send {layer} to {repository}"));
        let begun = self.client.initiate_layer_upload().repository_name(repository.as_str()).send().await;
        let begun = begun.map_err(|error| call.failed(error))?;
        let part_bytes = begun.part_size().and_then(|bytes| u64::try_from(bytes).ok());
        Ok(Upload {
            id: begun.upload_id().ok_or_else(|| call.lacks("uploadId"))?.to_owned(),
            part_bytes: part_bytes.filter(|bytes| *bytes > 0).unwrap_or(LARGEST_PART).min(LARGEST_PART),
        })
    }

    async fn upload_part(
        &self,
        repository: &RepositoryName,
        layer: &ImageDigest,
        upload: &Upload,
        first: u64,
        part: Vec<u8>,
    ) -> Result<(), EcrError> {
        let call = Call::new("UploadLayerPart", format!("send {layer} from byte {first} on to {repository}"));
        let position = |byte: u64| i64::try_from(byte).map_err(|_| call.unusable("it is too large"));
        let last = position(first + part.len() as u64 - 1)?;
        let sent = self
            .client
            .upload_layer_part()
            .repository_name(repository.as_str())
            .upload_id(&upload.id)
            .part_first_byte(position(first)?)
            .part_last_byte(last)
            .layer_part_blob(Blob::new(part))
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        // The first attempt arrived, but its response did not. ECR then refuses the second attempt.
        if let Some(UploadLayerPartError::InvalidLayerPartException(refused)) = error.as_service_error()
            && refused.last_valid_byte_received() == Some(last)
        {
            return Ok(());
        }
        Err(call.failed(error).into())
    }

    async fn complete_upload(
        &self,
        repository: &RepositoryName,
        layer: &ImageDigest,
        upload: &Upload,
    ) -> Result<(), EcrError> {
        let call = Call::new("CompleteLayerUpload", format!("complete {layer} in {repository}"));
        let done = self
            .client
            .complete_layer_upload()
            .repository_name(repository.as_str())
            .upload_id(&upload.id)
            .layer_digests(layer.as_str())
            .send()
            .await;
        // Another upload has completed the layer, or the response to the first attempt was lost.
        let Some(failed) = done.err().map(|error| call.failed(error)) else { return Ok(()) };
        match failed.code() {
            Some("LayerAlreadyExistsException") => Ok(()),
            Some("UploadNotFoundException")
                if self
                    .stored_layers(repository, &BTreeSet::from([layer.clone()]))
                    .await?
                    .contains_key(layer) =>
            {
                Ok(())
            }
            _ => Err(failed.into()),
        }
    }
}
