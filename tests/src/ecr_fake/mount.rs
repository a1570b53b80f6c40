//! Mounts a layer of one repository in another repository, so that a push need not upload it.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>

use serde_json::{Value, json};

use super::images::Digest;
use super::world::EcrWorld;

/// The encryption of a repository. Its key, if any, is a key of AWS KMS.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_EncryptionConfiguration.html>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Encryption {
    #[default]
    Aes256,
    /// The ARN of the key.
    Kms(String),
}

impl Encryption {
    pub(super) fn described(&self) -> Value {
        match self {
            Self::Aes256 => json!({ "encryptionType": "AES256" }),
            Self::Kms(key) => json!({ "encryptionType": "KMS", "kmsKey": key }),
        }
    }
}

impl EcrWorld {
    /// Adds a layer of the repository `from` to the repository `to`, if ECR can mount it. Returns
    /// whether `to` has the layer now.
    ///
    /// - "Repositories must use identical encryption type and keys."
    /// - "Blob mounting is not supported for images created via pull through cache."
    ///
    /// Assumptions: ECR mounts a layer only if an image of `from` has it, and the image is not
    /// archived. ECR never mounts a layer of a repository that belongs to a pull-through cache.
    pub(super) fn mount(&mut self, digest: &str, from: &str, to: &str) -> bool {
        let (Some(source), Some(target)) = (self.repositories.get(from), self.repositories.get(to)) else {
            return false;
        };
        if !self.mounts_blobs || source.encryption != target.encryption || source.is_cache {
            return false;
        }
        let Some(layer) = source.layers.get(digest).filter(|layer| layer.not_archived > 0).cloned() else {
            return false;
        };
        let target = self.repositories.get_mut(to).expect("the repository exists");
        target.add_layer(Digest::from(digest), layer.size, layer.bytes);
        true
    }
}
