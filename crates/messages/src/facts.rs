//! The facts of an approval in words, for the approval mail and the decision page.

use stablepin_rules::application::CheckName;
use stablepin_rules::caller::MORE_PUSHERS;
use stablepin_rules::facts::{Facts, Replaced};
use stablepin_rules::link::Link;
use stablepin_rules::one_line::inert;
use stablepin_rules::pipeline_run::{PipelineRun, RunSource};
use stablepin_rules::records::Check;
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

/// Returns the facts about the build, its origin, and the pin that the build replaces.
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
    shown
        .extend(facts.asked_by.map(|actor| Fact::text("Requester", format!("{actor}, by a signed request"))));
    shown.extend(facts.run.map(|run| Fact::text("Run", run_words(run))));
    let checks: Vec<String> = facts.checks.iter().map(|(name, check)| check_words(name, check)).collect();
    if !checks.is_empty() {
        shown.push(Fact::text("Checks", checks.join(", ")));
    }
    shown.push(Fact::text("Replaces", replaced(&facts.replaces)));
    shown
}

/// Returns the freeze and the hold of the environment, in whole sentences.
pub fn environment_notes(facts: &Facts<'_>) -> Vec<String> {
    let environment = facts.environment;
    let frozen = facts.freeze.map(|freeze| {
        let (since, reason) = (time(freeze.since), line(&freeze.reason));
        format!(
            "{environment} has been frozen since {since} ({reason}). If you approve, the build waits until \
             the freeze ends."
        )
    });
    let held = facts.hold.map(|hold| {
        let (since, reason) = (time(hold.since), line(&hold.reason.to_string()));
        format!("{environment} has been held since {since} ({reason}). Your approval releases the hold.")
    });
    frozen.into_iter().chain(held).collect()
}

/// Describes the run of a pipeline.
fn run_words(run: &PipelineRun) -> String {
    let link = run.link.as_ref().map(Link::as_str);
    let started_by = run.started_by.as_ref().map(|name| format!("by {name}"));
    let texts = [link, run.repository.as_deref(), run.workflow.as_deref(), run.id.as_deref()];
    let texts: Vec<&str> = texts.into_iter().flatten().chain(started_by.as_deref()).collect();
    match &run.source {
        // The pusher chose the link, so mail programs must not make the link clickable.
        RunSource::Label => format!("{} (unverified: a label of the image)", inert(&texts.join(", "))),
        RunSource::Check => {
            let name = run.named_by.as_deref().unwrap_or_default();
            format!("{} (of the check {name})", texts.join(", "))
        }
        RunSource::Request => texts.join(", "),
    }
}

/// Describes the result of a check.
pub(crate) fn check_words(name: &CheckName, check: &Check) -> String {
    let link = check.link.as_ref().map_or(String::new(), |link| format!(" ({link})"));
    format!("{name} {}{link}", check.result.as_str())
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
        (0, false) => "unknown (not reported by CloudTrail)".to_owned(),
        (0, true) => "too many to name".to_owned(),
        (_, false) => named.join(", "),
        (_, true) => format!("{} and others", named.join(", ")),
    }
}

fn replaced(replaces: &Replaced<'_>) -> String {
    match replaces {
        Replaced::Nothing => "nothing (this would be the first pin)".to_owned(),
        Replaced::Pin { number, build, since, .. } => {
            format!("pin {number}, {build}, since {}", time(*since))
        }
        Replaced::Earlier => "the previous pin".to_owned(),
    }
}
