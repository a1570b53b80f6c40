//! The images in a repository, as the fake stores them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::fake::clock::epoch;

/// A digest: `sha256:` and 64 hexadecimal digits.
pub(super) type Digest = Arc<str>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageStatus {
    Active,
    /// The image is in the archive, and ECR refuses to return its manifest.
    Archived,
    /// ECR is restoring the image from the archive.
    Activating,
}

impl StorageStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Archived => "ARCHIVED",
            Self::Activating => "ACTIVATING",
        }
    }
}

/// The value of `imagePushedAt` in responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PushedAt {
    At(Timestamp),
    /// The response does not contain the field.
    Nothing,
    /// Seconds since 1970, possibly negative or too large for a timestamp.
    Seconds(f64),
}

#[derive(Clone)]
pub(super) struct StoredImage {
    pub(super) digest: Digest,
    /// The exact bytes of the manifest.
    pub(super) bytes: Arc<str>,
    pub(super) media_type: Arc<str>,
    pub(super) artifact: Option<Arc<str>>,
    pub(super) annotations: Option<Value>,
    pub(super) subject: Option<String>,
    pub(super) children: Vec<Digest>,
    /// The digests of the configuration and the layers.
    pub(super) blobs: Vec<Digest>,
    pub(super) size: u64,
    pub(super) tags: BTreeSet<Arc<str>>,
    pub(super) pushed_at: PushedAt,
    pub(super) pulled_at: Option<Timestamp>,
    pub(super) status: StorageStatus,
    pub(super) archived_at: Option<Timestamp>,
    pub(super) activated_at: Option<Timestamp>,
    /// The time at which ECR completes the restore.
    pub(super) active_from: Option<Timestamp>,
}

impl StoredImage {
    /// Returns the image in the form of `DescribeImages`.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
    pub(super) fn described(&self, account: &str, repository: &str) -> Value {
        let mut shown = Map::new();
        let mut show = |member: &str, value: Value| {
            shown.insert(member.to_owned(), value);
        };
        show("registryId", account.into());
        show("repositoryName", repository.into());
        show("imageDigest", (&*self.digest).into());
        if !self.tags.is_empty() {
            show("imageTags", self.tags.iter().map(|tag| Value::from(&**tag)).collect());
        }
        show("imageSizeInBytes", self.size.into());
        match self.pushed_at {
            PushedAt::At(at) => show("imagePushedAt", epoch(at)),
            PushedAt::Seconds(seconds) => show("imagePushedAt", json!(seconds)),
            PushedAt::Nothing => {}
        }
        show("imageManifestMediaType", (&*self.media_type).into());
        if let Some(artifact) = &self.artifact {
            show("artifactMediaType", (&**artifact).into());
        }
        if let Some(subject) = &self.subject {
            show("subjectManifestDigest", subject.as_str().into());
        }
        show("imageStatus", self.status.name().into());
        let times = [
            ("lastRecordedPullTime", self.pulled_at),
            ("lastArchivedAt", self.archived_at),
            ("lastActivatedAt", self.activated_at),
        ];
        for (member, at) in times {
            if let Some(at) = at {
                show(member, epoch(at));
            }
        }
        shown.into()
    }
}

pub(super) fn is_digest(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(digit))
}
