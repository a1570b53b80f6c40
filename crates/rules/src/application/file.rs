//! The keys of an application file, with their types, ranges and defaults.

use jiff::SignedDuration;
use toml::de::DeTable;

use super::document::Section;
use super::errors::Problems;
use super::settings::{
    Application, Approval, Approver, Deploy, EnvironmentPolicy, FourEyes, Latest, Retention, RetentionMode,
    Signature, Step, Validate, Verify,
};
use super::values::{
    BuildPattern, CheckName, ContainerName, Endpoint, LabelName, Platform, Principal, RoleArn, ServiceName,
    Waived, build_pattern, bytes, duration, mail_address, one_of, parsed, repository, stable_tag,
    tag_pattern,
};
use crate::build_patterns::BuildPatterns;
use crate::image::{ImageTag, RepositoryName};
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::pattern::Pattern;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

const MEGABYTE: u64 = 1_000_000;
const GIGABYTE: u64 = 1_000 * MEGABYTE;

const MOST_APPROVERS: usize = 50;
const MOST_ENVIRONMENTS: usize = 20;

/// Reads the file, and reports every mistake. None if a required setting other than `builds` is
/// missing or wrong, if a list of tables is wrong, or if there is no environment. Any other wrong
/// setting gets its default value.
pub(super) fn read(document: &DeTable<'_>, problems: &mut Problems<'_>) -> Option<Application> {
    let mut file = Section::of_file(document);
    let name = file.required_text("name", problems, parsed(ApplicationName::parse));
    let repository = file.required_text("repository", problems, repository);
    let builds = file.texts("builds", problems, build_pattern);
    let build_environment = file.text("build_environment", problems, parsed(EnvironmentName::parse));
    let latest = file.text(
        "latest",
        problems,
        one_of(&[("off", Latest::Off), ("push", Latest::Push), ("pin", Latest::Pin)]),
    );
    let run_label = file.text("run_label", problems, parsed(LabelName::parse));
    let approvers: Option<Vec<Approver>> =
        all(file.tables("approver", problems, MOST_APPROVERS), |section| approver(section, problems));
    let names: Vec<ApproverName> = approvers.iter().flatten().map(|approver| approver.name.clone()).collect();
    let environments: Option<Vec<EnvironmentPolicy>> =
        all(file.tables("environment", problems, MOST_ENVIRONMENTS), |section| {
            environment(section, repository.as_ref(), &names, problems)
        });
    let retention = retention(file.table("retention", problems), problems);
    file.refuse_other_keys(problems);

    let builds = self::builds(builds, problems);
    let environments = environments?;
    let Some(first) = environments.first() else {
        problems.add("environment", "is missing: describe at least one, begun by [[environment]]");
        return None;
    };
    Some(Application {
        name: name?,
        repository: repository?,
        builds,
        build_environment: build_environment.unwrap_or_else(|| first.name.clone()),
        latest: latest.unwrap_or(Latest::Off),
        run_label,
        approvers: approvers?,
        environments,
        retention,
    })
}

/// Reads the patterns of pushed tags that are builds. At least one pattern must include tags.
fn builds(list: Option<Vec<BuildPattern>>, problems: &mut Problems<'_>) -> BuildPatterns {
    let mut builds = BuildPatterns::default();
    let list = list.unwrap_or_default();
    if list.is_empty() {
        let message = "is missing: say which pushed tags are builds, such as builds = [\"main-*\", \"v*\"]";
        problems.add("builds", message);
    }
    let mut positions = Vec::new();
    for (position, pattern) in list.into_iter().enumerate() {
        match pattern {
            BuildPattern::Include(pattern) => {
                builds.include.push(pattern);
                positions.push(position);
            }
            BuildPattern::Exclude(pattern) => builds.exclude.push(pattern),
        }
    }
    if let (true, Some(first)) = (builds.include.is_empty(), builds.exclude.first()) {
        let message = format!(
            "only leaves tags out: say which pushed tags are builds as well, such as builds = [\"main-*\", \"!{first}\"]"
        );
        problems.add("builds", &message);
    }
    for (include, position) in builds.include.iter().zip(positions) {
        if let Some(exclude) = builds.exclude.iter().find(|exclude| exclude.covers(include)) {
            let message = format!(
                "names no build, because \"!{exclude}\" leaves out every tag that it names: delete one of the two"
            );
            problems.add(&format!("builds[{position}]"), &message);
        }
    }
    builds
}

/// Reads every table, even if the file has a mistake in one of the tables before it. None if any of
/// the tables has a mistake.
fn all<'a, T>(
    sections: Option<Vec<Section<'a>>>,
    read: impl FnMut(Section<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = sections?.into_iter().map(read).collect();
    read.into_iter().collect()
}

fn approver(mut section: Section<'_>, problems: &mut Problems<'_>) -> Option<Approver> {
    let name = section.required_text("name", problems, parsed(ApproverName::parse));
    let mail = section.required_text("mail", problems, mail_address);
    let principals = section.texts("principals", problems, parsed(Principal::parse)).unwrap_or_default();
    section.refuse_other_keys(problems);
    Some(Approver { name: name?, mail: mail?, principals })
}

fn environment(
    mut section: Section<'_>,
    application_repository: Option<&RepositoryName>,
    approvers: &[ApproverName],
    problems: &mut Problems<'_>,
) -> Option<EnvironmentPolicy> {
    let name = section.required_text("name", problems, parsed(EnvironmentName::parse));
    let repository = section.text("repository", problems, repository);
    let role = section.text("role", problems, parsed(RoleArn::parse));
    let stable_tag = section.text("stable_tag", problems, stable_tag);
    let deploy = section.text(
        "deploy",
        problems,
        one_of(&[("on_approval", Deploy::OnApproval), ("never", Deploy::Never)]),
    );
    let services = section.texts("services", problems, parsed(ServiceName::parse));
    let containers = section.text_or_texts("container", problems, parsed(ContainerName::parse));
    let requires = section.texts("requires", problems, parsed(CheckName::parse));
    let after = section.text("after", problems, parsed(EnvironmentName::parse));
    let soak = section.text("soak", problems, duration(SignedDuration::ZERO..=DAY * 30));
    let approval = approval(section.table("approval", problems), approvers, problems);
    let verify = verify(section.table("verify", problems), problems);
    let validate = validate(section.table("validate", problems), problems);
    section.refuse_other_keys(problems);

    let name = name?;
    let stable_tag = stable_tag.unwrap_or_else(|| default_stable_tag(&name));
    Some(EnvironmentPolicy {
        name,
        repository: repository.or_else(|| application_repository.cloned())?,
        source: application_repository.cloned()?,
        role,
        stable_tag,
        deploy: deploy.unwrap_or(Deploy::OnApproval),
        services: services.unwrap_or_default(),
        containers: containers.unwrap_or_default(),
        approval,
        requires: requires.unwrap_or_default(),
        after,
        soak: soak.unwrap_or(SignedDuration::ZERO),
        verify,
        validate,
    })
}

fn default_stable_tag(environment: &EnvironmentName) -> ImageTag {
    ImageTag::parse(&format!("{environment}-stable")).expect("an environment's name begins a tag")
}

fn approval(mut section: Section<'_>, approvers: &[ApproverName], problems: &mut Problems<'_>) -> Approval {
    let required = section.number("required", problems, 0..=20);
    let named = section.texts("approvers", problems, parsed(ApproverName::parse));
    let expires = section.text("expires", problems, duration(MINUTE * 5..=DAY * 30));
    let four_eyes = section.text(
        "four_eyes",
        problems,
        one_of(&[("off", FourEyes::Off), ("on", FourEyes::On), ("strict", FourEyes::Strict)]),
    );
    let step = section.text(
        "step",
        problems,
        one_of(&[("none", Step::None), ("type", Step::Type), ("code", Step::Code)]),
    );
    section.refuse_other_keys(problems);
    Approval {
        required: required.and_then(|number| u8::try_from(number).ok()).unwrap_or(1),
        approvers: named.unwrap_or_else(|| approvers.to_vec()),
        expires: expires.unwrap_or(HOUR * 72),
        four_eyes: four_eyes.unwrap_or(FourEyes::Off),
        // By default, approvers must type the code from the mail.
        step: step.unwrap_or(Step::Code),
    }
}

fn verify(mut section: Section<'_>, problems: &mut Problems<'_>) -> Verify {
    let bake = section.text("bake", problems, duration(SignedDuration::ZERO..=DAY));
    let timeout = section.text("timeout", problems, duration(MINUTE..=DAY));
    let endpoints = section.texts("endpoints", problems, parsed(Endpoint::parse));
    section.refuse_other_keys(problems);
    Verify {
        bake: bake.unwrap_or(SignedDuration::ZERO),
        timeout: timeout.unwrap_or(MINUTE * 30),
        endpoints: endpoints.unwrap_or_default(),
    }
}

fn validate(mut section: Section<'_>, problems: &mut Problems<'_>) -> Validate {
    let max_bytes = section.text("max_size", problems, bytes(MEGABYTE..=GIGABYTE * 100));
    let platforms = section.texts("platforms", problems, parsed(Platform::parse));
    let labels = section.texts("labels", problems, parsed(LabelName::parse));
    let signature = section.text(
        "signature",
        problems,
        one_of(&[("off", Signature::Off), ("managed", Signature::Managed), ("cosign", Signature::Cosign)]),
    );
    section.refuse_other_keys(problems);
    let default = Validate::default();
    Validate {
        max_bytes: max_bytes.unwrap_or(default.max_bytes),
        platforms: platforms.unwrap_or(default.platforms),
        labels: labels.unwrap_or(default.labels),
        signature: signature.unwrap_or(default.signature),
    }
}

impl Default for Validate {
    fn default() -> Self {
        Self { max_bytes: GIGABYTE, platforms: Vec::new(), labels: Vec::new(), signature: Signature::Off }
    }
}

fn retention(mut section: Section<'_>, problems: &mut Problems<'_>) -> Retention {
    let mode = section.text(
        "mode",
        problems,
        one_of(&[
            ("dry-run", RetentionMode::DryRun),
            ("delete", RetentionMode::Delete),
            ("archive", RetentionMode::Archive),
        ]),
    );
    let days = section.number("days", problems, 1..=3650);
    let backup_days = section.number("backup_days", problems, 1..=3650);
    let archive_days = section.number("archive_days", problems, 1..=3650);
    let keep = section.number("keep", problems, 5..=1000);
    let protect = section.texts("protect", problems, tag_pattern);
    let waive = section.texts("waive", problems, Waived::parse);
    section.refuse_other_keys(problems);
    let default = Retention::default();
    Retention {
        mode: mode.unwrap_or(default.mode),
        days: days.unwrap_or(default.days),
        backup_days: backup_days.unwrap_or(default.backup_days),
        archive_days: archive_days.unwrap_or(default.archive_days),
        keep: keep.unwrap_or(default.keep),
        protect: protect.unwrap_or(default.protect),
        waive: waive.unwrap_or(default.waive),
    }
}

impl Default for Retention {
    fn default() -> Self {
        let protect = ["latest", "main", "staging-*", "v*.*.*"];
        let pattern = |text| Pattern::parse(text).expect("these are patterns");
        Self {
            mode: RetentionMode::DryRun,
            days: 90,
            backup_days: 30,
            archive_days: 90,
            keep: 10,
            protect: protect.map(pattern).to_vec(),
            waive: Vec::new(),
        }
    }
}
