//! Publishes messages: a mail to one approver, or a notification to all subscribers of a topic.

use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::json;
use stablepin_rules::application::Approver;
use stablepin_rules::subscription_status::ATTRIBUTE;

use super::client::Sns;
use crate::call::{Call, CallError};

/// The most bytes that a message may have.
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
const MAX_MESSAGE: usize = 262_144;
/// The last line of a mail that the client has cut.
const CUT: &str = "\n[cut: too long for a mail]\n";

impl Sns {
    /// Publishes a mail to one approver and returns the message's id. The body contains links with
    /// which the approver votes, so the body must not appear in a log or an error.
    pub async fn publish(
        &self,
        topic_arn: &str,
        subject: &str,
        body: &str,
        approver: &Approver,
    ) -> Result<String, CallError> {
        let call = Call::new("Publish", format!("publish to {topic_arn} for {}", approver.name));
        let attribute = |value: &str| {
            let text = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            text.expect("the data type, the only required member, is set")
        };
        let answer = self
            .client
            .publish()
            .topic_arn(topic_arn)
            .subject(subject_line(subject))
            .message(body)
            .message_attributes("approver", attribute(approver.name.as_str()))
            .message_attributes(ATTRIBUTE, attribute(&approver.mail.lower()))
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        answer.message_id.ok_or_else(|| call.lacks("message id"))
    }

    /// Publishes a notification to all subscribers of a topic and returns the message's id. Chats
    /// and queues get `default`, the JSON of Amazon Q Developer's custom notification. People get
    /// `email`. The client cuts a long `email`, but not `default`, because cut JSON is invalid.
    /// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
    pub async fn notify(
        &self,
        topic_arn: &str,
        subject: &str,
        default: &str,
        email: &str,
    ) -> Result<String, CallError> {
        let call = Call::new("Publish", format!("publish a notification to {topic_arn}"));
        let answer = self
            .client
            .publish()
            .topic_arn(topic_arn)
            .subject(subject_line(subject))
            .message(message(default, email).map_err(|why| call.unusable(why))?)
            .message_structure("json")
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        answer.message_id.ok_or_else(|| call.lacks("message id"))
    }
}

/// Builds a message with one text per protocol, and cuts the mail to SNS's limit. Fails with the
/// reason if the notification alone is over the limit.
fn message(default: &str, email: &str) -> Result<String, String> {
    let encoded = |email: &str| json!({"default": default, "email": email}).to_string();
    let whole = encoded(email);
    if whole.len() <= MAX_MESSAGE {
        return Ok(whole);
    }
    let around = encoded(CUT).len();
    let mut room = MAX_MESSAGE.checked_sub(around).ok_or_else(|| {
        let bytes = encoded("").len();
        format!("the notification has {bytes} bytes without the mail; SNS takes {MAX_MESSAGE}")
    })?;
    let fits = |character: &char| {
        let quoted = json!(character).to_string().len();
        room.checked_sub(quoted - r#""""#.len()).map(|left| room = left).is_some()
    };
    let kept: String = email.chars().take_while(fits).collect();
    Ok(encoded(&(kept + CUT)))
}

/// Creates a mail subject that SNS accepts: ASCII, one line, fewer than 100 characters, no space at
/// the start. Cuts a longer text, and replaces other characters with question marks.
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
pub fn subject_line(text: &str) -> String {
    const MAX: usize = 99;
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            match character {
                '–' | '—' => line.push('-'),
                '→' => line.push_str("->"),
                '‘' | '’' => line.push('\''),
                '“' | '”' => line.push('"'),
                '…' => line.push_str("..."),
                c if c.is_ascii() => line.push(c),
                _ => line.push('?'),
            }
        }
    }
    if line.is_empty() {
        return "Stablepin".to_owned();
    }
    if line.len() > MAX {
        line.truncate(MAX - "...".len());
        line.truncate(line.trim_end().len());
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_subject_becomes_one_ascii_line() {
        for (text, line) in [
            ("Approve production-20250717-143052-a1b2c3d4?", "Approve production-20250717-143052-a1b2c3d4?"),
            ("web: staging → production", "web: staging -> production"),
            ("two\r\nlines\tand\u{7}a bell", "two lines and a bell"),
            ("Zoë’s build", "Zo?'s build"),
            ("", "Stablepin"),
            (" \n ", "Stablepin"),
        ] {
            assert_eq!(subject_line(text), line);
        }
        assert_eq!(subject_line(&"a".repeat(99)), "a".repeat(99));
        assert_eq!(subject_line(&"a".repeat(100)), format!("{}...", "a".repeat(96)));
    }

    #[test]
    fn long_mail_is_cut_but_long_notification_fails() {
        for letter in ["a", "é", "\"", "\u{1}", "😀"] {
            for length in [MAX_MESSAGE - 40, MAX_MESSAGE, MAX_MESSAGE + 1, 3 * MAX_MESSAGE] {
                let mail = letter.repeat(length / letter.len());
                let message = message(r#"{"version":"1.0"}"#, &mail).unwrap();
                assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
                let parsed: serde_json::Value = serde_json::from_str(&message).unwrap();
                assert_eq!(parsed["default"], r#"{"version":"1.0"}"#);
                let sent = parsed["email"].as_str().unwrap();
                assert!(sent == mail || message.len() > MAX_MESSAGE - 8, "only the excess is cut");
                assert!(sent == mail || mail.starts_with(sent.strip_suffix(CUT).unwrap()), "{letter}");
            }
        }
        let failed = message(&"a".repeat(MAX_MESSAGE), "short").unwrap_err();
        assert!(failed.ends_with("bytes without the mail; SNS takes 262144"), "{failed}");
    }

    #[test]
    fn mail_at_the_size_limit_is_not_cut() {
        let around = message("{}", "").unwrap().len();
        let fits = "a".repeat(MAX_MESSAGE - around);
        assert!(!message("{}", &fits).unwrap().contains("[cut"));
        assert!(message("{}", &format!("{fits}a")).unwrap().contains("[cut"));
    }

    #[test]
    fn any_text_becomes_a_valid_mail_subject() {
        for c in (0..0x3000).filter_map(char::from_u32) {
            for text in [format!("{c}"), format!("{c}x{c}"), c.to_string().repeat(300)] {
                let line = subject_line(&text);
                assert!((1..100).contains(&line.len()), "{text:?}");
                assert!(line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{text:?}");
                assert!(line.as_bytes()[0].is_ascii_graphic(), "{text:?}");
            }
        }
    }
}
