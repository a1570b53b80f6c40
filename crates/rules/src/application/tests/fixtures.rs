//! Application files for the tests, and the errors of the parser for them.

use crate::application::{Allowed, Application, ConfigError};
use crate::pattern::Pattern;

/// The example in the documentation. This version supports all settings of the example.
pub(super) const EXAMPLE: &str = include_str!("../example.toml");

/// A file with most of the settings, among them the settings that this version refuses.
pub(super) const EVERYTHING: &str = r#"
name = "web"
repository = "web"                         # where pipelines push
builds = ["main", "main-*", "v*"]          # which pushed tags are builds
build_environment = "production"           # default: the first environment
latest = "pin"

[[approver]]
name = "lead"                              # votes count names
mail = "lead@example.com"
principals = ["arn:aws:iam::111122223333:role/lead"]

[[environment]]
name = "staging"
stable_tag = "staging-stable"

[[environment]]
name = "production"
repository = "prod/web"                    # default: the same
role = "arn:aws:iam::444455556666:role/stablepin-spoke"
stable_tag = "prod-stable"
deploy = "on_approval"                     # or "never"
services = ["prod/web", "prod/worker"]     # cluster/service
approval = { required = 1, approvers = ["lead"], expires = "72h", four_eyes = "strict", step = "code" }
requires = ["staging-tests"]
after = "staging"
soak = "30m"
verify = { bake = "5m", timeout = "30m", endpoints = ["https://web.example.com/health"] }
validate = { max_size = "2GB", platforms = ["linux/amd64"], labels = ["team"], signature = "cosign" }

[retention]
mode = "delete"
days = 90
backup_days = 30
keep = 10
protect = ["latest", "main", "staging-*", "v*.*.*"]
"#;

pub(super) const SMALLEST: &str = r#"
name = "web"
repository = "web"
builds = ["main-*"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[environment]]
name = "production"
"#;

pub(super) fn errors(text: &str) -> String {
    let Err(errors) = Application::parse(text, None) else { return "no error".to_owned() };
    errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
}

/// Returns the parser's errors for the smallest file after replacing a text in it.
pub(super) fn changed(line: &str, by: &str) -> String {
    assert!(SMALLEST.contains(line), "{line}");
    errors(&SMALLEST.replace(line, by))
}

/// Returns the parser's errors for the smallest file after appending a text. The text begins inside
/// the environment's table.
pub(super) fn extended(by: &str) -> String {
    errors(&format!("{SMALLEST}{by}\n"))
}

pub(super) fn everything_allowed() -> Allowed {
    let all = || vec![Pattern::parse("*").unwrap()];
    Allowed {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        repositories: all(),
        clusters: all(),
    }
}

/// Returns the parser's errors for a file that counts as new.
pub(super) fn new_errors(text: &str) -> String {
    let Err(errors) = Application::parse(text, Some(&everything_allowed())) else {
        return "no error".to_owned();
    };
    errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
}
