//! After the end-to-end tests: nothing that decides was ever logged.

use crate::aws::Aws;
use crate::inbox;
use crate::process::wait_for;
use crate::step::note;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// Looks for the token and the code of every mail that was sent, in every log group of the stack: those of the functions,
/// which log as much as they can here, and the API's access log.
pub fn check(aws: &Aws) -> Result<()> {
    let mails = inbox::messages(aws, &inbox::queue_url(aws)?)?;
    let token = |link: &str| link.split_once("?t=").map(|(_, token)| token.to_owned());
    let tokens = mails.iter().filter_map(|mail| token(mail.link()?));
    let codes = mails.iter().filter_map(|mail| mail.code().map(str::to_owned));
    let secrets: HashSet<String> = tokens.chain(codes).collect();
    let subjects: HashSet<&str> = mails.iter().flat_map(|mail| mail.subject.split(' ')).collect();
    let (mut words, mut known) = (0, false);
    for (group, text) in logs(aws)? {
        // What a token or a code is made of.
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            words += 1;
            known |= subjects.contains(word) && word.len() > 20;
            if secrets.contains(word) {
                bail!("{group} has a secret of a mail in it: look for where it is logged");
            }
        }
    }
    if secrets.is_empty() || !known {
        bail!(
            "of {} secrets and {words} words of logs, nothing can be told: no build of a mail is in them",
            secrets.len()
        );
    }
    note(format!("{} tokens and codes, {words} words of logs", secrets.len()));
    Ok(())
}

/// Each group's name, and all that it holds.
pub fn logs(aws: &Aws) -> Result<Vec<(String, String)>> {
    // The emulator's log service fails while somebody writes a new stream.
    let ask = |action: &str, body: &Value| {
        wait_for("the log service's answer", Duration::from_secs(60), || {
            Ok(aws.json("logs", &format!("Logs_20140328.{action}"), body).ok())
        })
    };
    let mut all = Vec::new();
    for group in ask("DescribeLogGroups", &json!({}))?["logGroups"].as_array().into_iter().flatten() {
        let name = group["logGroupName"].as_str().unwrap_or_default().to_owned();
        let (mut text, mut request) = (String::new(), json!({ "logGroupName": name, "limit": 10_000 }));
        loop {
            let page = ask("FilterLogEvents", &request)?;
            for event in page["events"].as_array().into_iter().flatten() {
                text += event["message"].as_str().unwrap_or_default();
                text.push('\n');
            }
            let next = &page["nextToken"];
            if !next.is_string() || *next == request["nextToken"] {
                break;
            }
            request["nextToken"] = next.clone();
        }
        all.push((name, text));
    }
    Ok(all)
}
