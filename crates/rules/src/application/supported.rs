//! The settings that a file may have but that this version does not support. The parser refuses
//! them, because people would otherwise rely on a safeguard that Stablepin does not enforce. When a
//! version supports a setting, the setting is removed from this list.

use super::errors::Problems;
use super::settings::{Application, EnvironmentPolicy, Signature};

pub(super) fn unsupported(application: &Application, problems: &mut Problems<'_>) {
    for (index, environment) in application.environments.iter().enumerate() {
        let mut refuse = |key: &str, instead: &str| {
            let key = format!("environment[{index}].{key}");
            problems.add(&key, &format!("is not available in this version: {instead}"));
        };
        refuse_in_environment(environment, &mut refuse);
    }
}

fn refuse_in_environment(environment: &EnvironmentPolicy, refuse: &mut impl FnMut(&str, &str)) {
    if environment.role.is_some() {
        refuse("role", "leave it out; the repository and the services must be of this stack's account");
    }
    if environment.validate.signature != Signature::Off {
        refuse("validate.signature", "write \"off\"");
    }
}
