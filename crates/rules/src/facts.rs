//! The facts that an approver sees. The mail, the page and the recorded hash use the same words, so
//! an approver signs exactly these facts.

use sha2::{Digest as _, Sha256};

use crate::audit::Actor;
use crate::caller::MORE_PUSHERS;
use crate::one_line::{LONGEST_REASON, one_line};
use crate::records::{Pin, Promotion, Subject};
use crate::words::{size, time};

/// The facts about one promotion, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub facts: Vec<Fact>,
    /// The special conditions of the environment now, in whole sentences.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
    /// Whether the value is a digest or a tag, which people compare or copy letter by letter.
    pub is_literal: bool,
}

impl Facts {
    /// Returns the SHA-256 of all facts and notes, in lower-case hexadecimal.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let words = self.facts.iter().map(|fact| format!("{}: {}\n", fact.name, fact.value));
        for line in words.chain(self.notes.iter().map(|note| format!("{note}\n"))) {
            hash.update(line.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns the facts of the subject's promotion. None if there is no promotion.
pub fn facts(subject: &Subject) -> Option<Facts> {
    let promotion = subject.promotion()?;
    let build = &promotion.build;
    let pin = subject.environment.pin.as_ref().filter(|pin| pin.by != promotion.id);
    let text = |name, value| Fact { name, value, is_literal: false };
    let literal = |name, value| Fact { name, value, is_literal: true };
    let commit = match &build.commit {
        Some(commit) => literal("Commit", commit.clone()),
        None => text("Commit", "not known".to_owned()),
    };
    let facts = vec![
        text("Application", subject.application().to_string()),
        text("Environment", subject.name.to_string()),
        literal("Build", build.build_tag.to_string()),
        commit,
        literal("Digest", promotion.digest.to_string()),
        text("Size", grown(build.size_bytes, pin)),
        text("Pushed", pushed(promotion)),
        text("Asked by", asked_by(promotion)),
        text("Replaces", replaces(promotion, pin)),
        text("Verdicts", "none: signature, scan and checks are not asked for".to_owned()),
    ];
    let line = |text: &str| one_line(text, LONGEST_REASON);
    let environment = &subject.environment;
    let frozen = environment.freeze.as_ref().map(|freeze| {
        format!(
            "{} is frozen since {} ({}). What you approve waits for its end.",
            subject.name,
            time(freeze.since),
            line(&freeze.reason)
        )
    });
    let held = environment.hold.as_ref().map(|hold| {
        format!(
            "{} is held since {} ({}). Your approval releases the hold.",
            subject.name,
            time(hold.since),
            line(&hold.reason.to_string())
        )
    });
    Some(Facts { facts, notes: frozen.into_iter().chain(held).collect() })
}

fn grown(bytes: Option<u64>, pin: Option<&Pin>) -> String {
    let Some(bytes) = bytes else { return "not known: it has one for each platform".to_owned() };
    let than = pin.and_then(|pin| Some((pin.number, pin.size_bytes?)));
    match than {
        None => size(bytes),
        Some((pin, before)) if before == bytes => format!("{}, the same as pin {pin}", size(bytes)),
        Some((pin, before)) if before < bytes => {
            format!("{}, {} more than pin {pin}", size(bytes), size(bytes - before))
        }
        Some((pin, before)) => format!("{}, {} less than pin {pin}", size(bytes), size(before - bytes)),
    }
}

fn pushed(promotion: &Promotion) -> String {
    let build = &promotion.build;
    let (tag, at) = match &promotion.pushed_tag {
        Some(tag) => (tag, promotion.occurrence.at),
        None => (&build.pushed_tag, build.pushed_at),
    };
    format!("{}:{tag}, {}", build.repository, time(at))
}

/// The most pushers that a mail names.
const MOST_NAMED: usize = 5;

/// Names the requester and the source of that knowledge.
fn asked_by(promotion: &Promotion) -> String {
    let known = promotion.pushers.iter().map(String::as_str).filter(|arn| *arn != MORE_PUSHERS);
    let pushers: Vec<&str> = known.take(MOST_NAMED).collect();
    let more = if promotion.pushers.len() > pushers.len() { " and others" } else { "" };
    let pushers = pushers.join(", ") + more;
    match (&promotion.asked_by, pushers.is_empty()) {
        (Some(actor @ Actor::Principal { .. }), true) => format!("{actor}, by a signed request"),
        (Some(actor @ Actor::Principal { .. }), false) => {
            format!("{actor}, by a signed request; pushed by {pushers}, as CloudTrail recorded")
        }
        (Some(actor @ (Actor::Link { .. } | Actor::Push | Actor::Stablepin)), _) => actor.to_string(),
        (None, false) => format!("a push by {pushers}, as CloudTrail recorded"),
        (None, true) => "a push; the registry does not say whose".to_owned(),
    }
}

fn replaces(promotion: &Promotion, pin: Option<&Pin>) -> String {
    match pin {
        None if promotion.pin.is_some() => "the pin before it".to_owned(),
        Some(pin) => format!("pin {}, {}, since {}", pin.number, pin.build_tag, time(pin.at)),
        None => "nothing: it would be the first pin".to_owned(),
    }
}
