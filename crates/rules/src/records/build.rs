//! A build, and the position of its push among all pushes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::pipeline_run::PipelineRun;

/// The position of a push among the pushes of an environment: by time, then by digest. Stablepin
/// fixes the time when it first sees the push, and [corrects](crate::event_time::place) an
/// impossible time.
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
    /// True if Stablepin has put the build tag on the digest in ECR.
    pub tagged: bool,
    /// The number of build tags that Stablepin tried and that another digest already had.
    pub names_taken: u32,
    /// The commit, if known: 7 to 40 hexadecimal digits. The pusher writes the commit in a label or
    /// tag, so it is a hint and no proof.
    pub commit: Option<String>,
    /// The pushed tag of the first push of this digest that Stablepin saw.
    pub pushed_tag: ImageTag,
    pub pushed_at: Timestamp,
    pub media_type: String,
    /// The compressed size, summed from the manifest. None for an image index, because its size
    /// differs per platform.
    pub size_bytes: Option<u64>,
    /// The known platforms that the image runs on, such as `linux/amd64`.
    pub platforms: Vec<String>,
    /// The run of the pipeline that made the build. None if no pipeline has named its run.
    #[serde(default)]
    pub run: Option<PipelineRun>,
    pub version: u64,
}
