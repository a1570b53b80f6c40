//! Builds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::link::Link;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::pipeline_run::{PipelineRun, RunSource};
use stablepin_rules::records::Build;

use crate::ReportedPromotion;

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
        /// The run of the pipeline that made the build. `None` if no pipeline has named its run.
        run: Option<PipelineRunAnswer> = build.run.as_ref().map(Into::into),
    }
}

answer! {
    /// The run of a pipeline.
    PipelineRunAnswer of run: PipelineRun {
        /// The repository of the source, such as `acme/web`.
        repository: Option<String>,
        workflow: Option<String>,
        id: Option<String>,
        link: Option<Link>,
        /// The person or tool that started the run, as the pipeline says.
        started_by: Option<String>,
        /// The source of this description. The pusher writes a label, so a run from a label is not
        /// verified.
        source: RunSource,
        /// The name of the check, or the ARN of the principal that signed the request.
        named_by: Option<String>,
    }
}

/// A page of an application's builds, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPage {
    pub builds: Vec<BuildAnswer>,
    pub next: Option<String>,
}

/// An image that a signed request named, and its open promotions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedBuild {
    pub application: ApplicationName,
    /// The tag that names the build. Null if the request named only the digest of a known build.
    pub tag: Option<ImageTag>,
    pub digest: ImageDigest,
    pub promotions: Vec<ReportedPromotion>,
}
