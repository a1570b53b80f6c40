//! A build, and the place of its push in the order of pushes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag, RepositoryName};

/// The place of a push in an environment's order: by the event's time, then by the digest. The
/// place is fixed when the push is first seen, and is at most as late as our clock
/// [allows](crate::event_time::place).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Occurrence {
    pub at: Timestamp,
    pub digest: ImageDigest,
}

/// A pushed image, recorded once per digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub digest: ImageDigest,
    pub repository: RepositoryName,
    pub build_tag: BuildTag,
    /// Whether the registry has the build tag on the digest.
    pub tagged: bool,
    /// The number of build tag names that another digest already had.
    pub names_taken: u32,
    /// The commit, if known: 7 to 40 hexadecimal digits. It comes from a label or a tag, so it is a
    /// hint from the pusher and no proof.
    pub commit: Option<String>,
    /// The tag of the first push that was seen.
    pub pushed_tag: ImageTag,
    pub pushed_at: Timestamp,
    pub media_type: String,
    /// The compressed size, summed from the manifest. None for an image index, whose size differs
    /// per platform.
    pub size_bytes: Option<u64>,
    /// The known platforms that the image runs on, such as `linux/amd64`.
    pub platforms: Vec<String>,
    pub version: u64,
}
