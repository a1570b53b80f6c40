//! Checks after the end-to-end tests that no log contains a secret.

use crate::aws::{Aws, sha256_hex};
use crate::inbox;
use crate::process::wait_for;
use crate::stack::Stack;
use crate::step::note;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// The file in the local cloud's folder with secrets that no mail contains, one per line.
const REMEMBERED: &str = "secrets";

/// Stores a secret that no mail contains, so that `check` also searches for it.
pub fn remember(folder: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(REMEMBERED))?;
    // One write adds a whole line, so that parallel tests do not mix their lines.
    file.write_all(format!("{secret}\n").as_bytes())
}

/// Returns the hash by which the table identifies a link: SHA-256 of the link's token, in
/// lower-case hexadecimal.
pub fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// The markers of secrets in Stablepin's addresses, cookies and forms.
const MARKS: [&str; 6] = [
    "?t=",
    "stablepin-console=",
    "decision=approve",
    "decision=reject",
    "X-Amz-Signature=",
    "X-Amz-Credential=",
];

/// Searches every log group of the stack for the token and code of each mail, and for each console
/// link.
///
/// The log groups are the API's access log and the logs of the Lambda functions. In the local
/// cloud, the Lambda functions log at the most detailed level.
pub fn check(stack: &Stack) -> Result<()> {
    let aws = &stack.aws();
    let mails = inbox::messages(aws, &inbox::queue_url(aws)?)?;
    let token = |link: &str| link.split_once("?t=").map(|(_, token)| token.to_owned());
    let tokens = mails.iter().filter_map(|mail| token(mail.link()?));
    // The three forms of a code: as printed, as compared, and as typed.
    let spelt = |code: &str| [code.to_owned(), code.replace('-', ""), code.to_lowercase()];
    let codes = mails.iter().filter_map(|mail| mail.code().map(spelt)).flatten();
    let remembered = fs::read_to_string(stack.folder().join(REMEMBERED)).unwrap_or_default();
    let remembered: Vec<String> = remembered.lines().map(str::to_owned).collect();
    if remembered.is_empty() {
        bail!("no link to the console was minted, so no log could be searched for one");
    }
    let secrets: HashSet<String> = tokens.chain(codes).chain(remembered).collect();
    let subjects: HashSet<&str> = mails.iter().flat_map(|mail| mail.subject.split(' ')).collect();
    let (mut words, mut known) = (0, false);
    for (group, text) in logs(aws)? {
        if let Some(mark) = MARKS.iter().find(|mark| text.contains(**mark)) {
            bail!("{group} has {mark:?} in it: look for where an address, a cookie or a form is logged");
        }
        // Tokens and codes consist of these characters.
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            words += 1;
            known |= subjects.contains(word) && word.len() > 20;
            if secrets.contains(word) {
                bail!("{group} has a secret of a mail or of a link in it: look for where it is logged");
            }
        }
    }
    if secrets.is_empty() || !known {
        bail!(
            "the search for {} secrets in {words} words of logs proves nothing: no build of a mail is in them",
            secrets.len()
        );
    }
    note(format!("{} tokens and codes, {words} words of logs", secrets.len()));
    Ok(())
}

/// Returns the name and the whole text of each log group.
pub fn logs(aws: &Aws) -> Result<Vec<(String, String)>> {
    // Repeats each call until the call succeeds. The emulator fails such calls while it writes a
    // new log stream.
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
