//! Amazon S3: stores objects that are too large for the table or must be kept for long.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::base64;
use sha2::{Digest, Sha256};

use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;
use crate::session::Session;

/// The largest object: a plan of about 150,000 images. ECR's quota is 100,000 images. A larger
/// object would not fit into memory together with the data of the next plan.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A client of one bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub key: String,
    /// The object's version. `None` if the bucket keeps no versions.
    pub version: Option<String>,
    /// The SHA-256 of the object's bytes, in hexadecimal digits.
    pub sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{key} of the bucket {bucket} has more than {MOST_BYTES} bytes, which is too large to process")]
    TooLarge { bucket: String, key: String },
}

impl S3Error {
    /// Returns true if a retry of the call may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call(failed) => failed.is_retryable(),
            Self::TooLarge { .. } => false,
        }
    }
}

impl Bucket {
    pub fn new(session: &Session, name: impl Into<String>) -> Self {
        Self { client: session.s3(), name: name.into() }
    }

    /// Puts an object. Replaces the object that has the same key, if there is one.
    ///
    /// The request contains the SHA-256 of the bytes. S3 refuses bytes with another hash, and
    /// stores the hash with the object.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
    pub async fn put(&self, key: &str, bytes: Vec<u8>, content_type: &str) -> Result<Stored, S3Error> {
        if bytes.len() > MOST_BYTES {
            return Err(S3Error::TooLarge { bucket: self.name.clone(), key: key.to_owned() });
        }
        let call = Call::new("PutObject", format!("put {key} into the bucket {}", self.name));
        let hash = Sha256::digest(&bytes);
        let answer = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .checksum_sha256(base64::encode(hash))
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(Stored {
            key: key.to_owned(),
            version: answer.version_id().filter(|version| !version.is_empty()).map(str::to_owned),
            sha256: hexadecimal(&hash),
        })
    }

    /// Returns the newest version of an object, or `None` if the object does not exist. If the role
    /// may not list the bucket, a missing object gives the error "access denied".
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, S3Error> {
        let bucket = &self.name;
        let call = Call::new("GetObject", format!("get {key} from the bucket {bucket}"));
        let answer = self.client.get_object().bucket(bucket).key(key).send().await;
        let Some(answer) = call.none_if(&["NoSuchKey"], answer)? else { return Ok(None) };
        let mut body = answer.body;
        let mut bytes = Vec::new();
        while let Some(part) = body.next().await {
            let part = part.map_err(|error| call.failed(FailedCall::broken_off(error)))?;
            if bytes.len() + part.len() > MOST_BYTES {
                return Err(S3Error::TooLarge { bucket: bucket.clone(), key: key.to_owned() });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }
}

/// The SHA-256 of the bytes in hexadecimal digits, as in [`Stored::sha256`].
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
