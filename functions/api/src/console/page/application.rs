//! The page of one application: its environments and its history.

use maud::{Markup, html};
use stablepin_http::Response;
use stablepin_messages::progress::copy_progress;
use stablepin_rules::build_tag::numbered;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    IgnoredPush, Operation, Pin, Promotion, PromotionState, Repair, Rollback, RollbackState, SlotKind,
    Verdict, Work,
};
use stablepin_rules::words::time;

use super::standing::{badges, called, drift, notes, pin, running};
use super::{
    Environment, Found, LiveRow, MOST_ENVIRONMENTS, ROOM, Visit, copied, fitting, ignored, page, short, words,
};
use crate::AllowedResources;
use crate::console::command;

/// The most bytes of the environments, so that the page has room for some of the history.
const ENVIRONMENTS: usize = ROOM * 2 / 3;

/// The most services of an environment that the page lists one by one.
const MOST_LISTED: usize = 8;

#[derive(Debug)]
pub(in super::super) struct Application<'a> {
    pub(in super::super) name: &'a ApplicationName,
    /// The environments. Empty on a page that only continues the history.
    pub(in super::super) environments: &'a [Environment],
    /// The operations, newest first.
    pub(in super::super) history: &'a [(EnvironmentName, Operation)],
    /// True if older operations exist.
    pub(in super::super) older: bool,
    /// The newest pushes that opened no promotion, newest first. Empty on a page that only
    /// continues the history.
    pub(in super::super) ignored: &'a [IgnoredPush],
}

pub(in super::super) fn application(
    visit: Visit,
    settings: &AllowedResources,
    shown: &Application<'_>,
) -> Response {
    let path = format!("/console/{}", shown.name);
    let (environments, count) = fitting(
        ENVIRONMENTS,
        shown.environments.iter().take(MOST_ENVIRONMENTS).map(|one| section(settings, shown.name, one)),
    );
    let next = shown.environments.get(count).map(|one| &one.subject.name);
    let room = ROOM.saturating_sub(environments.0.len());
    let ignored = (!shown.ignored.is_empty()).then(|| ignored::newest(shown.name, shown.ignored));
    let ignored = ignored.unwrap_or_default();
    let room = room.saturating_sub(ignored.0.len());
    let (history, count) = fitting(room, shown.history.iter().map(|(of, operation)| entry(of, operation)));
    let last = count.checked_sub(1).and_then(|last| shown.history.get(last));
    let last = last.filter(|_| shown.older || count < shown.history.len());
    let content = html! {
        (environments)
        @if let Some(next) = next {
            nav aria-label="Environments" { a.more href={ (path) "?from=" (next) } { "More environments" } }
        }
        h2 #history { "Builds, promotions, pins and rollbacks" }
        @if shown.history.is_empty() { p { "Nothing has happened yet. A push to the repository starts the history." } }
        @else { ol { (history) } }
        @if let Some((_, last)) = last {
            nav aria-label="History" { a.more href={ (path) "?before=" (last.id()) } { "Older" } }
        }
        (ignored)
    };
    page(200, shown.name.as_str(), visit, &content)
}

fn section(settings: &AllowedResources, application: &ApplicationName, environment: &Environment) -> Markup {
    let record = &environment.subject.environment;
    let drift = drift(environment);
    html! {
        section {
            h2 { (environment.subject.name) " " (badges(environment, &drift)) }
            (notes(environment, &drift))
            dl {
                dt { "Pin" }
                dd {
                    (pin(environment, |digest| html! { code { (digest) } }))
                }
                dt { "Live" }
                dd { (live(environment)) }
                @if let Some(policy) = environment.subject.policy() {
                    dt { "Stable tag" }
                    dd {
                        @match (&record.tag_taken, record.applied) {
                            (Some(taken), _) => { code { (policy.stable_tag) } " " (taken.words()) }
                            // The record does not say whether the repository lets tags move.
                            (None, Some(pin)) => {
                                code { (policy.stable_tag) } ", or " code { (numbered(&policy.stable_tag, pin)) }
                                " where tags cannot move, points to pin " (pin)
                            }
                            (None, None) => { code { (policy.stable_tag) } " is not set yet" }
                        }
                    }
                }
                dt { "Pending" }
                dd {
                    @match &environment.pending.newest {
                        Some(newest) => { (environment.pending.count) ", the newest is" br; code { (newest) } }
                        None => { "none" }
                    }
                }
                @if let Some(slot) = &record.slot {
                    dt { "In progress" }
                    dd {
                        @match slot.kind { SlotKind::Promotion => { "a promotion" } SlotKind::Rollback => { "a rollback" } }
                        " to " (called(environment, &slot.digest)) ", since " (time(slot.since))
                    }
                }
                @if environment.pins.len() > 1 {
                    dt { "Earlier pins" }
                    dd { @for pin in &environment.pins[1..] { div { (pin.number) ", " code { (pin.build_tag) } } } }
                }
            }
            (rollbacks(settings, application, environment))
        }
    }
}

fn live(environment: &Environment) -> Markup {
    let listed = environment.live.iter().take(MOST_LISTED);
    html! {
        @if environment.live.is_empty() {
            @match &environment.subject.environment.current {
                Some(current) => { (called(environment, &current.digest)) ", when last proven" }
                None => { "no services are configured" }
            }
        }
        @for LiveRow { service, found } in listed {
            div {
                code { (words(&service.to_string())) } ": "
                @match found {
                    Found::Tasks(tasks) if tasks.is_empty() => { "no task runs" }
                    Found::Tasks(tasks) => {
                        @for (at, (digest, count)) in tasks.iter().enumerate() {
                            @if at > 0 { ", " }
                            @match digest { Some(digest) => { (called(environment, digest)) } None => { "an unknown digest" } }
                            " on " (count) @if *count == 1 { " task" } @else { " tasks" }
                        }
                    }
                    Found::Unreadable => { em { "could not be read" } }
                    Found::NotRead => { "not read: too many services come before it" }
                }
            }
        }
        @if let Some(others) = environment.live.len().checked_sub(MOST_LISTED).filter(|others| *others > 0) {
            div { "and " (others) " more services" }
        }
    }
}

/// Renders the command to roll back to an earlier pin. If a service does not run the current pin,
/// also renders the command to roll back to the current pin.
fn rollbacks(
    settings: &AllowedResources,
    application: &ApplicationName,
    environment: &Environment,
) -> Markup {
    let record = &environment.subject.environment;
    let Some(pin) = &record.pin else { return html! {} };
    if record.slot.as_ref().is_some_and(|slot| slot.kind == SlotKind::Rollback) {
        return html! { p.small { "A rollback is in progress. The next one can start when it has ended." } };
    }
    let is_target = |one: &&Pin| one.digest != pin.digest && !record.rolled_back_from.contains(&one.digest);
    let earlier = environment.pins.iter().find(is_target);
    let again = running(environment).into_iter().any(|digest| *digest != pin.digest);
    let name = &environment.subject.name;
    let command = |to: &str, number: PinNumber| {
        let back = format!("Back to pin {number}");
        let command = command::rollback(settings, application, name, to, &back.to_lowercase());
        copied(&format!("{name}-{number}"), &back, &command)
    };
    html! {
        @if again {
            details open {
                summary { "Roll back to pin " (pin.number) ", which does not run everywhere" }
                (command("stable", pin.number))
            }
        }
        @match earlier {
            Some(earlier) => {
                details {
                    summary { "Roll back to pin " (earlier.number) ", " (earlier.build_tag) }
                    (command(&earlier.number.to_string(), earlier.number))
                }
            }
            None => { p.small { "There is no earlier pin to roll back to: pins that were rolled back from do not count." } }
        }
    }
}

fn entry(environment: &EnvironmentName, operation: &Operation) -> Markup {
    match &operation.work {
        Work::Promotion(promotion) => promoted(environment, promotion, operation.unput_tag().is_some()),
        Work::Rollback(rollback) => rolled_back(environment, rollback),
        Work::Repair(repair) => repaired(environment, repair),
        // Lists of operations never contain live drift. The environment's section shows live drift.
        Work::LiveDrift(_) => html! {},
    }
}

fn promoted(environment: &EnvironmentName, promotion: &Promotion, tag_taken: bool) -> Markup {
    let build = &promotion.build;
    let class = match promotion.state {
        PromotionState::Pending | PromotionState::InProgress => "now",
        PromotionState::Completed => "done",
        PromotionState::Failed | PromotionState::RolledBack => "failed",
        PromotionState::Cancelled => "ahead",
    };
    // The list omits a rejection, because the promotion's reason already names the approver who
    // rejected it.
    let approved = promotion.votes.iter().filter(|(_, vote)| vote.verdict == Verdict::Approve);
    let approved = approved.map(|(name, vote)| match &vote.reason {
        Some(reason) => format!("{name} ({reason})"),
        None => name.to_string(),
    });
    let approved = approved.collect::<Vec<_>>().join(", ");
    let why = promotion.reason.as_ref().map(ToString::to_string);
    let why = why.or_else(|| promotion.failure.as_ref().map(ToString::to_string));
    let why = why.filter(|_| promotion.state != PromotionState::Completed || tag_taken);
    let refused = promotion.mail_refused.as_ref().filter(|_| promotion.state == PromotionState::Pending);
    html! {
        li #(promotion.id) class=(class) {
            b { "Promotion to " (environment) i { " " (promotion.state.as_str()) } }
            @if let Some(pin) = promotion.pin { " " b.badge.good { "Pin " (pin) } }
            span { (time(promotion.opened_at)) ", build " code { (build.build_tag) } " " (short(&promotion.digest))
                ", pushed as " code { (build.pushed_tag) }
                @if let Some(asked_by) = &promotion.asked_by { ", requested by " (words(&asked_by.to_string())) } }
            @if !promotion.waits_for.is_empty() { span { "waits for " (words(&promotion.waits_for.join(", "))) } }
            @if !approved.is_empty() { span { "approved by " (words(&approved)) } }
            @if let Some(copy) = &promotion.copy { span { @if copy.done_at.is_some() { "copied " } @else { "copying " } (words(&copy_progress(copy))) } }
            @if let Some(reason) = why { span { (words(&reason)) } }
            @if let Some(refused) = refused {
                span { "not notified: " (words(&refused.names())) ". SNS refuses the mail: " (words(&refused.reason)) }
            }
        }
    }
}

fn rolled_back(environment: &EnvironmentName, rollback: &Rollback) -> Markup {
    let target = &rollback.target;
    let class = match rollback.state {
        RollbackState::Requested | RollbackState::InProgress => "now",
        RollbackState::Completed => "done",
        RollbackState::Incomplete | RollbackState::Failed => "failed",
    };
    html! {
        li #(rollback.id) class=(class) {
            b { "Rollback of " (environment) " to pin " (target.pin) i { " " (rollback.state.as_str()) } }
            @if let Some(pin) = rollback.pin { " " b.badge.good { "Pin " (pin) } }
            span { (time(rollback.requested_at)) ", build " code { (target.build_tag) } " " (short(&target.digest))
                ", requested by " (words(&rollback.asked_by.to_string())) }
            @if let Some(reason) = &rollback.ask_reason { span { (words(reason)) } }
            @if let Some(reason) = &rollback.reason { span { (words(&reason.to_string())) } }
        }
    }
}

fn repaired(environment: &EnvironmentName, repair: &Repair) -> Markup {
    let class = if repair.repaired_at.is_some() { "done" } else { "now" };
    html! {
        li class=(class) {
            b { "Drift of " (environment) i { @if repair.repaired_at.is_some() { " corrected" } @else { " being corrected" } } }
            span { (time(repair.detected_at)) ", " code { (repair.tag) } " was "
                @match &repair.found { Some(found) => { "found on " (short(found)) } None => { "gone" } } }
        }
    }
}
