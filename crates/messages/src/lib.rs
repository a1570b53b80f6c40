//! Texts for people: mails, notices, and the progress of a promotion. Text that a pusher wrote is
//! kept on one line.

// With this lint, the compiler reports every match that does not handle a new variant.
#![deny(clippy::wildcard_enum_match_arm)]

mod facts;
mod health;
mod notice;
pub mod progress;
mod vote_confirmation;

use stablepin_rules::application::{EnvironmentPolicy, Step};
use stablepin_rules::code::Code;
use stablepin_rules::facts::facts;
use stablepin_rules::name::ApproverName;
use stablepin_rules::one_line::{LONGEST_REASON, one_line};
use stablepin_rules::records::{Promotion, Subject};
use stablepin_rules::words::time;

pub use facts::{Fact, build_facts, environment_notes, place_facts};
pub use health::health;
pub use notice::{NoticeSubject, Words, WrittenNotice, notice};
pub use vote_confirmation::vote_confirmation;

/// The subject line and the body of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub body: String,
}

/// Returns the mail that requests an approval. The mail contains the secret link, and the secret
/// code if [`Step::Code`] is configured. Anybody who has the mail can vote in the approver's name.
pub fn question(
    subject: &Subject,
    policy: &EnvironmentPolicy,
    promotion: &Promotion,
    approver: &ApproverName,
    link: &str,
    code: &Code,
) -> Mail {
    let application = subject.application();
    let facts = facts(subject);
    let notes = facts.as_ref().map(environment_notes).unwrap_or_default();
    let notes: String = notes.iter().map(|note| format!("\n{note}\n")).collect();
    let facts = facts.as_ref().map(build_facts).unwrap_or_default();
    let facts: String =
        facts.iter().map(|fact| format!("{:<10} {}\n", format!("{}:", fact.name), fact.value)).collect();
    let code = match policy.approval.step {
        Step::Code => format!("Your code: {code}\n"),
        Step::Type => format!("The page asks you to type: {}\n", subject.name),
        Step::None => String::new(),
    };
    let why = match promotion.asked.get(approver) {
        None if promotion.ask_at.is_some() => {
            "Many builds were pushed within minutes. This is the newest one. For some earlier ones, no \
             approver got a mail.\n"
                .to_owned()
        }
        None => String::new(),
        Some(asked) if asked.burnt => {
            "You or somebody else tried too many wrong codes with your previous link, so it no longer \
             works. Here is a new one.\n"
                .to_owned()
        }
        Some(asked) => format!(
            "This is a reminder of our mail of {}. The link in that mail no longer works. Here is a new \
             one.\n",
            time(asked.at)
        ),
    };
    let body = format!(
        "Hello {approver},\n\
         \n\
         {application} has a new build for {environment}. Do you approve it as the stable version?\n\
         {why}\
         \n\
         {facts}\
         {notes}\
         \n\
         Review and decide here:\n\
         {link}\n\
         {code}\
         \n\
         The link is only for you, works once, and expires on {expires}. {required} of {approvers} \
         approvers must approve; one rejection stops it.\n\
         Do not forward this mail: anybody who has it can decide in your name.\n",
        environment = subject.name,
        expires = time(promotion.expires_at),
        required = policy.approval.required,
        approvers = policy.approval.approvers.len(),
    );
    let build_tag = &promotion.build.build_tag;
    let again = promotion.asked.get(approver).is_some_and(|asked| !asked.burnt);
    let reminder = if again { "Reminder: " } else { "" };
    Mail { subject: format!("{reminder}Approve {application} for {}? {build_tag}", subject.name), body }
}

/// The text for an operation that ended without a recorded reason. Only a damaged record lacks the
/// reason.
const NO_REASON: &str = "no reason is known";

/// Converts free text from any source to one line.
fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

#[cfg(test)]
mod tests;
