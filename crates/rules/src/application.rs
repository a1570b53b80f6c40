//! An application as its file describes it: names, approvers, environments, retention. The text is kept in
//! the table and parsed again wherever it is needed; only here is it decided what it means.
//!
//! [`Application::parse`] reports everything that is wrong with a file at once, each with line, column and key.

mod checks;
mod difference;
mod document;
mod errors;
mod file;
mod resources;
mod supported;
mod values;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use toml::de::DeTable;

pub use self::difference::{Difference, difference};
pub use self::errors::ConfigError;
pub use self::resources::{Allowed, Claim, Outside, Resources};
pub use self::values::{
    AccountId, CheckName, ContainerName, Endpoint, LabelName, MailAddress, Platform, Principal, RoleArn,
    ServiceName, Waived,
};

use self::errors::Problems;
use crate::build_patterns::BuildPatterns;
use crate::image::{ImageTag, RepositoryName};
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::pattern::Pattern;
use crate::retention::sources::Source;

/// What an application file may have at most, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// What one source repository builds, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    pub name: ApplicationName,
    /// Where pipelines push.
    pub repository: RepositoryName,
    /// Which pushed tags are builds; at least one pattern includes some.
    pub builds: BuildPatterns,
    /// The environment whose name build tags begin with; by default the first.
    pub build_environment: EnvironmentName,
    pub latest: Latest,
    /// In the file's order; names, mail addresses and principals differ.
    pub approvers: Vec<Approver>,
    /// In the file's order; at least one, names differ.
    pub environments: Vec<EnvironmentPolicy>,
    pub retention: Retention,
}

/// Who moves the tag `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// Not Stablepin.
    Off,
    /// Each push that is a build.
    Push,
    /// Each new pin of the build environment.
    Pin,
}

/// A person who may approve. Votes count names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    pub name: ApproverName,
    pub mail: MailAddress,
    /// Who may decide in this name by IAM-signed requests; none: only by mail.
    pub principals: Vec<Principal>,
}

/// A place that runs the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPolicy {
    pub name: EnvironmentName,
    /// Where its images are; by default the application's repository.
    pub repository: RepositoryName,
    /// The role to assume where the repository or the services are another account's.
    pub role: Option<RoleArn>,
    /// By default `{name}-stable`; at most 100 characters.
    pub stable_tag: ImageTag,
    pub deploy: Deploy,
    /// The ECS services that run the application here; none: nothing to deploy, an approved build is pinned.
    pub services: Vec<ServiceName>,
    /// The containers that run the application, of those that run the repository; none: all of them.
    pub containers: Vec<ContainerName>,
    pub approval: Approval,
    /// Checks that a pipeline must have reported as passed for the digest.
    pub requires: Vec<CheckName>,
    /// The environment in which the digest must have been verified before.
    pub after: Option<EnvironmentName>,
    /// How long since then.
    pub soak: SignedDuration,
    pub verify: Verify,
    pub validate: Validate,
}

impl EnvironmentPolicy {
    /// An approved build goes to services before it becomes the pin.
    pub fn is_deployed(&self) -> bool {
        self.deploy == Deploy::OnApproval && !self.services.is_empty()
    }
}

/// Whether an approved build is deployed to the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    OnApproval,
    /// The team deploys by itself and only wants the pin, and rollbacks to it.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// How many of the approvers must approve; 0: none is asked, the build is promoted at once.
    pub required: u8,
    /// Who is asked; by default every approver of the application. At least as many as are required.
    pub approvers: Vec<ApproverName>,
    /// After how long an undecided promotion is cancelled.
    pub expires: SignedDuration,
    pub four_eyes: FourEyes,
    pub step: Step,
}

/// Whether the person who asked for a promotion may approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FourEyes {
    Off,
    /// Not, where it is known who asked.
    On,
    /// Not, and it must be known who asked.
    Strict,
}

/// What an approver does on the decision page besides pressing a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    None,
    /// Types the environment's name.
    Type,
    /// Types a code that the mail prints and the link does not have.
    Code,
}

/// When a rollout counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// How long it must stay healthy.
    pub bake: SignedDuration,
    /// After how long without an end it has failed.
    pub timeout: SignedDuration,
    /// What must answer.
    pub endpoints: Vec<Endpoint>,
}

/// What an image must be before anyone is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validate {
    /// Compressed bytes per platform, summed from the manifests.
    pub max_bytes: u64,
    /// What an image must be built for; none: anything.
    pub platforms: Vec<Platform>,
    /// Labels that it must have, with any value.
    pub labels: Vec<LabelName>,
    pub signature: Signature,
}

/// How an image must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    Off,
    /// By ECR managed signing.
    Managed,
    Cosign,
}

/// What the nightly run does to old images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub mode: RetentionMode,
    /// Builds younger than this stay.
    pub days: u32,
    /// Backups younger than this stay.
    pub backup_days: u32,
    /// Archived images can be had back for so long; then they are deleted.
    pub archive_days: u32,
    /// The newest builds, and the newest pins, of each environment that stay, whatever their age.
    pub keep: u32,
    /// Tags that keep their image.
    pub protect: Vec<Pattern>,
    /// What is not read, and whose use of the images somebody has looked after.
    pub waive: Vec<Waived>,
}

impl Retention {
    /// The services that are not read.
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
    /// Plans, reports, touches nothing.
    DryRun,
    Delete,
    /// Archives first, deletes later.
    Archive,
}

impl Application {
    /// Reads an application file (TOML). With `allowed` it is a new one: whether the stack may touch what it names, and what
    /// files were not always checked for. A stored file was valid when it was put, and stays readable.
    /// The errors are all that are wrong with it, in the file's order; of broken TOML only the first.
    pub fn parse(text: &str, allowed: Option<&Allowed>) -> Result<Self, Vec<ConfigError>> {
        if text.len() > MAX_FILE_BYTES {
            return Err(vec![ConfigError::too_long(text.len())]);
        }
        // A byte order mark is an editor's, not the author's: columns are counted without it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Problems::in_text(text);
        let document = DeTable::parse(text).map_err(|error| vec![ConfigError::not_toml(text, &error)])?;
        let application = file::read(document.get_ref(), &mut problems);
        if let Some(application) = &application {
            checks::check(application, &mut problems);
            supported::unsupported(application, &mut problems);
            if allowed.is_some() {
                checks::check_new(application, &mut problems);
            }
            for outside in allowed.iter().flat_map(|allowed| application.outside(allowed)) {
                problems.add(&outside.key, &outside.to_string());
            }
        }
        problems.or(application)
    }

    /// An error that only became known after the file was read, with the place of the setting that it is about.
    pub fn error_at(text: &str, key: &str, message: &str) -> Vec<ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Problems::in_text(text);
        let Ok(document) = DeTable::parse(text) else { return Vec::new() };
        let application = file::read(document.get_ref(), &mut problems);
        problems.add(key, message);
        problems.or(application).err().unwrap_or_default()
    }

    pub fn environment(&self, name: &EnvironmentName) -> Option<&EnvironmentPolicy> {
        self.environments.iter().find(|environment| environment.name == *name)
    }

    pub fn approver(&self, name: &ApproverName) -> Option<&Approver> {
        self.approvers.iter().find(|approver| approver.name == *name)
    }

    /// In whose name a signed request may decide, by its signer's ARN as API Gateway tells it. More than one only in a stored
    /// file whose principals overlap.
    pub fn approvers_of(&self, arn: &str) -> impl Iterator<Item = &ApproverName> {
        let signs = move |approver: &&Approver| approver.principals.iter().any(|one| one.is(arn));
        self.approvers.iter().filter(signs).map(|approver| &approver.name)
    }

    /// Whether this signer may be that approver.
    pub fn may_be(&self, arn: &str, approver: &ApproverName) -> bool {
        self.approver(approver).is_some_and(|one| one.principals.iter().any(|one| one.may_be(arn)))
    }
}

#[cfg(test)]
mod tests;
