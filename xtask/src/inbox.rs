//! The local inbox: a queue with the mails that the topics sent to approvers.
//!
//! MiniStack can show a queue's messages without receiving them. So the demo, a test and a person
//! can all read the same mail, any number of times.

mod show;

use std::{
    collections::BTreeMap,
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::{Aws, encode};
use crate::queue::Queue;
use crate::subscription;
pub use show::visible;

/// The queue that the local cloud subscribes to the approvals topic and to the notifications topic.
pub const QUEUE: &str = "stablepin-inbox";

/// The interval between two reads of the inbox.
const LOOK: Duration = Duration::from_millis(100);

/// A mail. It contains text that anyone who pushes an image can choose. So a terminal must show it
/// only through [`visible`], as `Display` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub at: Timestamp,
    /// The name of the approver: a message attribute by which subscriptions select their mails.
    pub approver: Option<String>,
    pub subject: String,
    pub body: String,
    pub topic: String,
    /// The message attributes by name, as text.
    pub attributes: BTreeMap<String, String>,
}

/// Returns the URL of the inbox queue. The URL comes from `STABLEPIN_INBOX`, or from SQS by the
/// queue's name.
pub fn queue_url(aws: &Aws) -> Result<String> {
    if let Ok(url) = std::env::var("STABLEPIN_INBOX") {
        return Ok(url);
    }
    let answer = aws
        .sqs("GetQueueUrl", &json!({ "QueueName": QUEUE }))
        .context("there is no inbox: is the local cloud up?")?;
    Ok(answer["QueueUrl"].as_str().context("SQS named no queue URL")?.to_owned())
}

/// Creates the queue and subscribes it to the topics without a filter. Returns the queue's URL. A
/// repeated call changes nothing.
pub fn subscribe(aws: &Aws, topic_arns: [&str; 2]) -> Result<String> {
    let queue = Queue::create(aws, QUEUE)?;
    queue.lets_in(aws, "sns", &topic_arns)?;
    for topic_arn in topic_arns {
        subscription::subscribe(aws, topic_arn, "sqs", &queue.arn, None)?;
    }
    Ok(queue.url)
}

/// Returns the mails in the queue, newest last.
pub fn messages(aws: &Aws, queue_url: &str) -> Result<Vec<Mail>> {
    let bodies = bodies(aws, queue_url)?;
    let mut mails = bodies.iter().map(|body| Mail::parse(body)).collect::<Result<Vec<_>>>()?;
    // The sort is stable, so mails of the same second keep their order.
    mails.sort_by_key(|mail| mail.at);
    Ok(mails)
}

/// Returns the bodies of a queue's messages, in order of arrival.
pub fn bodies(aws: &Aws, queue_url: &str) -> Result<Vec<String>> {
    // This read does not receive the messages: it hides no message and raises no receive count.
    let answer = aws.get(&format!("/_ministack/sqs/messages?QueueUrl={}", encode(queue_url)))?.json("sqs")?;
    // The response is nested by account, then region, then queue.
    let scopes = answer["messages"].as_object().into_iter().flat_map(|accounts| accounts.values());
    let queues =
        scopes.flat_map(|regions| regions.as_object().into_iter().flat_map(|regions| regions.values()));
    let lists = queues.flat_map(|queues| queues.as_object().into_iter().flat_map(|queues| queues.values()));
    let messages = lists.flat_map(|list| list.as_array().into_iter().flatten());
    Ok(messages.map(|message| message["Body"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Prints the mails, newest last, for `cargo xtask inbox`.
pub fn print(aws: &Aws) -> Result<()> {
    let mails = messages(aws, &queue_url(aws)?)?;
    for mail in &mails {
        println!("{mail}");
    }
    match mails.len() {
        0 => println!("No mail yet. A push to a watched repository brings one."),
        1 => println!("1 mail."),
        count => println!("{count} mails, newest last."),
    }
    Ok(())
}

/// Waits for a mail that `is_it` accepts.
pub fn wait_for(aws: &Aws, queue_url: &str, limit: Duration, is_it: impl Fn(&Mail) -> bool) -> Result<Mail> {
    let deadline = Instant::now() + limit;
    loop {
        let mails = messages(aws, queue_url)?;
        if let Some(mail) = mails.iter().find(|mail| is_it(mail)) {
            return Ok(mail.clone());
        }
        if Instant::now() >= deadline {
            let subjects: Vec<_> = mails.iter().map(|mail| visible(&mail.subject)).collect();
            bail!("no such mail within {} s; these came: {subjects:?}", limit.as_secs());
        }
        thread::sleep(LOOK);
    }
}

impl Mail {
    /// Parses the envelope in which SNS sends a mail to a queue.
    ///
    /// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
    fn parse(body: &str) -> Result<Self> {
        let envelope: Value = serde_json::from_str(body).context("a message in the inbox is not from SNS")?;
        let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
        if envelope["Type"] != "Notification" {
            bail!("a message in the inbox is not an SNS notification, but a {:?}", text("Type"));
        }
        let attributes: BTreeMap<_, _> = envelope["MessageAttributes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value["Value"].as_str().unwrap_or_default().to_owned()))
            .collect();
        Ok(Self {
            at: text("Timestamp").parse().context("an SNS notification without a time")?,
            approver: attributes.get("approver").cloned(),
            subject: text("Subject"),
            body: text("Message"),
            topic: text("TopicArn"),
            attributes,
        })
    }

    /// Returns the code that the mail contains near the link.
    pub fn code(&self) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix("Your code: ")).map(str::trim)
    }

    /// Returns the approval link, or the first link of a mail without an approval link.
    pub fn link(&self) -> Option<&str> {
        let is_link = |word: &&str| word.starts_with("http://") || word.starts_with("https://");
        let mut links = self.body.split_whitespace().filter(is_link);
        links.clone().find(|link| link.contains("?t=")).or_else(|| links.next())
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", "─".repeat(78))?;
        writeln!(f, "Date:    {}", self.at.strftime("%Y-%m-%d %H:%M:%S UTC"))?;
        writeln!(
            f,
            "To:      {}",
            visible(self.approver.as_deref().unwrap_or("(everybody)")).replace('\n', " ")
        )?;
        // A newline in the subject must not begin another header line.
        writeln!(f, "Subject: {}\n", visible(&self.subject).replace('\n', "\\n"))?;
        writeln!(f, "{}", visible(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(subject: &str, body: &str) -> String {
        json!({
            "Type": "Notification",
            "MessageId": "7f2bb4d6-16a7-4bb3-9e9a-1f6f3a0b7e11",
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:approvals",
            "Subject": subject,
            "Message": body,
            "Timestamp": "2026-11-21T04:52:13.000Z",
            "MessageAttributes": { "approver": { "Type": "String", "Value": "lead" } },
        })
        .to_string()
    }

    #[test]
    fn mail_is_parsed_from_its_sns_envelope() {
        let mail =
            Mail::parse(&envelope("Approve web", "Hello.\n\nhttp://localhost:1/decide?t=x\n")).unwrap();
        assert_eq!(mail.approver.as_deref(), Some("lead"));
        assert_eq!(mail.link(), Some("http://localhost:1/decide?t=x"));
        insta::assert_snapshot!(mail);
    }

    #[test]
    fn message_other_than_a_notification_is_refused() {
        assert!(Mail::parse("hello").is_err());
        assert!(Mail::parse(r#"{"Type": "SubscriptionConfirmation"}"#).is_err());
    }

    #[test]
    fn hostile_mail_cannot_forge_a_header_or_an_escape() {
        let mail = Mail::parse(&envelope(
            "ok\nTo: \u{1b}]0;owned\u{7}",
            "\u{1b}[2J\u{1b}[31mAPPROVED\r\u{202e}kcab\u{2066}\u{200b}\u{9b}1m\u{8}",
        ));
        insta::assert_snapshot!(mail.unwrap());
    }
}
