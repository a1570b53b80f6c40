//! What manifests say, each read once: a digest never means anything else. What was read is kept in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use stablepin_aws::ecr::{Ecr, EcrError, FoundImage, Manifest};
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_core::image::{ImageDigest, RepositoryName};
use stablepin_core::manifest::{self, ManifestError};
use stablepin_core::name::ApplicationName;
use stablepin_core::retention::weight::{Blobs, freed};

#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    #[error("the manifests of its indexes could not be read")]
    Ecr(#[from] EcrError),
    #[error(
        "the manifest of the index {digest} could not be read ({code}): what it refers to is not known{}",
        hint(code)
    )]
    Refused { digest: ImageDigest, code: String },
    #[error("the manifest of the index {digest} is not understood")]
    NotUnderstood {
        digest: ImageDigest,
        #[source]
        source: ManifestError,
    },
    #[error("the index {digest} has the manifest of something else")]
    NoIndex { digest: ImageDigest },
}

fn hint(code: &str) -> &'static str {
    match code {
        "ImageInaccessible" => "; it is archived: restore it, or delete it by hand",
        _ => "",
    }
}

impl ManifestsError {
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Ecr(error) => error.is_retryable(),
            // Gone between two reads: the next look does not list it.
            Self::Refused { code, .. } => code == "ImageNotFound",
            Self::NotUnderstood { .. } | Self::NoIndex { .. } => false,
        }
    }
}

/// In a larger repository only indexes are read: what would be freed is then said without layers that are shared.
const MOST_WEIGHED: usize = 20_000;

/// As many as one call takes.
const PER_CALL: usize = 100;

/// Calls under way at once: a BatchGetImage of 100 counts as 100 of the 2,000 in a second.
const AT_ONCE: usize = 4;

/// What is known of a repository's manifests.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Of indexes.
    #[serde(default)]
    children: BTreeMap<ImageDigest, Vec<ImageDigest>>,
    /// Of everything else, as far as it was read.
    #[serde(default)]
    blobs: BTreeMap<ImageDigest, Blobs>,
    /// There is more than the bucket has.
    #[serde(skip)]
    more: bool,
}

impl Known {
    /// What was kept; nothing where nothing was, or it is not readable: then everything is read again.
    pub(crate) async fn load(
        bucket: &Bucket,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<Self, S3Error> {
        let bytes = bucket.get(&key(application, repository)).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Keeps what was read of the images that are there.
    pub(crate) async fn keep(
        mut self,
        bucket: &Bucket,
        application: &ApplicationName,
        repository: &RepositoryName,
        there: &BTreeSet<&ImageDigest>,
    ) -> Result<(), S3Error> {
        let before = self.children.len() + self.blobs.len();
        self.children.retain(|digest, _| there.contains(digest));
        self.blobs.retain(|digest, _| there.contains(digest));
        if self.more || self.children.len() + self.blobs.len() < before {
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            bucket.put(&key(application, repository), bytes, "application/json").await?;
        }
        Ok(())
    }

    pub(crate) fn children(&self, digest: &ImageDigest) -> &[ImageDigest] {
        self.children.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Reads those indexes of them that are not known yet. An index whose manifest cannot be read is an error: what it
    /// needs would look as if nothing needed it.
    pub(crate) async fn read_indexes(
        &mut self,
        ecr: &Ecr,
        repository: &RepositoryName,
        found: &[FoundImage],
    ) -> Result<(), ManifestsError> {
        let unknown = |one: &&FoundImage| one.is_index && !self.children.contains_key(&one.digest);
        let unknown: Vec<_> = found.iter().filter(unknown).map(|one| one.digest.clone()).collect();
        let read = in_parts(ecr, repository, &unknown, |manifest| match manifest.parse() {
            Ok(manifest::Manifest::Index(index)) => {
                Ok(index.children.into_iter().map(|child| child.digest).collect())
            }
            Ok(manifest::Manifest::Image(_)) => {
                Err(ManifestsError::NoIndex { digest: manifest.digest.clone() })
            }
            Err(source) => Err(ManifestsError::NotUnderstood { digest: manifest.digest.clone(), source }),
        });
        let (read, refused): (Vec<(ImageDigest, Result<Vec<ImageDigest>, _>)>, _) = read.await?;
        if let Some((digest, code)) = refused.into_iter().next() {
            return Err(ManifestsError::Refused { digest, code });
        }
        for (digest, children) in read {
            self.children.insert(digest, children?);
            self.more = true;
        }
        Ok(())
    }

    /// The bytes that those free, of all that are there, and whether layers that are shared were looked at.
    pub(crate) async fn freed(
        &mut self,
        ecr: &Ecr,
        repository: &RepositoryName,
        goes: &BTreeSet<&ImageDigest>,
        there: &[&ImageDigest],
    ) -> Option<u64> {
        if goes.is_empty() {
            return Some(0);
        }
        if there.len() > MOST_WEIGHED {
            return None;
        }
        let images = there.iter().filter(|digest| !self.children.contains_key(digest));
        let unknown: Vec<ImageDigest> = images
            .filter(|digest| !self.blobs.contains_key(digest))
            .map(|digest| (*digest).clone())
            .collect();
        let read =
            in_parts(ecr, repository, &unknown, |manifest| manifest.parse().map(|one| Blobs::of(&one)));
        let (read, refused) = read.await.ok()?;
        let mut exact = refused.is_empty();
        for (digest, blobs) in read {
            match blobs {
                Ok(blobs) => drop(self.blobs.insert(digest, blobs)),
                Err(_) => exact = false,
            }
            self.more = true;
        }
        let of = |goes_too: bool| {
            let those = self.blobs.iter().filter(move |(digest, _)| goes.contains(digest) == goes_too);
            those.map(|(_, blobs)| blobs)
        };
        exact.then(|| freed(of(true), of(false)))
    }
}

fn key(application: &ApplicationName, repository: &RepositoryName) -> String {
    format!("retention/{application}/{repository}/manifests.json")
}

type Parts<T> = (Vec<(ImageDigest, T)>, Vec<(ImageDigest, String)>);

/// What is read of each manifest, and the codes of those that were not given. No more than a few hundred manifests are
/// held at once.
async fn in_parts<T>(
    ecr: &Ecr,
    repository: &RepositoryName,
    digests: &[ImageDigest],
    read: impl Fn(&Manifest) -> T,
) -> Result<Parts<T>, EcrError> {
    let read = &read;
    let parts = stream::iter(digests.chunks(PER_CALL).map(|part| part.to_vec()).collect::<Vec<_>>());
    let parts = parts.map(|part| async move {
        let (manifests, failures) = ecr.manifests(repository, &part).await?;
        let read = manifests.iter().map(|manifest| (manifest.digest.clone(), read(manifest)));
        Ok::<_, EcrError>((read.collect::<Vec<_>>(), failures))
    });
    let parts: Vec<Parts<T>> = parts.buffer_unordered(AT_ONCE).try_collect().await?;
    let (mut all, mut refused) = (Vec::new(), Vec::new());
    for (read, failures) in parts {
        all.extend(read);
        refused.extend(failures);
    }
    Ok((all, refused))
}
