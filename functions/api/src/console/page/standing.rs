//! The state of an environment in a few words.

use std::collections::BTreeSet;

use maud::{Markup, html};
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Pin, SlotKind, Subject};
use stablepin_rules::words::time;

use super::{Environment, Found, words};

/// Returns the differences between the environment and its pin, in whole sentences. During a
/// rollout or a rollback, there is no drift.
pub(super) fn drift(environment: &Environment) -> Vec<String> {
    let record = &environment.subject.environment;
    let (Some(pin), None) = (&record.pin, &record.slot) else { return Vec::new() };
    let mut drift = Vec::new();
    let mut runs = false;
    for live in &environment.live {
        if let Found::Tasks(tasks) = &live.found
            && tasks.keys().flatten().any(|digest| *digest != pin.digest)
        {
            drift.push(format!("{} does not run pin {}.", words(&live.service.to_string()), pin.number));
        }
        runs |= matches!(&live.found, Found::Tasks(_));
    }
    if !runs && let Some(seen) = record.live_drift.as_ref().filter(|seen| seen.is_open()) {
        let since = time(seen.since);
        drift.extend(seen.words().iter().map(|service| words(&format!("Since {since} {service}."))));
        runs = true;
    }
    // If the page has no observation of the services, the proof in the table's record counts. This
    // record says nothing about services that Stablepin does not deploy.
    let deploys = environment.subject.policy().is_some_and(EnvironmentPolicy::is_deployed);
    let proven = record.current.as_ref().map(|current| &current.digest);
    if !runs && deploys && proven.is_some_and(|digest| *digest != pin.digest) {
        drift.push(format!("The last image that was proven to run is not pin {}.", pin.number));
    }
    drift.extend(tag_behind(&environment.subject, pin));
    drift
}

fn tag_behind(subject: &Subject, pin: &Pin) -> Option<String> {
    if let Some(taken) = &subject.environment.tag_taken {
        return Some(format!("{}.", taken.words()));
    }
    let tag = subject.policy()?.stable_tag.as_str();
    match subject.environment.applied {
        Some(applied) if applied == pin.number => None,
        Some(applied) => Some(format!("{tag} still points to pin {applied}, not pin {}.", pin.number)),
        None => Some(format!("{tag} does not point to pin {} yet.", pin.number)),
    }
}

/// Renders a badge for each problem or event that people should know about. Without any problem or
/// event, renders one badge that says so.
pub(super) fn badges(environment: &Environment, drift: &[String]) -> Markup {
    let record = &environment.subject.environment;
    let pending = environment.pending.count;
    let well = drift.is_empty() && record.hold.is_none() && record.freeze.is_none() && record.slot.is_none();
    let unread = environment.live.iter().any(|live| !matches!(live.found, Found::Tasks(_)));
    html! {
        span.badges {
            @match &record.slot {
                Some(slot) if slot.kind == SlotKind::Rollback => { b.badge.now { "Rollback in progress" } " " }
                Some(_) => { b.badge.now { "Promotion in progress" } " " }
                None => {}
            }
            @if !drift.is_empty() { b.badge.bad { "Drift" } " " }
            @if record.hold.is_some() { b.badge.bad { "Held" } " " }
            @if record.freeze.is_some() { b.badge.now { "Frozen" } " " }
            @if pending > 0 { b.badge.now { (pending) " pending" } " " }
            @if unread { b.badge { "Live not read" } }
            @if well && !unread && record.pin.is_some() {
                @if proven(environment) { b.badge.good { "Stable" } } @else { b.badge { "Pinned" } }
            }
            @if well && record.pin.is_none() { b.badge { "Nothing pinned" } }
        }
    }
}

/// Returns whether the services run the pin. If the page has read no service, the last proof
/// decides.
fn proven(environment: &Environment) -> bool {
    let record = &environment.subject.environment;
    let pinned = |digest: &ImageDigest| record.pin.as_ref().is_some_and(|pin| pin.digest == *digest);
    let of = |live: &super::LiveRow| match &live.found {
        Found::Tasks(tasks) => {
            !tasks.is_empty() && tasks.keys().all(|digest| digest.as_ref().is_some_and(pinned))
        }
        Found::Unreadable | Found::NotRead => false,
    };
    match environment.live.as_slice() {
        [] => record.current.as_ref().is_some_and(|current| pinned(&current.digest)),
        live => live.iter().all(of),
    }
}

/// Renders drift, hold and freeze as sentences.
pub(super) fn notes(environment: &Environment, drift: &[String]) -> Markup {
    let record = &environment.subject.environment;
    html! {
        @if !drift.is_empty() { p.note { strong { "Drift: " } (drift.join(" ")) } }
        @if let Some(hold) = &record.hold {
            p.note {
                strong { "Held" } " since " (time(hold.since)) ": " (words(&hold.reason.to_string())) " ("
                a href={ "/console/" (environment.subject.application()) "#" (hold.by) } { "cause" } ")"
            }
        }
        @if let Some(freeze) = &record.freeze {
            p.note { strong { "Frozen" } " since " (time(freeze.since)) " by " (words(&freeze.by.to_string())) ": "
                (words(&freeze.reason)) }
        }
    }
}

/// Renders the pin. The closure `digest` renders the pin's digest, short or long.
pub(super) fn pin(environment: &Environment, digest: impl Fn(&ImageDigest) -> Markup) -> Markup {
    html! {
        @match &environment.subject.environment.pin {
            Some(pin) => {
                strong { (pin.number) } ", since " (time(pin.at)) br;
                code { (pin.build_tag) } br; (digest(&pin.digest))
            }
            None => { "none yet" }
        }
    }
}

/// Renders a digest as the number of its pin, or as a short digest if no pin has this digest.
pub(super) fn called(environment: &Environment, digest: &ImageDigest) -> Markup {
    let current = environment.subject.environment.pin.as_ref();
    let pin = current.into_iter().chain(&environment.pins).find(|pin| pin.digest == *digest);
    html! {
        @if let Some(pin) = pin { "pin " (pin.number) } @else { (super::short(digest)) }
    }
}

/// Returns the digests that tasks of the environment run, without unknown digests.
pub(super) fn running(environment: &Environment) -> BTreeSet<&ImageDigest> {
    let tasks = environment.live.iter().filter_map(|live| match &live.found {
        Found::Tasks(tasks) => Some(tasks),
        Found::Unreadable | Found::NotRead => None,
    });
    tasks.flat_map(|tasks| tasks.keys().flatten()).collect()
}
