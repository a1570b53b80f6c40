//! The contents of manifests. The content of a digest never changes, so a run reads a manifest once
//! and saves its content in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use stablepin_aws::ecr::{Ecr, EcrError, FoundImage, Manifest};
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_oci::{self as oci, MOST_CHILDREN};
use stablepin_reconciler::errors::chain;
use stablepin_retention_rules::plan::Plan;
use stablepin_retention_rules::weight::{Blobs, freed};
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::name::ApplicationName;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestsError {
    #[error("the manifests of its indexes could not be read")]
    Ecr(#[from] EcrError),
    #[error("the manifest of the index {digest} disappeared while retention read it")]
    Gone { digest: ImageDigest },
}

impl ManifestsError {
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Ecr(error) => error.is_retryable(),
            // The image no longer exists, so the next inventory does not list it.
            Self::Gone { .. } => true,
        }
    }
}

/// The most times that a run reads the whole inventory, if a later read may succeed.
pub(crate) const MOST_READS: u32 = 3;

/// The largest repository, in images, whose image manifests a run reads. In a larger repository, a
/// run reads only image indexes, and counts a shared layer once for each image.
const MOST_WEIGHED: usize = 20_000;

/// The most images that one call may read.
const PER_CALL: usize = 100;

/// The most calls at the same time. ECR allows 2,000 images per second, and each call reads 100
/// images.
const AT_ONCE: usize = 4;

/// The known contents of a repository's manifests.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KnownManifests {
    /// The children of each image index.
    #[serde(default)]
    children: BTreeMap<ImageDigest, Vec<ImageDigest>>,
    /// The layers of every other manifest that was read.
    #[serde(default)]
    blobs: BTreeMap<ImageDigest, Blobs>,
    /// The image indexes that the parser does not understand. Each run reads these image indexes
    /// again.
    #[serde(skip)]
    odd: BTreeMap<ImageDigest, Odd>,
    /// The number of times that this run has read the image indexes.
    #[serde(skip)]
    rounds: u32,
    /// True if the contents differ from the version in the bucket.
    #[serde(skip)]
    is_new: bool,
}

/// An image index that the parser does not understand, or that ECR does not return.
#[derive(Debug)]
struct Odd {
    why: String,
    /// The manifests to which the image index may refer. `None` means that it may refer to any
    /// manifest.
    children: Option<Vec<ImageDigest>>,
}

impl KnownManifests {
    /// Loads the saved contents. If the contents are missing or unreadable, the result is empty,
    /// and the run reads every manifest again.
    pub(crate) async fn load(
        bucket: &Bucket,
        application: &ApplicationName,
        repository: &RepositoryName,
    ) -> Result<Self, S3Error> {
        let bytes = bucket.get(&key(application, repository)).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Removes the manifests of images that no longer exist.
    pub(crate) fn forget(&mut self, there: &BTreeSet<&ImageDigest>) {
        let before = self.children.len() + self.blobs.len();
        self.children.retain(|digest, _| there.contains(digest));
        self.blobs.retain(|digest, _| there.contains(digest));
        self.is_new |= self.children.len() + self.blobs.len() < before;
    }

    /// Saves the contents in the bucket, if they have changed.
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
                // Without the saved contents, the next run reads every manifest again.
                Err(error @ S3Error::TooLarge { .. }) => {
                    tracing::warn!(repository.name = %repository, "the contents of manifests were not saved: {error}");
                }
                Err(error) => return Err(error),
            }
            self.is_new = false;
        }
        Ok(())
    }

    pub(crate) fn children(&self, digest: &ImageDigest) -> &[ImageDigest] {
        let odd = || self.odd.get(digest).and_then(|odd| odd.children.as_ref());
        self.children.get(digest).or_else(odd).map_or(&[], Vec::as_slice)
    }

    /// Returns the reason to keep an image index that the parser does not understand.
    pub(crate) fn odd(&self, digest: &ImageDigest) -> Option<&str> {
        self.odd.get(digest).map(|odd| odd.why.as_str())
    }

    /// Returns the image indexes with unknown children.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &ImageDigest> {
        self.odd.iter().filter(|(_, odd)| odd.children.is_none()).map(|(digest, _)| digest)
    }

    /// Reads the image indexes that are still unknown. An unreadable image index becomes [`Odd`]
    /// and does not stop the other reads. The client `without_retries` makes each call only once.
    pub(crate) async fn read_indexes(
        &mut self,
        ecr: &Ecr,
        without_retries: &Ecr,
        repository: &RepositoryName,
        found: &[FoundImage],
    ) -> Result<(), ManifestsError> {
        self.rounds += 1;
        self.odd.clear();
        let unknown = |one: &&FoundImage| one.is_index && !self.children.contains_key(&one.digest);
        let unknown: Vec<_> = found.iter().filter(unknown).map(|one| one.digest.clone()).collect();
        let (read, refused) =
            read_in_parts(ecr, Some(without_retries), repository, &unknown, children).await?;
        for (digest, code) in refused {
            if code == "ImageNotFound" && self.rounds < MOST_READS {
                return Err(ManifestsError::Gone { digest });
            }
            let why = format!("its manifest could not be read: {code}");
            self.odd.insert(digest, Odd { why, children: None });
        }
        for (digest, children) in read {
            match children {
                Ok(children) => {
                    self.children.insert(digest, children);
                    self.is_new = true;
                }
                Err(odd) => drop(self.odd.insert(digest, odd)),
            }
        }
        for (digest, odd) in &self.odd {
            tracing::warn!(repository.name = %repository, image.digest = %digest, "the index is kept: {}", odd.why);
        }
        Ok(())
    }

    /// Returns the bytes that the removal of the images frees, or has freed. Returns `None` if a
    /// manifest is unknown, since that manifest may share layers with the removed images.
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
        // An image index that the parser does not understand may share any layer.
        if there.len() > MOST_WEIGHED || !self.odd.is_empty() {
            return None;
        }
        let images = there.iter().filter(|digest| !self.children.contains_key(digest));
        let unknown: Vec<ImageDigest> = images
            .filter(|digest| !self.blobs.contains_key(digest))
            .map(|digest| (*digest).clone())
            .collect();
        let read = read_in_parts(ecr, None, repository, &unknown, |manifest| {
            manifest.parse().map(|one| Blobs::of(&one))
        });
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

    /// Returns the most bytes that the removal of the images can free. Counts a shared layer once
    /// for each image.
    pub(crate) fn freed_at_most(&self, plan: &Plan, goes: &BTreeSet<&ImageDigest>) -> u64 {
        let goes = plan.images.iter().filter(|one| goes.contains(&one.digest));
        // An image index reports the size of one child, and the plan lists the child, too.
        let images = goes.filter(|one| !self.children.contains_key(&one.digest));
        images.fold(0, |sum, one| sum.saturating_add(one.size_bytes.unwrap_or_default()))
    }
}

fn key(application: &ApplicationName, repository: &RepositoryName) -> String {
    format!("retention/{application}/{repository}/manifests.json")
}

type Parts<T> = (Vec<(ImageDigest, T)>, Vec<(ImageDigest, String)>);

/// Returns the children of an image index. ECR lists some images without a media type. Such an
/// image is read here, too, and has no children.
fn children(manifest: &Manifest) -> Result<Vec<ImageDigest>, Odd> {
    let (index, why) = match manifest.parse() {
        Ok(oci::Manifest::Image(_)) => return Ok(Vec::new()),
        Ok(oci::Manifest::Index(index)) => match index.digests() {
            Some(digests) => return Ok(digests.into_iter().collect()),
            None => {
                let why = format!("it refers to more than {MOST_CHILDREN} manifests: not all are followed");
                (None, why)
            }
        },
        Err(error) => {
            (oci::mentioned(&manifest.bytes), format!("its manifest is not understood: {}", chain(&error)))
        }
    };
    Err(Odd { why, children: index.map(|digests| digests.into_iter().collect()) })
}

/// Reads manifests in batches of `PER_CALL`, and keeps only a few hundred in memory. Also returns
/// the images that ECR does not return, with error codes such as `ImageInaccessible`. If a call
/// fails and `without_retries` is given, reads each image of the batch with its own call.
async fn read_in_parts<T>(
    ecr: &Ecr,
    without_retries: Option<&Ecr>,
    repository: &RepositoryName,
    digests: &[ImageDigest],
    read: impl Fn(&Manifest) -> T,
) -> Result<Parts<T>, EcrError> {
    let read = &read;
    let parts = stream::iter(digests.chunks(PER_CALL).map(|part| part.to_vec()).collect::<Vec<_>>());
    let parts = parts.map(|part| async move {
        let (manifests, failures) = match (ecr.manifests(repository, &part).await, without_retries) {
            (Err(error), Some(without_retries)) if !error.is_of_all_images() => {
                read_one_by_one(without_retries, repository, &part, error).await?
            }
            (all, _) => all?,
        };
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

/// Reads each manifest with its own call, after the call for all manifests has failed with the
/// error `failed`. If no call succeeds and `failed` is retryable, returns `failed`, since ECR
/// itself fails.
async fn read_one_by_one(
    without_retries: &Ecr,
    repository: &RepositoryName,
    digests: &[ImageDigest],
    failed: EcrError,
) -> Result<(Vec<Manifest>, Vec<(ImageDigest, String)>), EcrError> {
    let (mut manifests, mut failures) = (Vec::new(), Vec::new());
    let mut answered = false;
    for digest in digests {
        match without_retries.manifests(repository, std::slice::from_ref(digest)).await {
            Ok((mut one, mut none)) => {
                answered = true;
                manifests.append(&mut one);
                failures.append(&mut none);
            }
            Err(error) if error.is_of_all_images() => return Err(error),
            Err(error) => failures.push((digest.clone(), chain(&error))),
        }
    }
    if !answered && failed.is_retryable() { Err(failed) } else { Ok((manifests, failures)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stablepin_aws::session::{Session, Settings};
    use stablepin_oci::OCI_INDEX;
    use stablepin_tests::ecr_fake::{EcrFake, NewImage, Repository, StorageStatus};

    use super::*;

    struct Story {
        ecr: EcrFake,
        web: Repository,
    }

    impl Story {
        fn begin() -> Self {
            let ecr = EcrFake::start_in("000000000000", "us-east-1");
            let web = ecr.creates("web", stablepin_tests::ecr_fake::TagMutability::Mutable);
            Self { ecr, web }
        }

        /// Reads all image indexes. Returns each image index that became [`Odd`], with its reason
        /// and the number of its possible children.
        async fn reads(
            &self,
            rounds: u32,
        ) -> Result<BTreeMap<String, (String, Option<usize>)>, ManifestsError> {
            let settings = Settings::read(|name| {
                let value = match name {
                    "AWS_REGION" => "us-east-1".to_owned(),
                    "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE".to_owned(),
                    "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
                    "AWS_ENDPOINT_URL_ECR" => self.ecr.url(),
                    _ => return None,
                };
                Some(value)
            });
            let mut settings = settings.unwrap();
            settings.patient_attempts = 1;
            let session = Session::new(settings);
            let (ecr, without_retries) = (Ecr::patient(&session), Ecr::impatient(&session));
            let repository = RepositoryName::parse("web").unwrap();
            let found = ecr.inventory(&repository).await.unwrap().images;
            let mut known = KnownManifests { rounds, ..KnownManifests::default() };
            known.read_indexes(&ecr, &without_retries, &repository, &found).await?;
            let odd = known.odd.into_iter();
            let told = |(digest, odd): (ImageDigest, Odd)| {
                (digest.to_string(), (odd.why, odd.children.map(|children| children.len())))
            };
            Ok(odd.map(told).collect())
        }
    }

    #[test]
    fn parser_finds_every_digest_in_a_malformed_image_index() {
        let child = |n: usize| format!("sha256:{n:064x}");
        let of = |media_type: &str, bytes: String| {
            let digest = ImageDigest::parse(&child(0)).unwrap();
            let manifest = Manifest { digest, tag: None, media_type: media_type.to_owned(), bytes };
            children(&manifest)
                .map(|all| all.len())
                .map_err(|odd| (odd.why, odd.children.map(|all| all.len())))
        };
        let index =
            |children: &[String]| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","));
        let entry =
            |digest: &str, size: &str| format!(r#"{{"mediaType":"x","size":{size},"digest":"{digest}"}}"#);
        let twice = index(&[entry(&child(1), "1"), entry(&child(1), "1"), entry(&child(2), "1")]);
        assert_eq!(of(OCI_INDEX, twice.clone()), Ok(2), "each child counts once");
        let odd = |media_type: &str, bytes: String| of(media_type, bytes).unwrap_err();
        for bytes in [
            index(&[entry(&child(1), "-1"), entry(&child(2), "1")]),
            index(&[entry(&child(1), "1e99"), entry(&child(2), "1")]),
            index(&[entry("sha512:00", "1"), entry(&child(1), "1"), entry(&child(2), "1")]),
            twice.replace(":2,", ":3,"),
            twice[..twice.len() - 3].to_owned(),
        ] {
            let (why, children) = odd(OCI_INDEX, bytes.clone());
            assert!(why.starts_with("its manifest is not understood: "), "{why}");
            assert_eq!(children, Some(2), "{bytes}");
        }
        assert_eq!(odd("", twice).1, Some(2), "without any media type");
        let many: Vec<String> = (0..=MOST_CHILDREN).map(|n| entry(&child(n), "1")).collect();
        let (why, children) = odd(OCI_INDEX, index(&many));
        assert!(why.contains("more than 1000") && children.is_none(), "{why}");
        let image =
            r#"{"schemaVersion":2,"config":{"mediaType":"c","size":1,"digest":"DIGEST"},"layers":[]}"#;
        assert_eq!(of(oci::OCI_MANIFEST, image.replace("DIGEST", &child(3))), Ok(0));
    }

    #[tokio::test]
    async fn image_index_with_unreadable_manifest_has_unknown_children() {
        let story = Story::begin();
        let child = story.web.put(NewImage::named("child"));
        let archived = story.web.put(NewImage::index([&child]).status(StorageStatus::Archived));
        let found = story.reads(0).await.unwrap();
        let why = "its manifest could not be read: ImageInaccessible".to_owned();
        assert_eq!(found, BTreeMap::from([(archived, (why, None))]));
    }

    #[tokio::test]
    async fn manifests_are_read_one_by_one_after_a_failed_call() {
        let story = Story::begin();
        let children = story.web.put_all((0..3).map(|n| NewImage::named(format!("{n}"))));
        let indexes = story.web.put_all(children.iter().map(|child| NewImage::index([child])));
        // The first failure hits the call for all three image indexes. The second failure hits the
        // call for the first image index alone.
        story.ecr.fails("BatchGetImage", 1, 400, "InvalidParameterException");
        story.ecr.fails("BatchGetImage", 2, 500, "ServerException");
        let found = story.reads(0).await.unwrap();
        assert_eq!((found.len(), story.ecr.count("BatchGetImage")), (1, 1 + indexes.len()));
        assert!(found.values().all(|(why, children)| why.contains("ServerException") && children.is_none()));

        story.ecr.keeps_failing("BatchGetImage", 1, 500, "ServerException");
        assert!(story.reads(0).await.unwrap_err().is_retryable(), "ECR itself fails");
        story.ecr.is_well();
        story.ecr.keeps_failing("BatchGetImage", 1, 400, "AccessDeniedException");
        assert!(!story.reads(0).await.unwrap_err().is_retryable());
    }
}
