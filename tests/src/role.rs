//! The configuration of a deployed Lambda function, and credentials of its role.

use serde_json::Value;
use xtask::aws::{Aws, xml_text};

use crate::stack;

/// The Lambda functions that the template deploys.
pub const FUNCTIONS: [&str; 6] = ["tagger", "approval", "promoter", "rollback", "retention", "api"];

/// Returns the deployed name of a Lambda function. `function` is the short name, such as `tagger`.
pub fn function_name(function: &str) -> &'static str {
    stack().variable(&format!("STABLEPIN_{}_FUNCTION", function.to_uppercase()))
}

#[track_caller]
pub fn configuration(function: &str) -> Value {
    let path = format!("/2015-03-31/functions/{}/configuration", function_name(function));
    stack().aws().rest("lambda", &path).expect("the function's configuration")
}

/// Credentials of a Lambda function's role.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: String,
}

impl Credentials {
    #[track_caller]
    pub fn of(function: &str) -> Self {
        let role = configuration(function)["Role"].as_str().expect("a role").to_owned();
        let request = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role.as_str()),
            ("RoleSessionName", "story"),
        ];
        let answer = stack().aws().query("sts", &request).expect("the role's credentials");
        let text = |tag: &str| xml_text(&answer, tag).expect("credentials are whole");
        Self {
            access_key: text("AccessKeyId"),
            secret_key: text("SecretAccessKey"),
            session_token: text("SessionToken"),
        }
    }
}

/// Returns a client with the credentials of a Lambda function's role.
#[track_caller]
pub fn aws_as(function: &str) -> Aws {
    let role = Credentials::of(function);
    stack().aws().with_credentials(&role.access_key, &role.secret_key, Some(&role.session_token))
}
