//! The documents that a run saved in the bucket.

use stablepin_aws::s3::Bucket;
use stablepin_retention_rules::run::Stored;

use crate::RetentionError;

/// Reads a document from the bucket, and checks that its content is unchanged.
pub(crate) async fn document<T: serde::de::DeserializeOwned>(
    bucket: &Bucket,
    stored: &Stored,
) -> Result<T, RetentionError> {
    let key = || stored.key.clone();
    let bytes = bucket.get(&stored.key).await?.ok_or_else(|| RetentionError::Changed { key: key() })?;
    if stablepin_aws::s3::sha256(&bytes) != stored.sha256 {
        return Err(RetentionError::Changed { key: key() });
    }
    serde_json::from_slice(&bytes).map_err(|source| RetentionError::Document { key: key(), source })
}
