//! What manifests say, each read once: a digest never means anything else. What was read is kept in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use stablepin_aws::ecr::{Ecr, EcrError, FoundImage, Manifest};
use stablepin_aws::s3::{Bucket, S3Error};
use stablepin_reconciler::errors::chain;
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::manifest::{self, MOST_CHILDREN};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::retention::plan::Plan;
use stablepin_rules::retention::weight::{Blobs, freed};

use crate::work::MOST_READS;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestsError {
    #[error("the manifests of its indexes could not be read")]
    Ecr(#[from] EcrError),
    #[error("the manifest of the index {digest} went while it was read")]
    Gone { digest: ImageDigest },
}

impl ManifestsError {
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Ecr(error) => error.is_retryable(),
            // The next look does not list it.
            Self::Gone { .. } => true,
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
    /// Indexes that tell less than they should. They are read again each time.
    #[serde(skip)]
    odd: BTreeMap<ImageDigest, Odd>,
    /// How often indexes were read.
    #[serde(skip)]
    rounds: u32,
    /// The bucket has another.
    #[serde(skip)]
    is_new: bool,
}

/// What is known of an index that is not understood.
#[derive(Debug)]
struct Odd {
    why: String,
    /// All that it may refer to. None: it may be anything.
    children: Option<Vec<ImageDigest>>,
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
        let odd = || self.odd.get(digest).and_then(|odd| odd.children.as_ref());
        self.children.get(digest).or_else(odd).map_or(&[], Vec::as_slice)
    }

    /// Why an index stays: it is not understood.
    pub(crate) fn odd(&self, digest: &ImageDigest) -> Option<&str> {
        self.odd.get(digest).map(|odd| odd.why.as_str())
    }

    /// The indexes of which nobody knows what they refer to.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &ImageDigest> {
        self.odd.iter().filter(|(_, odd)| odd.children.is_none()).map(|(digest, _)| digest)
    }

    /// Reads those indexes of them that are not known yet. One that cannot be read, or is not understood, holds up no
    /// other: it is odd, and what it may refer to is as much as its bytes tell. `once` tries a call a single time.
    pub(crate) async fn read_indexes(
        &mut self,
        ecr: &Ecr,
        once: &Ecr,
        repository: &RepositoryName,
        found: &[FoundImage],
    ) -> Result<(), ManifestsError> {
        self.rounds += 1;
        self.odd.clear();
        let unknown = |one: &&FoundImage| one.is_index && !self.children.contains_key(&one.digest);
        let unknown: Vec<_> = found.iter().filter(unknown).map(|one| one.digest.clone()).collect();
        let (read, refused) = in_parts(ecr, Some(once), repository, &unknown, children).await?;
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
            tracing::warn!(repository.name = %repository, image.digest = %digest, "it stays: {}", odd.why);
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
        // Of what is not understood nobody knows which layers it shares.
        if there.len() > MOST_WEIGHED || !self.odd.is_empty() {
            return None;
        }
        let images = there.iter().filter(|digest| !self.children.contains_key(digest));
        let unknown: Vec<ImageDigest> = images
            .filter(|digest| !self.blobs.contains_key(digest))
            .map(|digest| (*digest).clone())
            .collect();
        let read =
            in_parts(ecr, None, repository, &unknown, |manifest| manifest.parse().map(|one| Blobs::of(&one)));
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

/// What an index refers to. What is listed without a media type may turn out to be an image, which refers to nothing.
fn children(manifest: &Manifest) -> Result<Vec<ImageDigest>, Odd> {
    let (index, why) = match manifest.parse() {
        Ok(manifest::Manifest::Image(_)) => return Ok(Vec::new()),
        Ok(manifest::Manifest::Index(index)) => match index.digests() {
            Some(digests) => return Ok(digests.into_iter().collect()),
            None => {
                let why = format!("it refers to more than {MOST_CHILDREN} manifests: not all are followed");
                (None, why)
            }
        },
        Err(error) => (
            manifest::mentioned(&manifest.bytes),
            format!("its manifest is not understood: {}", chain(&error)),
        ),
    };
    Err(Odd { why, children: index.map(|digests| digests.into_iter().collect()) })
}

/// What is read of each manifest, and why others were not given, such as `ImageInaccessible`. No more than a few hundred
/// manifests are held at once. With `once`, a call that fails for some of its images is made for each alone.
async fn in_parts<T>(
    ecr: &Ecr,
    once: Option<&Ecr>,
    repository: &RepositoryName,
    digests: &[ImageDigest],
    read: impl Fn(&Manifest) -> T,
) -> Result<Parts<T>, EcrError> {
    let read = &read;
    let parts = stream::iter(digests.chunks(PER_CALL).map(|part| part.to_vec()).collect::<Vec<_>>());
    let parts = parts.map(|part| async move {
        let (manifests, failures) = match (ecr.manifests(repository, &part).await, once) {
            (Err(error), Some(once)) if !error.is_of_all_images() => {
                one_by_one(once, repository, &part, error).await?
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

/// The same where one call for all has failed. While ECR answers for none of them, it is ECR that fails, and not an image.
async fn one_by_one(
    once: &Ecr,
    repository: &RepositoryName,
    digests: &[ImageDigest],
    failed: EcrError,
) -> Result<(Vec<Manifest>, Vec<(ImageDigest, String)>), EcrError> {
    let (mut manifests, mut failures) = (Vec::new(), Vec::new());
    let mut answered = false;
    for digest in digests {
        match once.manifests(repository, std::slice::from_ref(digest)).await {
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
    use stablepin_rules::manifest::OCI_INDEX;
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

        /// Reads all indexes, and says of each odd one why and what it may refer to.
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
            let (ecr, once) = (Ecr::patient(&session), Ecr::impatient(&session));
            let repository = RepositoryName::parse("web").unwrap();
            let found = ecr.inventory(&repository).await.unwrap().images;
            let mut known = Known { rounds, ..Known::default() };
            known.read_indexes(&ecr, &once, &repository, &found).await?;
            let odd = known.odd.into_iter();
            let told = |(digest, odd): (ImageDigest, Odd)| {
                (digest.to_string(), (odd.why, odd.children.map(|children| children.len())))
            };
            Ok(odd.map(told).collect())
        }
    }

    #[test]
    fn index_that_is_not_understood_tells_what_its_bytes_mention() {
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
        assert_eq!(of(OCI_INDEX, twice.clone()), Ok(2), "each once");
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
        assert_eq!(odd("", twice).1, Some(2), "no media type anywhere");
        let many: Vec<String> = (0..=MOST_CHILDREN).map(|n| entry(&child(n), "1")).collect();
        let (why, children) = odd(OCI_INDEX, index(&many));
        assert!(why.contains("more than 1000") && children.is_none(), "{why}");
        let image =
            r#"{"schemaVersion":2,"config":{"mediaType":"c","size":1,"digest":"DIGEST"},"layers":[]}"#;
        assert_eq!(of(manifest::OCI_MANIFEST, image.replace("DIGEST", &child(3))), Ok(0));
    }

    #[tokio::test]
    async fn index_that_ecr_does_not_give_may_refer_to_anything() {
        let story = Story::begin();
        let child = story.web.put(NewImage::named("child"));
        let archived = story.web.put(NewImage::index([&child]).status(StorageStatus::Archived));
        let found = story.reads(0).await.unwrap();
        let why = "its manifest could not be read: ImageInaccessible".to_owned();
        assert_eq!(found, BTreeMap::from([(archived, (why, None))]));
    }

    #[tokio::test]
    async fn call_that_fails_for_all_is_made_for_each_alone() {
        let story = Story::begin();
        let children = story.web.put_all((0..3).map(|n| NewImage::named(format!("{n}"))));
        let indexes = story.web.put_all(children.iter().map(|child| NewImage::index([child])));
        // The call for all, and then the first of the three.
        story.ecr.fails("BatchGetImage", 1, 400, "InvalidParameterException");
        story.ecr.fails("BatchGetImage", 2, 500, "ServerException");
        let found = story.reads(0).await.unwrap();
        assert_eq!((found.len(), story.ecr.count("BatchGetImage")), (1, 1 + indexes.len()));
        assert!(found.values().all(|(why, children)| why.contains("ServerException") && children.is_none()));

        story.ecr.keeps_failing("BatchGetImage", 1, 500, "ServerException");
        assert!(story.reads(0).await.unwrap_err().is_retryable(), "it is ECR that fails");
        story.ecr.is_well();
        story.ecr.keeps_failing("BatchGetImage", 1, 400, "AccessDeniedException");
        assert!(!story.reads(0).await.unwrap_err().is_retryable());
    }
}
