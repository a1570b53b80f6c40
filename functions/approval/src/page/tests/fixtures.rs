//! Helpers that create a promotion in any state, and render its pages.

use stablepin_fixtures::{application, opening};
use stablepin_http::Response;
use stablepin_rules::audit::Actor;
use stablepin_rules::effect::Outcome;
use stablepin_rules::name::ApproverName;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    CodeHash, Hold, HoldReason, RolloutFailure, Subject, Token, TokenHash, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Decision, Form, Input, transition};

use crate::page::{LIVE, PageAddress, PageState, question, state_page};

pub(super) use stablepin_fixtures::{at, id, lead};

/// Returns a promotion of `tag` that needs `required` approvals. The environment has two approvers.
pub(super) fn asking(required: u8, tag: &str) -> Subject {
    stablepin_fixtures::pushed(application("web", "production", required), opening(tag))
}

pub(super) fn token(subject: &Subject) -> Token {
    let promotion = subject.promotion().unwrap();
    Token {
        hash: TokenHash("0f".repeat(32)),
        application: subject.application().clone(),
        environment: subject.name.clone(),
        promotion: promotion.id,
        digest: promotion.digest.clone(),
        approver: lead(),
        expires_at: promotion.expires_at,
        used_at: None,
        code: CodeHash("0c".repeat(32)),
        wrong_codes: 0,
    }
}

pub(super) const PLACE: PageAddress<'_> = PageAddress { path: "/decide/web/production/1", secret: "SECRET" };

/// Returns the promotion after a vote of the lead.
pub(super) fn after(subject: &Subject, verdict: Verdict, reason: Option<&str>) -> Subject {
    let token = token(subject);
    let form = Form { code: Some(token.code.clone()), token, typed: String::new(), facts: None };
    let decision = Decision {
        approver: lead(),
        verdict,
        reason: reason.map(str::to_owned),
        actor: Actor::Link { approver: lead() },
        form: Some(form),
    };
    transition(at("2025-07-17T15:00:00Z"), subject, &[Input::Decision(decision)]).unwrap().after
}

pub(super) fn tagged(subject: &Subject) -> Subject {
    let done = [Outcome::BuildTagged, Outcome::StableTagged(PinNumber::FIRST)].map(Input::Outcome);
    transition(at("2025-07-17T15:00:01Z"), subject, &done).unwrap().after
}

pub(super) fn held(mut subject: Subject, reason: &str) -> Subject {
    let failure = RolloutFailure::Reported(reason.to_owned());
    let reason = HoldReason::ReleaseFailed(failure);
    subject.environment.hold = Some(Hold { since: at("2025-07-17T09:15:00Z"), reason, by: id() });
    subject
}

pub(super) fn second() -> ApproverName {
    ApproverName::parse("second").unwrap()
}

pub(super) fn asks(subject: &Subject) -> Response {
    question(subject, &token(subject), PLACE, None)
}

/// Renders the page that the lead sees after a vote.
pub(super) fn decided(subject: &Subject) -> Response {
    state_page(subject, PLACE, &PageState::now(subject, &lead()))
}

/// Renders the page that the approver `who` sees if their link no longer allows a decision.
pub(super) fn ended(subject: &Subject, who: &ApproverName, refusal: &Refusal) -> Response {
    state_page(subject, PLACE, &PageState::refused(subject, who, refusal))
}

pub(super) fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// Returns the page's status, its title, and the content of `<main>`, with one element on each
/// line.
pub(super) fn shown(response: &Response) -> String {
    let (head, rest) = body(response).split_once("<main>").unwrap();
    let (main, _) = rest.split_once("</main>").unwrap();
    let title = head.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
    let mut main = main.replace(LIVE, "…");
    for element in [
        "<p",
        "<h1",
        "<h2",
        "<dl",
        "<dt",
        "<form",
        "<input",
        "<label",
        "<textarea",
        "<div",
        "<button",
        "</form",
        "<ol",
        "<li",
        "<noscript",
        "<script",
    ] {
        main = main.replace(element, &format!("\n{element}"));
    }
    format!("{} {title}{main}", response.status_code)
}

/// Returns the page without the list of facts, since every page has this list.
pub(super) fn said(response: &Response) -> String {
    let shown = shown(response);
    let lines = shown
        .lines()
        .filter(|line| !["<dt", "<dl", "<h2", "<p class=\"brand"].iter().any(|e| line.starts_with(e)));
    lines.collect::<Vec<_>>().join("\n")
}
