//! The inventory of one repository: its images, and everything that may need an image.

use jiff::Timestamp;

use stablepin_rules::build_tag::{BackupTag, BuildTag};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::pin_number::PinNumber;

/// The complete inventory of one repository. If any part cannot be read, no inventory is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    pub repository: RepositoryName,
    pub images: Images,
    /// Every pin of every environment, including environments that the application's file no longer
    /// contains.
    pub pins: Vec<Pinned>,
    pub needs: Vec<Need>,
    /// The digests that were live when a rollback began. A backup tag marks such a digest too, but
    /// ECR may have refused the tag.
    pub was_live: Vec<WasLive>,
    /// Descriptions of the image indexes whose children are unknown, and of the images whose digest
    /// is not valid. While there is one, retention keeps every untagged image.
    pub unread: Vec<String>,
}

/// The images of a repository, sorted by digest. Each image occurs once, even if a push made the
/// registry list the image twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images(Vec<Image>);

impl Images {
    /// Sorts the images, and merges duplicates.
    pub fn new(mut images: Vec<Image>) -> Self {
        // For a hundred thousand images, comparing texts is slow, and moving images is slow. The
        // first sort compares numbers and moves each image once. The first sort leaves the images
        // almost sorted, so the second sort is fast.
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
        // A plan reads all images many times in this order. The copy makes these reads faster,
        // because it puts the texts of neighbouring images next to each other in memory.
        Self(images.to_vec())
    }

    /// Returns the position of a digest in the list.
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

/// An entry of the registry: an image, an image index, or a referrer such as a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub digest: ImageDigest,
    pub tags: Vec<Tag>,
    /// The time of the first push. A later tag does not change this time. None if the registry
    /// gives no valid time.
    pub pushed_at: Option<Timestamp>,
    /// The time of the last restore from the archive.
    pub activated_at: Option<Timestamp>,
    pub status: StorageState,
    /// The compressed size. For an image index, the size of its largest child.
    pub size_bytes: Option<u64>,
    /// The digests that an image index refers to, in this repository or elsewhere.
    pub children: Vec<ImageDigest>,
    /// The digest that this image refers to, if the image is a referrer.
    pub subject: Option<ImageDigest>,
    /// The reason to always keep the image, if Stablepin does not understand a part of the image.
    pub odd: Option<Box<str>>,
}

impl Image {
    /// Returns a sort key, so that two descriptions of one image always have the same order.
    fn rank(&self) -> (StorageState, Option<u64>, Option<&ImageDigest>, Option<&str>) {
        (self.status, self.size_bytes, self.subject.as_ref(), self.odd.as_deref())
    }

    /// Merges another description of the same image. Keeps the later of two times.
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
    /// True if the table says that Stablepin puts this tag on this digest. A pipeline may push a
    /// tag in the same format.
    pub ours: bool,
    /// The time when the tag was put, if an ECR event reported the time.
    pub tagged_at: Option<Timestamp>,
}

impl Tag {
    /// Returns the build tag, if Stablepin put this tag. Ignores a pipeline's tag in the same
    /// format.
    pub fn build(&self) -> Option<BuildTag> {
        self.ours.then(|| BuildTag::parse(self.tag.as_str()).ok()).flatten()
    }

    /// Returns the backup tag, if Stablepin put this tag.
    pub fn backup(&self) -> Option<BackupTag> {
        self.ours.then(|| BackupTag::parse(self.tag.as_str()).ok()).flatten()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageState {
    Active,
    /// The image cannot be pulled. The value is the time of archiving, if the registry reports one.
    Archived(Option<Timestamp>),
    /// ECR is restoring the image from the archive.
    Activating,
}

/// A pin of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pinned {
    pub environment: EnvironmentName,
    pub number: PinNumber,
    pub digest: ImageDigest,
}

/// A record of a rollback: a digest that was live when the rollback began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WasLive {
    pub environment: EnvironmentName,
    pub at: Timestamp,
    pub digest: ImageDigest,
}

/// A need for an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub image: NeededName,
    pub by: Needer,
}

/// The name of a needed image. A tag names the image that has the tag now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeededName {
    Digest(ImageDigest),
    Tag(ImageTag),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needer {
    /// The image is the last image that was proven to run in this environment.
    Current(EnvironmentName),
    /// An open promotion or rollback needs the image. The value names this operation:
    /// `promotion 0197…`.
    Operation(String),
    /// A workload needs the image. The value names this workload: `task 0123… of service prod/web`.
    Workload(String),
}
