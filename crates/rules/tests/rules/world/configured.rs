//! Application files for tests.

use stablepin_rules::application::Application;

pub(crate) const STABLE: &str = "prod-stable";

/// Returns an application with `deploy = "never"`: Stablepin pins, and the team deploys.
pub(crate) fn application(approval: &str, services: &str) -> Application {
    configured(approval, services, "deploy = \"never\"")
}

/// Returns an application for which Stablepin deploys each approved build to the services.
pub(crate) fn deployed(approval: &str, services: &str) -> Application {
    configured(approval, services, "verify = { bake = \"2m\", endpoints = [\"https://web.example.com/\"] }")
}

fn configured(approval: &str, services: &str, more: &str) -> Application {
    let text = format!(
        r#"
name = "web"
repository = "web"
builds = ["main"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[approver]]
name = "second"
mail = "second@example.com"

[[environment]]
name = "production"
stable_tag = "{STABLE}"
{more}
services = [{services}]
approval = {{ {approval}, expires = "1h" }}
"#
    );
    Application::parse(&text, None).unwrap()
}
