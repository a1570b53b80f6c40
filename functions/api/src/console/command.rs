//! The shell commands that the console shows for copying, such as the rollback command.

use serde_json::json;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::shell::shell_quoted;

use crate::AllowedResources;

/// Returns a curl command for a signed request. The command works in any POSIX shell with the
/// caller's credentials in environment variables.
fn signed(settings: &AllowedResources, path: &str, body: Option<&str>) -> String {
    let signs = shell_quoted(&format!("aws:amz:{}:execute-api", settings.region));
    let body = body.map_or_else(String::new, |body| format!(" \\\n  --json {}", shell_quoted(body)));
    let url = shell_quoted(&format!("{}{path}", settings.url));
    format!(
        "curl -sS --fail-with-body -X POST \\\n  --aws-sigv4 {signs} \\\n  \
         --user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" \\\n  \
         --header \"x-amz-security-token: ${{AWS_SESSION_TOKEN:-}}\"{body} \\\n  {url}"
    )
}

/// Returns the command that rolls back all services to the pin `to`: a pin number, or `stable`.
pub(super) fn rollback(
    settings: &AllowedResources,
    application: &ApplicationName,
    environment: &EnvironmentName,
    to: &str,
    reason: &str,
) -> String {
    let body = json!({ "to": to, "confirm": "ROLLBACK", "reason": reason }).to_string();
    let path = format!("/v1/applications/{application}/environments/{environment}/rollback");
    signed(settings, &path, Some(&body))
}

/// Returns the command that mints a link to the console.
pub(super) fn console(settings: &AllowedResources) -> String {
    signed(settings, "/v1/console", None)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the command in a real shell, and returns the arguments that `curl` would get.
    fn words(command: &str) -> Vec<String> {
        let script = format!("curl() {{ for word; do printf '%s\\0' \"$word\"; done; }}\n{command}");
        let shell = Command::new("sh")
            .args(["-c", &script])
            .env("AWS_ACCESS_KEY_ID", "AKID")
            .env("AWS_SECRET_ACCESS_KEY", "se cret$(touch x)")
            .env_remove("AWS_SESSION_TOKEN")
            .output()
            .unwrap();
        assert!(shell.status.success() && shell.stderr.is_empty(), "{shell:?}");
        let text = String::from_utf8(shell.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    fn settings(url: &str) -> AllowedResources {
        AllowedResources::new("eu-central-1".to_owned(), url.to_owned(), "", "").unwrap()
    }

    #[test]
    fn rollback_command_passes_exact_arguments_to_curl() {
        let web = ApplicationName::parse("web").unwrap();
        let production = EnvironmentName::parse("production").unwrap();
        let settings = settings("https://a1b2.execute-api.eu-central-1.amazonaws.com");
        let command = rollback(&settings, &web, &production, "6", "back to pin 6");
        insta::assert_snapshot!(command, @r#"
        curl -sS --fail-with-body -X POST \
          --aws-sigv4 'aws:amz:eu-central-1:execute-api' \
          --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
          --header "x-amz-security-token: ${AWS_SESSION_TOKEN:-}" \
          --json '{"confirm":"ROLLBACK","reason":"back to pin 6","to":"6"}' \
          'https://a1b2.execute-api.eu-central-1.amazonaws.com/v1/applications/web/environments/production/rollback'
        "#);
        assert_eq!(
            words(&command),
            [
                "-sS",
                "--fail-with-body",
                "-X",
                "POST",
                "--aws-sigv4",
                "aws:amz:eu-central-1:execute-api",
                "--user",
                "AKID:se cret$(touch x)",
                "--header",
                "x-amz-security-token: ",
                "--json",
                r#"{"confirm":"ROLLBACK","reason":"back to pin 6","to":"6"}"#,
                "https://a1b2.execute-api.eu-central-1.amazonaws.com/v1/applications/web/environments/production/rollback",
            ]
        );
    }

    #[test]
    fn console_commands_quote_hostile_values() {
        for hostile in ["it's", "$(id)", "`id`", "a\nb; id", r"\", "\"; id #", "'; id; '", "é \u{202e}"] {
            let (web, to) = (ApplicationName::parse("web").unwrap(), hostile);
            let production = EnvironmentName::parse("production").unwrap();
            let url = format!("https://{hostile}");
            let words = words(&rollback(&settings(&url), &web, &production, to, hostile));
            assert_eq!(words.len(), 13, "{words:?}");
            assert!(words[12].starts_with(&url), "{words:?}");
            let body: serde_json::Value = serde_json::from_str(&words[11]).unwrap();
            assert_eq!((&body["to"], &body["reason"]), (&json!(hostile), &json!(hostile)));
        }
    }
}
