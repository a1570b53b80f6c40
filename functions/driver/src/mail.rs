//! Every mail's text. Plain text; what comes from a push is shown on one line and cannot leave it.

mod notice;

use jiff::Timestamp;
use stablepin_core::application::Environment as Policy;
use stablepin_core::name::ApproverName;
use stablepin_core::one_line::{LONGEST_REASON, one_line};
use stablepin_core::records::{Promotion, Subject};

pub use notice::{Told, notice};

/// A mail before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub body: String,
}

/// Asks an approver. The link is secret: it decides in the approver's name.
pub fn question(
    subject: &Subject,
    policy: &Policy,
    promotion: &Promotion,
    approver: &ApproverName,
    link: &str,
) -> Mail {
    let application = subject.application();
    let build = &promotion.build;
    let commit = build.commit.as_deref().map_or_else(|| "not known".to_owned(), line);
    let size = build.size_bytes.map_or_else(|| "not known".to_owned(), size);
    let replaces = match &subject.environment.pin {
        Some(pin) => format!("pin {} ({}), since {}", pin.number, pin.build_tag, time(pin.at)),
        None => "nothing: this would be the first pin".to_owned(),
    };
    let held = match &subject.environment.hold {
        Some(hold) => format!(
            "\nThis environment is held since {} ({}). Your approval releases the hold.\n",
            time(hold.since),
            line(&hold.reason)
        ),
        None => String::new(),
    };
    let frozen = match &subject.environment.freeze {
        Some(freeze) => format!(
            "\nThis environment is frozen since {} ({}). What you approve waits for its end.\n",
            time(freeze.since),
            line(&freeze.reason)
        ),
        None => String::new(),
    };
    let body = format!(
        "Hello {approver},\n\
         \n\
         {application} has a new build for {environment}. Do you approve it as the stable version?\n\
         \n\
         Build:     {build_tag}\n\
         Commit:    {commit}\n\
         Digest:    {digest}\n\
         Size:      {size}\n\
         Pushed as: {repository}:{pushed_tag}, {pushed_at}\n\
         Replaces:  {replaces}\n\
         {held}{frozen}\
         \n\
         Look at it and decide here:\n\
         {link}\n\
         \n\
         The link is yours alone, works once, and expires on {expires}. {required} of {approvers} approvers must approve; one rejection is enough to stop it.\n\
         Do not forward this mail: whoever has the link decides in your name.\n",
        environment = subject.name,
        build_tag = build.build_tag,
        digest = promotion.digest,
        repository = build.repository,
        pushed_tag = build.pushed_tag,
        pushed_at = time(promotion.occurrence.at),
        expires = time(promotion.expires_at),
        required = policy.approval.required,
        approvers = policy.approval.approvers.len(),
    );
    Mail { subject: format!("Approve {application} for {}? {}", subject.name, build.build_tag), body }
}

/// Free text in its place: wherever it came from, it ends no line.
fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

/// Absolute, with the zone: a mail may arrive hours late.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Decimal units, as registries show them.
pub fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit / (unit / 10));
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests;
