//! Builds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::records::Build;

answer! {
    /// A pushed image.
    BuildAnswer of build: Build {
        digest: ImageDigest,
        repository: RepositoryName,
        build_tag: BuildTag,
        /// Whether the registry has the build tag on the digest.
        tagged: bool,
        /// 7 to 40 hexadecimal digits. It comes from the pusher, so it is a hint and no proof.
        commit: Option<String>,
        /// The tag of the first push that was seen.
        pushed_tag: ImageTag,
        pushed_at: Timestamp,
        media_type: String,
        /// The compressed size. `None` for an image index, whose size differs per platform.
        size_bytes: Option<u64>,
        platforms: Vec<String>,
    }
}

/// A page of an application's builds, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPage {
    pub builds: Vec<BuildAnswer>,
    pub next: Option<String>,
}
