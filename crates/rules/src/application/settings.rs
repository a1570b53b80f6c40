//! The settings of an application. A missing setting has its default value.

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

/// An application: the images that one source repository builds, and the rules for their promotion
/// and retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub name: ApplicationName,
    /// The image repository that pipelines push to.
    pub repository: RepositoryName,
    /// The patterns of pushed tags that are builds. At least one pattern includes tags.
    pub builds: BuildPatterns,
    /// The environment whose name is the prefix of all build tags. The default is the first
    /// environment.
    pub build_environment: EnvironmentName,
    pub latest: Latest,
    /// The label that contains the link to the pipeline's run. The pusher writes the label.
    pub run_label: Option<LabelName>,
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

    /// Returns whether the signer with this ARN may be this approver.
    pub fn may_be(&self, arn: &str, approver: &ApproverName) -> bool {
        self.approver(approver).is_some_and(|one| one.principals.iter().any(|one| one.may_be(arn)))
    }
}

/// The event after which Stablepin puts the tag `latest` on another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// Stablepin never puts the tag `latest`.
    Off,
    /// After each push of a build, Stablepin puts `latest` on that build.
    Push,
    /// After each new pin of the build environment, Stablepin puts `latest` on the pinned build.
    Pin,
}

/// A person who may approve. Each name has one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    pub name: ApproverName,
    pub mail: MailAddress,
    /// The principals whose signed requests count as votes of this approver. Empty: the approver
    /// can vote only by mailed link.
    pub principals: Vec<Principal>,
}

/// The policy of an environment, which runs the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPolicy {
    pub name: EnvironmentName,
    /// The repository with the environment's images. The default is the application's repository.
    pub repository: RepositoryName,
    /// The application's repository, to which pipelines push.
    pub source: RepositoryName,
    /// The role that Stablepin assumes if the repository or the services belong to another account.
    pub role: Option<RoleArn>,
    /// The stable tag, `{name}-stable` by default. It has at most 100 characters.
    pub stable_tag: ImageTag,
    pub deploy: Deploy,
    /// The ECS services that run the application. Empty: an approved build becomes the pin without
    /// a deployment.
    pub services: Vec<ServiceName>,
    /// The containers that run the application. Empty: all containers that run an image of one of
    /// the two repositories.
    pub containers: Vec<ContainerName>,
    pub approval: Approval,
    /// The checks that the digest must have passed, as a pipeline reports them.
    pub requires: Vec<CheckName>,
    /// The environment in which the digest must become a pin first.
    pub after: Option<EnvironmentName>,
    /// The shortest time from the digest's pin in the environment `after` to the promotion.
    pub soak: SignedDuration,
    pub verify: Verify,
    pub validate: Validate,
}

impl EnvironmentPolicy {
    /// Returns whether Stablepin deploys an approved build before the build becomes the pin.
    pub fn is_deployed(&self) -> bool {
        self.deploy == Deploy::OnApproval && !self.services.is_empty()
    }
}

/// The way in which an approved build reaches the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    OnApproval,
    /// The team deploys without Stablepin, and uses only Stablepin's pins and rollbacks.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The number of required approvals. 0: every build is promoted without an approval.
    pub required: u8,
    /// The approvers who receive approval requests. Their number is at least `required`. The
    /// default is every approver of the application.
    pub approvers: Vec<ApproverName>,
    /// The time after which Stablepin cancels a promotion that is still undecided.
    pub expires: SignedDuration,
    pub four_eyes: FourEyes,
    pub step: Step,
}

/// The four-eyes rule: whether a person who requested the promotion or pushed the build may
/// approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    Off,
    /// The requester and the pushers must not approve, as far as they are known.
    On,
    /// The requester and the pushers must not approve. Nobody may approve until the requester or
    /// all recorded pushers are identified.
    Strict,
}

/// The step that an approver must take on the approval page before the click on a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    None,
    /// The approver types the environment's name.
    Type,
    /// The approver types the code from the mail. The link does not contain the code.
    Code,
}

/// The conditions under which a rollout counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// The time for which every service must stay healthy after the deployment.
    pub bake: SignedDuration,
    /// The time after which an unfinished rollout fails.
    pub timeout: SignedDuration,
    /// The endpoints whose probes must succeed.
    pub endpoints: Vec<Endpoint>,
}

/// The properties that an image must have before Stablepin requests approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validate {
    /// The most compressed bytes of each platform's image, computed from the manifests.
    pub max_bytes: u64,
    /// The platforms that an image must support. Empty: no platform is required.
    pub platforms: Vec<Platform>,
    /// The labels that an image must have. Each label may have any value.
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
    /// The age in days from which retention may delete a build.
    pub days: u32,
    /// The age in days from which retention may delete a backup.
    pub backup_days: u32,
    /// The number of days for which people can restore an archived image. Retention deletes the
    /// image afterwards.
    pub archive_days: u32,
    /// The number of newest builds and of newest pins in each environment that retention keeps at
    /// any age.
    pub keep: u32,
    /// The patterns of tags that protect an image from deletion by retention.
    pub protect: Vec<Pattern>,
    /// The accounts and AWS services that retention does not read. Before a deletion, the team
    /// itself must check which images these accounts and services use.
    pub waive: Vec<Waived>,
}

impl Retention {
    /// Returns the AWS services that the file waives.
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
    /// Retention makes and reports a plan, but changes no image.
    DryRun,
    Delete,
    /// Retention archives an image first, and deletes the archived image later.
    Archive,
}
