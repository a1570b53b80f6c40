//! Builds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::records::Build;

answer! {
    /// A build, made from a pushed image.
    BuildAnswer of build: Build {
        digest: ImageDigest,
        repository: RepositoryName,
        build_tag: BuildTag,
        /// True if the build tag is on the digest in ECR.
        tagged: bool,
        /// The commit, as 7 to 40 hexadecimal digits. The pusher sets the commit, so it is a hint
        /// and no proof.
        commit: Option<String>,
        /// The tag of the first push that Stablepin saw.
        pushed_tag: ImageTag,
        pushed_at: Timestamp,
        media_type: String,
        /// The compressed size in bytes. `None` for an image index: its size differs per platform.
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
