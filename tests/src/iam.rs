//! IAM users that sign requests.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xtask::aws::{Aws, xml_text};

/// Creates an IAM user who may send only these requests to the API. A request is `METHOD/path`, and
/// may contain wildcards.
pub fn user(aws: &Aws, name: &str, api: &str, requests: &[&str]) -> Result<Aws> {
    let arn = |request: &&str| format!("arn:aws:execute-api:{}:*:{api}/*/{request}", aws.region());
    let statement = json!({
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": requests.iter().map(arn).collect::<Vec<_>>(),
    });
    user_with(aws, name, (!requests.is_empty()).then_some(&statement), &[])
}

/// Creates an IAM user with a policy of this statement, if there is one, and with these managed
/// policies.
pub fn user_with(aws: &Aws, name: &str, statement: Option<&Value>, policy_arns: &[&str]) -> Result<Aws> {
    let iam = |action: &str, more: &[(&str, &str)]| {
        let mut parameters = vec![("Action", action), ("Version", "2010-05-08"), ("UserName", name)];
        parameters.extend(more);
        aws.query("iam", &parameters)
    };
    iam("CreateUser", &[])?;
    if let Some(statement) = statement {
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        iam("PutUserPolicy", &[("PolicyName", "own"), ("PolicyDocument", &policy)])?;
    }
    for arn in policy_arns {
        iam("AttachUserPolicy", &[("PolicyArn", arn)])?;
    }
    let key = iam("CreateAccessKey", &[])?;
    let text = |tag: &str| xml_text(&key, tag).with_context(|| format!("IAM gave no {tag}"));
    Ok(aws.with_credentials(&text("AccessKeyId")?, &text("SecretAccessKey")?, None))
}
