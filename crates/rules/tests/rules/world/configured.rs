//! Applications, as their files configure them.

use stablepin_rules::application::Application;

pub(crate) const STABLE: &str = "prod-stable";

/// Returns an application whose team deploys by itself and only uses the pin.
pub(crate) fn application(approval: &str, services: &str) -> Application {
    configured(approval, services, "deploy = \"never\"")
}

/// Returns an application that deploys each approved build to its services.
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
