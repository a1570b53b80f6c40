//! The pages. Rendered on the server, no script, no asset; every value is escaped, whoever wrote it.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use stablepin_core::one_line::{LONGEST_REASON, one_line};
use stablepin_core::records::{PromotionState, SlotKind, Subject, Token, Verdict};
use stablepin_core::refusal::Refusal;
use stablepin_core::step::approved;
use stablepin_driver::mail::{size, time};
use stablepin_http::{Response, response};

const STYLE: &str = include_str!("page.css");

/// SHA-256 of `page.css`, for the policy: a test keeps it true.
const STYLE_HASH: &str = include_str!("page.css.sha256");

fn page(status: u16, title: &str, content: &Markup) -> Response {
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Stablepin" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (content) } }
        }
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        STYLE_HASH.trim()
    );
    let headers = [
        ("content-security-policy", policy.as_str()),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
    ];
    response(status, "text/html; charset=utf-8", &headers, body.into_string())
}

/// Asks. The form posts to the page's own path: the link's secret stays in the body.
pub(crate) fn question(subject: &Subject, token: &Token, secret: &str, action: &str) -> Response {
    let Some(promotion) = subject.promotion() else { return refused(&Refusal::UnknownLink) };
    let title = format!("Approve {} for {}?", subject.application(), subject.name);
    page(
        200,
        &title,
        &html! {
            p { "You are asked as " strong { (token.approver) } ". What you approve becomes the stable version." }
            (facts(subject))
            @if let Some(freeze) = &subject.environment.freeze {
                p.note { "This environment is frozen since " (time(freeze.since)) " (" (line(&freeze.reason)) "). What you approve waits for its end." }
            }
            @if let Some(hold) = &subject.environment.hold {
                p.note { "This environment is held since " (time(hold.since)) " (" (line(&hold.reason)) "). Your approval releases the hold." }
            }
            form method="post" action=(action) autocomplete="off" {
                input type="hidden" name="t" value=(secret);
                label for="reason" { "Reason (needed to reject)" }
                textarea #reason name="reason" rows="3" maxlength="500" {}
                div.buttons {
                    button.approve name="decision" value="approve" { "Approve" }
                    button.reject name="decision" value="reject" { "Reject" }
                }
            }
            p.small { "Opening this page decided nothing. The link works once and expires on " (time(promotion.expires_at)) "." }
        },
    )
}

/// What was just decided, and what came of it.
pub(crate) fn decided(subject: &Subject, token: &Token, verdict: Verdict) -> Response {
    let Some(promotion) = subject.promotion() else { return refused(&Refusal::UnknownLink) };
    let waiting = subject.policy().is_some_and(|policy| !approved(policy, promotion));
    let (title, text) = match (verdict, promotion.state) {
        (Verdict::Reject, _) => ("Rejected", "This build goes no further. The current pin stays.".to_owned()),
        (Verdict::Approve, PromotionState::Completed) => ("Approved", pinned(subject)),
        (Verdict::Approve, PromotionState::Pending) if waiting => {
            ("Approved by you", "More approvals are needed before it becomes the pin.".to_owned())
        }
        (Verdict::Approve, PromotionState::Pending) => ("Approved", waits(subject)),
        (Verdict::Approve, _) if promotion.pin.is_none() => (
            "Approved",
            "It is on its way to the services. When it is proven there, it becomes the pin.".to_owned(),
        ),
        (Verdict::Approve, _) => ("Approved", "It is the pin; its tag follows within a minute.".to_owned()),
    };
    page(
        200,
        title,
        &html! {
            p { (text) }
            p { "Decided by " strong { (token.approver) } "." }
            (facts(subject))
        },
    )
}

fn waits(subject: &Subject) -> String {
    let environment = &subject.environment;
    match (&environment.freeze, &environment.slot) {
        (Some(freeze), _) => {
            format!("The environment is frozen ({}). It goes on when that has ended.", line(&freeze.reason))
        }
        (None, Some(slot)) => {
            let other = match slot.kind {
                SlotKind::Promotion => "another promotion",
                SlotKind::Rollback => "a rollback",
            };
            format!("It goes on as soon as {other} of this environment has ended.")
        }
        (None, None) => "It goes on within a minute.".to_owned(),
    }
}

fn pinned(subject: &Subject) -> String {
    match &subject.environment.pin {
        Some(pin) => format!("It is pin {} of {}.", pin.number, subject.name),
        None => "It is the pin.".to_owned(),
    }
}

/// The link is good, but there is nothing to decide any more.
pub(crate) fn ended(subject: &Subject, token: &Token, refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::LinkUsed { .. } | Refusal::AlreadyDecided { .. } | Refusal::NotPending { .. } => 409,
        _ => 410,
    };
    let own = subject.promotion().and_then(|promotion| promotion.votes.get(&token.approver));
    page(
        status,
        headline(refusal),
        &html! {
            p { (sentence(&refusal.to_string())) }
            @if let Some(vote) = own {
                p {
                    "You " (match vote.verdict { Verdict::Approve => "approved", Verdict::Reject => "rejected" })
                    " it on " (time(vote.at)) "."
                }
            }
            @if let Some(promotion) = subject.promotion().filter(|_| !matches!(refusal, Refusal::NotPending { .. })) {
                p { "The promotion is " strong { (promotion.state.as_str()) }
                    @if let Some(reason) = &promotion.reason { ": " (line(reason)) } "." }
            }
            (facts(subject))
        },
    )
}

fn headline(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::LinkUsed { .. } => "This link was used",
        Refusal::LinkExpired { .. } | Refusal::Expired { .. } => "This link has expired",
        Refusal::LinkReplaced { .. } => "There is a newer link",
        Refusal::Superseded { .. } => "A later build was approved",
        Refusal::AlreadyDecided { .. } => "You have decided",
        Refusal::NotAnApprover { .. } => "You are not an approver any more",
        _ => "Nothing to decide here",
    }
}

/// Without a subject: an unknown link learns nothing.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = if matches!(refusal, Refusal::UnknownLink) { 404 } else { 409 };
    page(
        status,
        match refusal {
            Refusal::UnknownLink => "This link is not known",
            _ => headline(refusal),
        },
        &html! { p { (sentence(&refusal.to_string())) } p { "Open the link from the newest mail, whole." } },
    )
}

pub(crate) fn say_which() -> Response {
    let text = html! { p { "Nothing was decided. Go back and choose Approve or Reject." } };
    page(400, "Approve or reject?", &text)
}

pub(crate) fn say_why() -> Response {
    let text =
        html! { p { "Nothing was decided. Go back and write a reason: whoever pushed will read it." } };
    page(400, "Why do you reject it?", &text)
}

pub(crate) fn no_such_method() -> Response {
    page(405, "Not here", &html! { p { "This page knows GET and POST." } })
}

pub(crate) fn ours(request_id: &str) -> Response {
    let text = html! {
        p { "Something went wrong on our side. Your decision may not have been taken: reload the page to see." }
        p { "If it stays so, quote " code { (request_id) } "." }
    };
    page(500, "That did not work", &text)
}

/// What is signed: the whole digest, where it comes from, what it replaces.
fn facts(subject: &Subject) -> Markup {
    let Some(promotion) = subject.promotion() else { return html! {} };
    let build = &promotion.build;
    html! {
        dl {
            dt { "Application" } dd { (subject.application()) }
            dt { "Environment" } dd { (subject.name) }
            dt { "Build" } dd { code { (build.build_tag) } }
            dt { "Commit" } dd { code { (build.commit.as_deref().unwrap_or("not known")) } }
            dt { "Digest" } dd { code { (promotion.digest) } }
            dt { "Size" } dd { (build.size_bytes.map_or_else(|| "not known".to_owned(), size)) }
            dt { "Pushed as" } dd { code { (build.repository) ":" (build.pushed_tag) } ", " (time(promotion.occurrence.at)) }
            dt { "Current pin" } dd {
                @match &subject.environment.pin {
                    Some(pin) => { (pin.number) ", " code { (pin.build_tag) } ", since " (time(pin.at)) }
                    None => { "none yet" }
                }
            }
        }
    }
}

/// Free text in its place: wherever it came from, it is read in the order that it was written.
fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

fn sentence(text: &str) -> String {
    let text = line(text);
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
