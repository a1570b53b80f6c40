//! The facts of an approval in words, for the approval mail and the decision page.

use stablepin_rules::caller::MORE_PUSHERS;
use stablepin_rules::facts::{Facts, Replaced};
use stablepin_rules::words::{size, time};

use super::line;

/// A fact about a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
    /// True for a digest or a tag, which people compare or copy letter by letter.
    pub is_literal: bool,
}

impl Fact {
    fn text(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: line(&value.to_string()), is_literal: false }
    }

    fn literal(name: &'static str, value: impl ToString) -> Self {
        Self { is_literal: true, ..Self::text(name, value) }
    }
}

/// Returns the application and the environment of the promotion.
pub fn place_facts(facts: &Facts<'_>) -> [Fact; 2] {
    [Fact::text("Application", facts.application), Fact::text("Environment", facts.environment)]
}

/// Returns the facts about the build, its origin, and the pin that it replaces.
pub fn build_facts(facts: &Facts<'_>) -> Vec<Fact> {
    let mut shown = vec![
        Fact::literal("Build", facts.build),
        match facts.commit {
            Some(commit) => Fact::literal("Commit", commit),
            None => Fact::text("Commit", "unknown"),
        },
        Fact::literal("Digest", facts.digest),
        Fact::text("Size", grown(facts)),
        Fact::text("Pushed", format!("{}:{}, {}", facts.repository, facts.pushed_tag, time(facts.pushed_at))),
        Fact::text("Pushed by", pushers(facts)),
    ];
    shown.extend(facts.asked_by.map(|actor| Fact::text("Asked by", format!("{actor}, by a signed request"))));
    shown.push(Fact::text("Replaces", replaced(&facts.replaces)));
    shown
}

/// Returns the freeze and the hold of the environment, in whole sentences.
pub fn environment_notes(facts: &Facts<'_>) -> Vec<String> {
    let environment = facts.environment;
    let frozen = facts.freeze.map(|freeze| {
        let (since, reason) = (time(freeze.since), line(&freeze.reason));
        format!("{environment} is frozen since {since} ({reason}). What you approve waits for its end.")
    });
    let held = facts.hold.map(|hold| {
        let (since, reason) = (time(hold.since), line(&hold.reason.to_string()));
        format!("{environment} is held since {since} ({reason}). Your approval releases the hold.")
    });
    frozen.into_iter().chain(held).collect()
}

fn grown(facts: &Facts<'_>) -> String {
    let Some(bytes) = facts.size_bytes else { return "different for each platform".to_owned() };
    match facts.replaces {
        Replaced::Pin { number, size_bytes: Some(before), .. } => {
            let than = match (bytes.abs_diff(before), bytes > before) {
                (0, _) => format!("the same as pin {number}"),
                (more, true) => format!("{} more than pin {number}", size(more)),
                (less, false) => format!("{} less than pin {number}", size(less)),
            };
            format!("{}, {than}", size(bytes))
        }
        Replaced::Pin { size_bytes: None, .. } | Replaced::Nothing | Replaced::Earlier => size(bytes),
    }
}

/// The most pushers that a mail names.
const MOST_NAMED: usize = 5;

fn pushers(facts: &Facts<'_>) -> String {
    let known = facts.pushers.iter().map(String::as_str).filter(|arn| *arn != MORE_PUSHERS);
    let named: Vec<&str> = known.take(MOST_NAMED).collect();
    match (named.len(), facts.pushers.len() > named.len()) {
        (0, false) => "unknown: CloudTrail has not said".to_owned(),
        (0, true) => "too many to name".to_owned(),
        (_, false) => named.join(", "),
        (_, true) => format!("{} and others", named.join(", ")),
    }
}

fn replaced(replaces: &Replaced<'_>) -> String {
    match replaces {
        Replaced::Nothing => "nothing: it would be the first pin".to_owned(),
        Replaced::Pin { number, build, since, .. } => {
            format!("pin {number}, {build}, since {}", time(*since))
        }
        Replaced::Earlier => "the pin before it".to_owned(),
    }
}
