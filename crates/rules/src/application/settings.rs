//! The settings of an application. Missing settings have their defaults.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::values::{
    CheckName, ContainerName, Endpoint, LabelName, MailAddress, Platform, Principal, RoleArn, ServiceName,
    Waived,
};
use crate::application::Source;
use crate::build_patterns::BuildPatterns;
use crate::image::{ImageTag, RepositoryName};
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::pattern::Pattern;

/// An application: the images of one source repository, and the rules for promoting and keeping
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub name: ApplicationName,
    /// The image repository that pipelines push to.
    pub repository: RepositoryName,
    /// The patterns of build tags. At least one pattern includes tags.
    pub builds: BuildPatterns,
    /// The environment whose name is the prefix of the build tags. The default is the first
    /// environment.
    pub build_environment: EnvironmentName,
    pub latest: Latest,
    /// The approvers in the file's order. Their names, mail addresses and principals are distinct.
    pub approvers: Vec<Approver>,
    /// The environments in the file's order, at least one. Their names are distinct.
    pub environments: Vec<EnvironmentPolicy>,
    pub retention: Retention,
}

impl Application {
    pub fn environment(&self, name: &EnvironmentName) -> Option<&EnvironmentPolicy> {
        self.environments.iter().find(|environment| environment.name == *name)
    }

    pub fn approver(&self, name: &ApproverName) -> Option<&Approver> {
        self.approvers.iter().find(|approver| approver.name == *name)
    }

    /// Returns the approvers with a principal that matches the signer of a request. `arn` is the
    /// ARN that API Gateway reports. In a stored file, principals may overlap, so several approvers
    /// may match.
    pub fn approvers_of(&self, arn: &str) -> impl Iterator<Item = &ApproverName> {
        let signs = move |approver: &&Approver| approver.principals.iter().any(|one| one.is(arn));
        self.approvers.iter().filter(signs).map(|approver| &approver.name)
    }

    /// Returns whether this signer may be this approver.
    pub fn may_be(&self, arn: &str, approver: &ApproverName) -> bool {
        self.approver(approver).is_some_and(|one| one.principals.iter().any(|one| one.may_be(arn)))
    }
}

/// The event that moves the tag `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// Stablepin never moves `latest`.
    Off,
    /// Each push of a build moves `latest`.
    Push,
    /// Each new pin of the build environment moves `latest`.
    Pin,
}

/// A person who may approve. Each name has one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    pub name: ApproverName,
    pub mail: MailAddress,
    /// The principals that may vote for this approver by a signed request. Empty: the approver
    /// votes only by mail.
    pub principals: Vec<Principal>,
}

/// The policy of an environment, which runs the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPolicy {
    pub name: EnvironmentName,
    /// The repository with the environment's images. The default is the application's repository.
    pub repository: RepositoryName,
    /// The role to assume if the repository or the services belong to another account.
    pub role: Option<RoleArn>,
    /// The stable tag, `{name}-stable` by default. It has at most 100 characters.
    pub stable_tag: ImageTag,
    pub deploy: Deploy,
    /// The ECS services that run the application. Empty: an approved build is pinned without a
    /// deployment.
    pub services: Vec<ServiceName>,
    /// The containers that run the application. Empty: all containers with an image of the
    /// repository.
    pub containers: Vec<ContainerName>,
    pub approval: Approval,
    /// The checks that must have passed for the digest, as reported by a pipeline.
    pub requires: Vec<CheckName>,
    /// The environment that must verify the digest first.
    pub after: Option<EnvironmentName>,
    /// The least time between the verification in the environment `after` and the promotion.
    pub soak: SignedDuration,
    pub verify: Verify,
    pub validate: Validate,
}

impl EnvironmentPolicy {
    /// Returns whether an approved build is deployed before it becomes the pin.
    pub fn is_deployed(&self) -> bool {
        self.deploy == Deploy::OnApproval && !self.services.is_empty()
    }
}

/// The way in which an approved build reaches the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    OnApproval,
    /// The team deploys by itself, and uses only Stablepin's pins and rollbacks.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The number of required approvals. 0: every build is promoted without approval.
    pub required: u8,
    /// The approvers who receive approval requests. Their number is at least `required`. The
    /// default is every approver of the application.
    pub approvers: Vec<ApproverName>,
    /// The time after which an undecided promotion is cancelled.
    pub expires: SignedDuration,
    pub four_eyes: FourEyes,
    pub step: Step,
}

/// The four-eyes rule, which decides if the requester of a promotion may approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    Off,
    /// The requester must not approve, if the requester is known.
    On,
    /// The requester must not approve, and must be known.
    Strict,
}

/// The step before a vote on the approval page, in addition to the button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    None,
    /// The approver types the environment's name.
    Type,
    /// The approver types a code from the mail. The link does not contain the code.
    Code,
}

/// The conditions under which a rollout is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// The time for which every service must stay healthy.
    pub bake: SignedDuration,
    /// The time after which an unfinished rollout fails.
    pub timeout: SignedDuration,
    /// The endpoints whose probes must succeed.
    pub endpoints: Vec<Endpoint>,
}

/// The properties that an image must have before Stablepin requests approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validate {
    /// The most compressed bytes per platform, summed from the manifests.
    pub max_bytes: u64,
    /// The platforms that an image must support. Empty: no platform is required.
    pub platforms: Vec<Platform>,
    /// The labels that an image must have, with any value.
    pub labels: Vec<LabelName>,
    pub signature: Signature,
}

/// The required signature of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    Off,
    /// A signature by ECR managed signing.
    Managed,
    Cosign,
}

/// The settings of the nightly retention run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub mode: RetentionMode,
    /// The age in days below which a build is kept.
    pub days: u32,
    /// The age in days below which a backup is kept.
    pub backup_days: u32,
    /// The days for which an archived image can be restored. Retention deletes the image
    /// afterwards.
    pub archive_days: u32,
    /// The number of newest builds, and of newest pins, that retention keeps at any age in each
    /// environment.
    pub keep: u32,
    /// The patterns of tags that protect an image from deletion.
    pub protect: Vec<Pattern>,
    /// The accounts and services that retention does not read. The team itself must check which
    /// images they use.
    pub waive: Vec<Waived>,
}

impl Retention {
    /// Returns the waived services.
    pub fn waived_sources(&self) -> BTreeSet<Source> {
        let source = |waived: &Waived| match waived {
            Waived::Source(source) => Some(*source),
            Waived::Account(_) => None,
        };
        self.waive.iter().filter_map(source).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Plans and reports, but changes nothing.
    DryRun,
    Delete,
    /// Archives first, and deletes later.
    Archive,
}
