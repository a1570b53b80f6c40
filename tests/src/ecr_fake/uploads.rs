//! InitiateLayerUpload, UploadLayerPart and CompleteLayerUpload upload a layer in parts.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_InitiateLayerUpload.html>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use xtask::image::digest;

use super::images::{Digest, is_digest};
use super::repository::StoredRepository;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};

/// The maximum number of parts of one layer.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const PARTS: usize = 4200;
/// The maximum number of digests in one call.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html>
const DIGESTS: usize = 100;

const INVALID_PART: &str = "InvalidLayerPartException";

/// The allowed sizes of a part in bytes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
#[derive(Clone, Copy)]
pub(super) struct PartSizes {
    /// The minimum size of all parts but the last.
    pub(super) least: usize,
    /// The maximum size, which InitiateLayerUpload returns as `partSize`.
    ///
    /// Assumption: the quota of 10 MiB applies, and not the 20,971,520 bytes in the description of
    /// UploadLayerPart.
    pub(super) greatest: usize,
}

impl Default for PartSizes {
    fn default() -> Self {
        Self { least: 5 * 1024 * 1024, greatest: 10 * 1024 * 1024 }
    }
}

/// An unfinished upload. Assumption: ECR keeps an upload until it is complete.
#[derive(Clone, Default)]
pub(super) struct LayerUpload {
    pub(super) bytes: Vec<u8>,
    /// The sizes of the parts, in order.
    pub(super) parts: Vec<usize>,
}

impl EcrWorld {
    pub(super) fn initiate_layer_upload(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName"])?;
        let (id, size) = (self.clock.uuid(), self.part_sizes.greatest);
        self.of(input)?.uploads.insert(id.clone(), LayerUpload::default());
        Ok(json!({ "uploadId": id, "partSize": size }))
    }

    /// Adds a part to an upload.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html>
    pub(super) fn upload_layer_part(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "uploadId",
            "partFirstByte",
            "partLastByte",
            "layerPartBlob",
        ])?;
        let id = input.needed("uploadId")?;
        let (first, last) = (position(input, "partFirstByte")?, position(input, "partLastByte")?);
        let part = BASE64_STANDARD.decode(input.needed("layerPartBlob")?);
        let part = part.map_err(|_| serialization("layerPartBlob is not in base64"))?;
        let (account, greatest) = (self.account.clone(), self.part_sizes.greatest);
        let repository = self.of(input)?;
        let name = repository.name.clone();
        let upload = upload(repository, id)?;
        // "The layer part size is not valid, or the first byte specified is not consecutive to the
        // last byte of a previous layer part upload."
        // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html>
        if first != upload.bytes.len() as u64 {
            let message =
                format!("The layer part of upload '{id}' must begin at byte {}", upload.bytes.len());
            return Err(Refused::new(400, INVALID_PART, message));
        }
        if part.len() > greatest || first + part.len() as u64 != last + 1 {
            let message = format!("The layer part of upload '{id}' has {} bytes", part.len());
            return Err(Refused::new(400, INVALID_PART, message));
        }
        if upload.parts.len() >= PARTS {
            let message = format!("The upload '{id}' has {PARTS} layer parts already");
            return Err(Refused::new(400, "LimitExceededException", message));
        }
        upload.parts.push(part.len());
        upload.bytes.extend(part);
        Ok(json!({
            "registryId": account, "repositoryName": name, "uploadId": id, "lastByteReceived": last,
        }))
    }

    /// Returns the members that the error `InvalidLayerPartException` has besides its message.
    /// Returns `None` for any other response.
    ///
    /// Assumption: `lastValidByteReceived` is missing if ECR has not received any byte.
    pub(super) fn error_members(&self, answer: &Answer, input: &Input<'_>) -> Option<Map<String, Value>> {
        answer.as_ref().err().filter(|refused| refused.kind == INVALID_PART)?;
        let (name, id) = (input.members["repositoryName"].as_str()?, input.members["uploadId"].as_str()?);
        let mut members = Map::from_iter([
            ("registryId".to_owned(), self.account.as_str().into()),
            ("repositoryName".to_owned(), name.into()),
            ("uploadId".to_owned(), id.into()),
        ]);
        let received = self.repositories.get(name)?.uploads.get(id)?.bytes.len();
        if let Some(last) = received.checked_sub(1) {
            members.insert("lastValidByteReceived".to_owned(), last.into());
        }
        Some(members)
    }

    /// Turns an upload into a layer of its repository. The layer is not in any image yet.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html>
    ///
    /// Assumptions: ECR accepts only digests with SHA-256, and each must be the layer's digest. A
    /// refused call keeps the upload, and a second call after a successful call does not find it.
    /// The layers of archived images exist.
    pub(super) fn complete_layer_upload(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "uploadId", "layerDigests"])?;
        let id = input.needed("uploadId")?;
        let digests = input.texts("layerDigests")?;
        if digests.is_empty() || digests.len() > DIGESTS || !digests.iter().all(|one| is_digest(one)) {
            return Err(Refused::parameter(format!("layerDigests must have 1 to {DIGESTS} digests.")));
        }
        let (account, least) = (self.account.clone(), self.part_sizes.least);
        let repository = self.of(input)?;
        let name = repository.name.clone();
        let upload = upload(repository, id)?;
        let refused = |kind, message: String| Err(Refused::new(400, kind, message));
        let Some((_, all_but_last)) = upload.parts.split_last() else {
            return refused("EmptyUploadException", format!("The upload '{id}' has no layer parts"));
        };
        if all_but_last.iter().any(|part| *part < least) {
            let message = format!("All layer parts except the last part must have {least} bytes");
            return refused("LayerPartTooSmallException", message);
        }
        let computed = digest(&upload.bytes);
        if digests.iter().any(|one| *one != computed) {
            return refused("InvalidLayerException", format!("The layer has the digest '{computed}'"));
        }
        if repository.layers.contains_key(&*computed) {
            let message = format!("The layer '{computed}' exists already in the repository '{name}'");
            return refused("LayerAlreadyExistsException", message);
        }
        let bytes = repository.uploads.remove(id).unwrap_or_default().bytes;
        let digest = Digest::from(computed);
        repository.add_layer(Digest::clone(&digest), bytes.len() as u64, Some(bytes.into()));
        repository.completed.push(Digest::clone(&digest));
        Ok(json!({
            "registryId": account, "repositoryName": name, "uploadId": id, "layerDigest": &*digest,
        }))
    }
}

/// Returns an upload. "The upload could not be found, or the specified upload ID is not valid for
/// this repository."
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html>
fn upload<'r>(repository: &'r mut StoredRepository, id: &str) -> Result<&'r mut LayerUpload, Refused> {
    let message = format!("The repository '{}' has no upload '{id}'", repository.name);
    let upload = repository.uploads.get_mut(id);
    upload.ok_or_else(|| Refused::new(400, "UploadNotFoundException", message))
}

/// Reads the position of a byte in a layer.
fn position(input: &Input<'_>, member: &str) -> Result<u64, Refused> {
    let value = input.get(member).ok_or_else(|| Refused::parameter(format!("{member} is missing.")))?;
    let number = value.as_i64().ok_or_else(|| serialization(&format!("{member} is not a long")))?;
    u64::try_from(number).map_err(|_| Refused::parameter(format!("{member} must be at least 0.")))
}

fn serialization(message: &str) -> Refused {
    Refused::new(400, "SerializationException", message)
}
