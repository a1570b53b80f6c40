//! What was read of one repository, and of everything that may need its images.

use jiff::Timestamp;

use crate::build_tag::{BackupTag, BuildTag};
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::EnvironmentName;
use crate::pin_number::PinNumber;

/// One repository. Complete: what could not be read is no empty list, but no inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    pub repository: RepositoryName,
    pub images: Images,
    /// Every pin that there ever was, of every environment, also of those that left the application's file.
    pub pins: Vec<Pinned>,
    pub needs: Vec<Need>,
    /// What a backup tag says too, where it could be put.
    pub was_live: Vec<WasLive>,
    /// What may be an index and whose parts are not known, in words. Any image without a tag may be one of them.
    pub unread: Vec<String>,
}

/// Sorted by digest, each once: what a registry lists twice while something is pushed is one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images(Vec<Image>);

impl Images {
    /// In any order.
    pub fn new(mut images: Vec<Image>) -> Self {
        // Of a hundred thousand, the texts are scattered in memory, and an image is large to move: by numbers first, each
        // image moved once. What is left to the texts is in order but for what begins alike.
        images.sort_by_cached_key(|image| image.digest.beginning());
        images
            .sort_by(|one, other| one.digest.cmp(&other.digest).then_with(|| one.rank().cmp(&other.rank())));
        images.dedup_by(|later, first| {
            let same = later.digest == first.digest;
            if same {
                first.absorb(later);
            }
            same
        });
        for image in &mut images {
            image.tags.sort_unstable();
            image.tags.dedup();
            image.children.sort_unstable();
            image.children.dedup();
        }
        // Their texts are in memory as they were read. A plan goes through all of them many times, in this order: copied
        // once, those of neighbours are neighbours too.
        Self(images.to_vec())
    }

    /// Where in the list it is.
    pub(super) fn place(&self, digest: &ImageDigest) -> Option<usize> {
        self.0.binary_search_by(|image| image.digest.cmp(digest)).ok()
    }
}

impl std::ops::Deref for Images {
    type Target = [Image];

    fn deref(&self) -> &[Image] {
        &self.0
    }
}

/// What the registry has under one digest: an image, an index, or something that is said about one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub digest: ImageDigest,
    pub tags: Vec<Tag>,
    /// Not renewed when a tag is put. None where the registry gives none, or none that is a time.
    pub pushed_at: Option<Timestamp>,
    /// When it was last restored from the archive.
    pub activated_at: Option<Timestamp>,
    pub status: StorageState,
    /// Compressed; of an index, its largest manifest.
    pub size_bytes: Option<u64>,
    /// Of an index: what it refers to, in this repository or not.
    pub children: Vec<ImageDigest>,
    /// Of a referrer: what it is about.
    pub subject: Option<ImageDigest>,
    /// Why it stays whatever else is known of it: something about it is not understood.
    pub odd: Option<Box<str>>,
}

impl Image {
    /// Of two descriptions of one image the lesser goes first, so that they are in one order always.
    fn rank(&self) -> (StorageState, Option<u64>, Option<&ImageDigest>, Option<&str>) {
        (self.status, self.size_bytes, self.subject.as_ref(), self.odd.as_deref())
    }

    /// All that either description says, and the younger of the times.
    fn absorb(&mut self, other: &mut Self) {
        self.tags.append(&mut other.tags);
        self.children.append(&mut other.children);
        self.subject = self.subject.take().or(other.subject.take());
        self.odd = self.odd.take().or(other.odd.take());
        self.pushed_at = self.pushed_at.max(other.pushed_at);
        self.activated_at = self.activated_at.max(other.activated_at);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub tag: ImageTag,
    /// The table recorded that Stablepin puts this tag on this digest. A tag of the same shape may be a pipeline's.
    pub ours: bool,
    /// When somebody put it there, as far as the registry's events told.
    pub tagged_at: Option<Timestamp>,
}

impl Tag {
    /// A build tag of ours; of a pipeline's tag that looks like one nothing follows.
    pub fn build(&self) -> Option<BuildTag> {
        self.ours.then(|| BuildTag::parse(self.tag.as_str()).ok()).flatten()
    }

    /// A backup tag of ours.
    pub fn backup(&self) -> Option<BackupTag> {
        self.ours.then(|| BackupTag::parse(self.tag.as_str()).ok()).flatten()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageState {
    Active,
    /// Cannot be pulled. Since when, if the registry says.
    Archived(Option<Timestamp>),
    /// On its way back from the archive.
    Activating,
}

/// One pin of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pinned {
    pub environment: EnvironmentName,
    pub number: PinNumber,
    pub digest: ImageDigest,
}

/// What ran when a rollback began, as the rollback noted it first of all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WasLive {
    pub environment: EnvironmentName,
    pub at: Timestamp,
    pub digest: ImageDigest,
}

/// Something that needs an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub image: NeededName,
    pub by: Needer,
}

/// How the needed image is named: whatever has the tag now is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeededName {
    Digest(ImageDigest),
    Tag(ImageTag),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needer {
    /// What was last proven to run there.
    Current(EnvironmentName),
    /// An open promotion or rollback, in words: `promotion 0197…`.
    Operation(String),
    /// A workload, in words: `task 0123… of service prod/web`.
    Workload(String),
}
