//! The settings that a file may have but this version does not support. The parser refuses them,
//! because a safeguard that is written but not enforced is worse than none. A setting that becomes
//! supported is removed from this list.

use super::errors::Problems;
use super::settings::{Application, EnvironmentPolicy, Latest, Validate};

pub(super) fn unsupported(application: &Application, problems: &mut Problems<'_>) {
    let mut refuse = |key: &str, instead: &str| {
        problems.add(key, &format!("is not available in this version: {instead}"));
    };
    if application.latest != Latest::Off {
        refuse("latest", "write \"off\", and let the pipeline push the tag latest");
    }
    for (index, environment) in application.environments.iter().enumerate() {
        let mut refuse = |key: &str, instead: &str| refuse(&format!("environment[{index}].{key}"), instead);
        refuse_in_environment(application, environment, &mut refuse);
    }
}

fn refuse_in_environment(
    application: &Application,
    environment: &EnvironmentPolicy,
    refuse: &mut impl FnMut(&str, &str),
) {
    if environment.repository != application.repository {
        refuse("repository", "leave it out; the application's repository is used");
    }
    if environment.role.is_some() {
        refuse("role", "leave it out; the repository and the services must be of this stack's account");
    }
    if !environment.requires.is_empty() {
        refuse("requires", "leave it out, and run the checks before the push");
    }
    if environment.after.is_some() {
        refuse("after", "leave it out; each environment is approved by itself");
    }
    if !environment.soak.is_zero() {
        refuse("soak", "leave it out; approvers decide when a build has been tried long enough");
    }
    let (validate, default) = (&environment.validate, Validate::default());
    if validate.max_bytes != default.max_bytes {
        refuse("validate.max_size", "leave it out");
    }
    if validate.platforms != default.platforms {
        refuse("validate.platforms", "leave it out");
    }
    if validate.labels != default.labels {
        refuse("validate.labels", "leave it out");
    }
    if validate.signature != default.signature {
        refuse("validate.signature", "write \"off\"");
    }
}
