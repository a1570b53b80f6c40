//! The inventory: one repository, and everything that may need its images.

use jiff::Timestamp;

use stablepin_rules::build_tag::{BackupTag, BuildTag};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::pin_number::PinNumber;

/// The inventory of one repository. It is complete: if a part cannot be read, there is no inventory
/// at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    pub repository: RepositoryName,
    pub images: Images,
    /// Every pin that any environment ever had, including environments that have left the
    /// application's file.
    pub pins: Vec<Pinned>,
    pub needs: Vec<Need>,
    /// The digests that were live when a rollback began. A backup tag says the same, if it could be
    /// put.
    pub was_live: Vec<WasLive>,
    /// Descriptions of possible indexes whose parts are unknown. Any image without a tag may be one
    /// of those parts.
    pub unread: Vec<String>,
}

/// The images of a repository, sorted by digest. Each image occurs once, even if the registry
/// listed it twice during a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images(Vec<Image>);

impl Images {
    /// Sorts images that come in any order, and merges duplicates.
    pub fn new(mut images: Vec<Image>) -> Self {
        // Comparing texts is slow for a hundred thousand images, and so is moving an image. The
        // first sort compares numbers and moves each image once. The second sort then finds them
        // almost in order.
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
        // The copy places the texts of neighbours side by side in memory, because a plan reads all
        // images many times in this order.
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

/// An entry of the registry: an image, an index, or an accessory such as a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub digest: ImageDigest,
    pub tags: Vec<Tag>,
    /// The time of the first push, which a later tag does not renew. None if the registry gives no
    /// valid time.
    pub pushed_at: Option<Timestamp>,
    /// The last restoration from the archive.
    pub activated_at: Option<Timestamp>,
    pub status: StorageState,
    /// The compressed size. For an index, the size of its largest manifest.
    pub size_bytes: Option<u64>,
    /// The digests that an index refers to, in this repository or elsewhere.
    pub children: Vec<ImageDigest>,
    /// The digest that a referrer describes.
    pub subject: Option<ImageDigest>,
    /// Why the image is always kept: a part of it is not understood.
    pub odd: Option<Box<str>>,
}

impl Image {
    /// The sort key of two descriptions of one image, which makes their order unique.
    fn rank(&self) -> (StorageState, Option<u64>, Option<&ImageDigest>, Option<&str>) {
        (self.status, self.size_bytes, self.subject.as_ref(), self.odd.as_deref())
    }

    /// Merges another description of the same image. The later of two times wins.
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
    /// Whether the table recorded that Stablepin puts this tag on this digest. A pipeline may push
    /// a tag of the same shape.
    pub ours: bool,
    /// When the tag was put, if a registry event recorded it.
    pub tagged_at: Option<Timestamp>,
}

impl Tag {
    /// Parses a build tag of ours. A pipeline's tag of the same shape means nothing.
    pub fn build(&self) -> Option<BuildTag> {
        self.ours.then(|| BuildTag::parse(self.tag.as_str()).ok()).flatten()
    }

    /// Parses a backup tag of ours.
    pub fn backup(&self) -> Option<BackupTag> {
        self.ours.then(|| BackupTag::parse(self.tag.as_str()).ok()).flatten()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageState {
    Active,
    /// The image cannot be pulled. It has the time of archiving, if the registry reports one.
    Archived(Option<Timestamp>),
    /// The image is being restored from the archive.
    Activating,
}

/// A pin of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pinned {
    pub environment: EnvironmentName,
    pub number: PinNumber,
    pub digest: ImageDigest,
}

/// A digest that was live when a rollback began, as the rollback recorded it.
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

/// The name of a needed image. For a tag, the image that has the tag now is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeededName {
    Digest(ImageDigest),
    Tag(ImageTag),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needer {
    /// The environment in which the image was last proven to run.
    Current(EnvironmentName),
    /// The description of an open promotion or rollback: `promotion 0197…`.
    Operation(String),
    /// The description of a workload: `task 0123… of service prod/web`.
    Workload(String),
}
