//! After the end-to-end tests: nothing that decides was ever logged.

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

/// Below the local cloud's folder: a secret a line that no mail has.
const REMEMBERED: &str = "secrets";

/// What else than mails hold names a person or a session: `check` looks for it too.
pub fn remember(folder: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(REMEMBERED))?;
    // One write, so that tests side by side do not mix their lines.
    file.write_all(format!("{secret}\n").as_bytes())
}

/// As the table knows a link by: SHA-256 of its token, in lower-case hexadecimal.
pub fn hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

/// How an address, a cookie or a form of ours begins that has a secret in it.
const MARKS: [&str; 6] = [
    "?t=",
    "stablepin-console=",
    "decision=approve",
    "decision=reject",
    "X-Amz-Signature=",
    "X-Amz-Credential=",
];

/// Looks for the token and the code of every mail that was sent, and for every link to the console, in every log group of
/// the stack: those of the functions, which log as much as they can here, and the API's access log.
pub fn check(stack: &Stack) -> Result<()> {
    let aws = &stack.aws();
    let mails = inbox::messages(aws, &inbox::queue_url(aws)?)?;
    let token = |link: &str| link.split_once("?t=").map(|(_, token)| token.to_owned());
    let tokens = mails.iter().filter_map(|mail| token(mail.link()?));
    // As it is printed, as it is compared, and as people type it.
    let spelt = |code: &str| [code.to_owned(), code.replace('-', ""), code.to_lowercase()];
    let codes = mails.iter().filter_map(|mail| mail.code().map(spelt)).flatten();
    let remembered = fs::read_to_string(stack.folder().join(REMEMBERED)).unwrap_or_default();
    let remembered: Vec<String> = remembered.lines().map(str::to_owned).collect();
    if remembered.is_empty() {
        bail!("no link to the console was minted: nothing can be told of them");
    }
    let secrets: HashSet<String> = tokens.chain(codes).chain(remembered).collect();
    let subjects: HashSet<&str> = mails.iter().flat_map(|mail| mail.subject.split(' ')).collect();
    let (mut words, mut known) = (0, false);
    for (group, text) in logs(aws)? {
        if let Some(mark) = MARKS.iter().find(|mark| text.contains(**mark)) {
            bail!("{group} has {mark:?} in it: look for where an address, a cookie or a form is logged");
        }
        // What a token or a code is made of.
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
