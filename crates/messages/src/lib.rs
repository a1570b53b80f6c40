//! Texts for people: mails, notices, and the progress of a promotion. Text that a pusher wrote
//! stays on one line.

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

/// The subject and the body of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub body: String,
}

/// Returns the approval request. The mail contains the secret link and the secret code. Anybody who
/// has both can vote in the approver's name.
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
            "Many builds came within minutes. This is the newest of them; some before it nobody was asked for.\n".to_owned()
        }
        None => String::new(),
        Some(asked) if asked.burnt => {
            "Too many wrong codes were tried with the link before, by you or by somebody else. Here is a new one.\n"
                .to_owned()
        }
        Some(asked) => format!(
            "This is a reminder: you were asked on {}. That link is worth nothing any more; here is a new one.\n",
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
         Look at it and decide here:\n\
         {link}\n\
         {code}\
         \n\
         The link is yours alone, works once, and expires on {expires}. {required} of {approvers} approvers must approve; one rejection is enough to stop it.\n\
         Do not forward this mail: whoever has it decides in your name.\n",
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

/// The text for a missing reason. Only a damaged record has no reason.
const NO_REASON: &str = "no reason is known";

/// Converts free text from any source to one line.
fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

#[cfg(test)]
mod tests;
