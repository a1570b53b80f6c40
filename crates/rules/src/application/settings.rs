//! The settings of an application, with their defaults filled in.

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

/// An application: what one source repository builds, and how its images are promoted and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub name: ApplicationName,
    /// The repository that pipelines push to.
    pub repository: RepositoryName,
    /// The patterns of build tags. At least one pattern includes tags.
    pub builds: BuildPatterns,
    /// The environment whose name begins the build tags. The default is the first environment.
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

    /// Returns the approvers whose principals match the signer of a request, by the ARN that API
    /// Gateway reports. Several match only in a stored file whose principals overlap.
    pub fn approvers_of(&self, arn: &str) -> impl Iterator<Item = &ApproverName> {
        let signs = move |approver: &&Approver| approver.principals.iter().any(|one| one.is(arn));
        self.approvers.iter().filter(signs).map(|approver| &approver.name)
    }

    /// Returns whether this signer may be that approver.
    pub fn may_be(&self, arn: &str, approver: &ApproverName) -> bool {
        self.approver(approver).is_some_and(|one| one.principals.iter().any(|one| one.may_be(arn)))
    }
}

/// The event that moves the tag `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// Stablepin never moves it.
    Off,
    /// Each push of a build.
    Push,
    /// Each new pin of the build environment.
    Pin,
}

/// A person who may approve. Votes count names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    pub name: ApproverName,
    pub mail: MailAddress,
    /// The principals that may decide in this name by a signed request. Empty: the approver decides
    /// only by mail.
    pub principals: Vec<Principal>,
}

/// The policy of an environment, which is a place that runs the application.
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
    /// The containers that run the application. Empty: all containers that run the repository.
    pub containers: Vec<ContainerName>,
    pub approval: Approval,
    /// The checks that a pipeline must have reported as passed for the digest.
    pub requires: Vec<CheckName>,
    /// The environment in which the digest must have been verified before.
    pub after: Option<EnvironmentName>,
    /// The time that must pass after that verification.
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

/// Whether an approved build is deployed to the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    OnApproval,
    /// The team deploys by itself, and uses only the pin and rollbacks to it.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The number of required approvals. 0: every build is promoted without asking.
    pub required: u8,
    /// The approvers who are asked, at least as many as are required. The default is every approver
    /// of the application.
    pub approvers: Vec<ApproverName>,
    /// The time after which an undecided promotion is cancelled.
    pub expires: SignedDuration,
    pub four_eyes: FourEyes,
    pub step: Step,
}

/// Whether the requester of a promotion may approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    Off,
    /// The requester must not approve, if the requester is known.
    On,
    /// The requester must not approve, and must be known.
    Strict,
}

/// The step on the decision page besides the button.
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
    /// How long every service must stay healthy.
    pub bake: SignedDuration,
    /// The time after which an unfinished rollout fails.
    pub timeout: SignedDuration,
    /// The endpoints that must answer.
    pub endpoints: Vec<Endpoint>,
}

/// The properties that an image must have before its approvers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validate {
    /// The most compressed bytes per platform, summed from the manifests.
    pub max_bytes: u64,
    /// The platforms that an image must be built for. Empty: any platform.
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

/// The nightly run's treatment of old images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub mode: RetentionMode,
    /// Builds younger than this are kept.
    pub days: u32,
    /// Backups younger than this are kept.
    pub backup_days: u32,
    /// The days in which an archived image can be restored. It is deleted after them.
    pub archive_days: u32,
    /// The number of newest builds, and of newest pins, that each environment keeps whatever their
    /// age.
    pub keep: u32,
    /// The tags that protect their image.
    pub protect: Vec<Pattern>,
    /// The accounts and services that are not read. The team checks their use of the images itself.
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
