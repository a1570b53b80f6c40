//! What manifests say, each read once: a digest never means anything else. What was read is kept in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use stablepin_aws::ecr::{Ecr, EcrError, FoundImage, Manifest};
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_core::image::{ImageDigest, RepositoryName};
use stablepin_core::manifest::{self, ManifestError};
use stablepin_core::name::ApplicationName;
use stablepin_core::retention::plan::Plan;
use stablepin_core::retention::weight::{Blobs, freed};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestsError {
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
    /// The bucket has another.
    #[serde(skip)]
    is_new: bool,
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

    /// Forgets what is not there any more.
    pub(crate) fn forget(&mut self, there: &BTreeSet<&ImageDigest>) {
        let before = self.children.len() + self.blobs.len();
        self.children.retain(|digest, _| there.contains(digest));
        self.blobs.retain(|digest, _| there.contains(digest));
        self.is_new |= self.children.len() + self.blobs.len() < before;
    }

    /// Keeps what is known, if that is another than the bucket has.
    pub(crate) async fn keep(
        &mut self,
        bucket: &Bucket,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<(), S3Error> {
        if self.is_new {
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            match bucket.put(&key(application, repository), bytes, "application/json").await {
                Ok(_) => {}
                // Then it is all read again.
                Err(error @ S3Error::TooLarge { .. }) => {
                    tracing::warn!(repository.name = %repository, "what is known of manifests is not kept: {error}");
                }
                Err(error) => return Err(error),
            }
            self.is_new = false;
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
        let (read, refused): Parts<Result<Vec<ImageDigest>, ManifestsError>> = read.await?;
        if let Some((digest, code)) = refused.into_iter().next() {
            return Err(ManifestsError::Refused { digest, code });
        }
        for (digest, children) in read {
            self.children.insert(digest, children?);
            self.is_new = true;
        }
        Ok(())
    }

    /// The bytes that those free, of all that are there. Those may be gone already. None where the manifest of one is
    /// not known: then nobody knows which layers are shared.
    pub(crate) async fn freed(
        &mut self,
        ecr: &Ecr,
        repository: &RepositoryName,
        goes: &BTreeSet<&ImageDigest>,
        there: &BTreeSet<&ImageDigest>,
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
        let is_known =
            |digest: &ImageDigest| self.children.contains_key(digest) || self.blobs.contains_key(digest);
        let mut exact =
            refused.is_empty() && goes.iter().all(|digest| there.contains(digest) || is_known(digest));
        for (digest, blobs) in read {
            match blobs {
                Ok(blobs) => drop(self.blobs.insert(digest, blobs)),
                Err(_) => exact = false,
            }
            self.is_new = true;
        }
        let of = |goes: &dyn Fn(&ImageDigest) -> bool| -> Vec<&Blobs> {
            let those = self.blobs.iter().filter(|(digest, _)| goes(digest));
            those.map(|(_, blobs)| blobs).collect()
        };
        let goes_too = |digest: &ImageDigest| goes.contains(digest);
        let stays = |digest: &ImageDigest| there.contains(digest) && !goes.contains(digest);
        exact.then(|| freed(of(&goes_too), of(&stays)))
    }

    /// Without the layers: those free so many bytes at most. Layers that several images share are counted with each.
    pub(crate) fn freed_at_most(&self, plan: &Plan, goes: &BTreeSet<&ImageDigest>) -> u64 {
        let goes = plan.images.iter().filter(|one| goes.contains(&one.digest));
        // An index has the size of one of its children, which are listed too.
        let images = goes.filter(|one| !self.children.contains_key(&one.digest));
        images.fold(0, |sum, one| sum.saturating_add(one.size_bytes.unwrap_or_default()))
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
