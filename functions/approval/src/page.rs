//! The pages. Rendered on the server, whole without a script, no asset; every value is escaped, whoever wrote it.

mod standing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use stablepin_core::application::Step;
use stablepin_core::facts::{Facts, facts};
use stablepin_core::one_line::{LONGEST_REASON, one_line};
use stablepin_core::records::{Subject, Token};
use stablepin_core::refusal::Refusal;
use stablepin_core::step::approvals;
use stablepin_core::steps::steps;
use stablepin_core::words::time;
use stablepin_http::{Response, json, response};

pub(crate) use standing::Standing;

const STYLE: &str = include_str!("page/style.css");

/// Shows the steps as they are taken.
const LIVE: &str = include_str!("page/live.js");

/// Where a page was opened: the link without its secret, and the secret.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) secret: &'a str,
}

fn page(status: u16, title: &str, content: &Markup) -> Response {
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Stablepin" }
                // None, so that no browser asks for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body { main { p.brand { "Stablepin" } h1 { (title) } (content) } }
        }
    };
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        source(STYLE),
        source(LIVE)
    );
    let headers = [
        ("content-security-policy", policy.as_str()),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-robots-tag", "noindex"),
    ];
    response(status, "text/html; charset=utf-8", &headers, body.into_string())
}

/// As a policy names what may be on the page.
/// <https://www.w3.org/TR/CSP3/#grammardef-hash-source>
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// What was sent and is not enough: the page asks again, and says why.
pub(crate) struct Wrong<'a> {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The field to correct.
    pub(crate) field: Field,
    /// The reason that was written already.
    pub(crate) reason: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Extra,
    Reason,
    None,
}

/// Asks. The form posts to the page's own path: the link's secret stays in the body.
pub(crate) fn question(
    subject: &Subject,
    token: &Token,
    place: Place<'_>,
    wrong: Option<&Wrong<'_>>,
) -> Response {
    let (Some(promotion), Some(policy), Some(shown)) =
        (subject.promotion(), subject.policy(), facts(subject))
    else {
        return refused(&Refusal::UnknownLink);
    };
    let title = format!("Approve {} for {}?", subject.application(), subject.name);
    let others: Vec<String> = approvals(policy, promotion).map(|(name, _)| name.to_string()).collect();
    let becomes = if policy.is_deployed() {
        "What you approve is deployed and, when it is proven to run, becomes the stable version."
    } else {
        "What you approve becomes the stable version."
    };
    page(
        wrong.map_or(200, |wrong| wrong.status),
        &title,
        &html! {
            @if let Some(wrong) = wrong {
                div.wrong role="alert" { p { strong { "Nothing was decided." } " " (sentence(&wrong.message)) } }
            }
            p { "You are asked as " strong { (token.approver) } ". " (becomes) }
            @if !others.is_empty() {
                p { "Approved so far by " strong { (others.join(", ")) } ": "
                    (others.len()) " of " (policy.approval.required) " needed." }
            }
            (table(&shown))
            @for note in &shown.notes { p.note { (note) } }
            form method="post" action=(place.path) autocomplete="off" {
                input type="hidden" name="t" value=(place.secret);
                input type="hidden" name="facts" value=(shown.hash());
                (extra(policy.approval.step, subject, wrong))
                (reason(wrong))
                // The first of them: a return key in a field presses it, and so decides nothing.
                button disabled hidden {}
                div.buttons {
                    button.approve name="decision" value="approve" { "Approve" }
                    button.reject name="decision" value="reject" { "Reject" }
                }
            }
            p.small { "Opening this page decided nothing. The link works once and expires on " (time(promotion.expires_at)) "." }
        },
    )
}

/// What a robot that presses buttons does not type.
fn extra(step: Step, subject: &Subject, wrong: Option<&Wrong<'_>>) -> Markup {
    let wrong = wrong.is_some_and(|wrong| wrong.field == Field::Extra);
    let invalid = wrong.then_some("true");
    match step {
        Step::None => html! {},
        Step::Type => html! {
            label for="typed" { "The environment's name" }
            p.hint #hint { "Type " (subject.name) " to decide." }
            input #typed name="typed" required maxlength="100" autocapitalize="none" spellcheck="false"
                aria-describedby="hint" aria-invalid=[invalid] autofocus[wrong];
        },
        Step::Code => html! {
            label for="code" { "Code" }
            p.hint #hint { "Six letters and digits, in the mail below the link." }
            input #code name="code" required maxlength="20" autocapitalize="characters" spellcheck="false"
                aria-describedby="hint" aria-invalid=[invalid] autofocus[wrong];
        },
    }
}

fn reason(wrong: Option<&Wrong<'_>>) -> Markup {
    let missing = wrong.is_some_and(|wrong| wrong.field == Field::Reason);
    let invalid = missing.then_some("true");
    html! {
        label for="reason" { "Reason" }
        p.hint #why { "Needed to reject: whoever pushed will read it." }
        textarea #reason name="reason" rows="2" maxlength="500" aria-describedby="why" aria-invalid=[invalid]
            autofocus[missing] { (wrong.map(|wrong| wrong.reason).unwrap_or_default()) }
    }
}

/// How it stands: after a decision, and for whoever opens a link that has nothing left to decide.
pub(crate) fn stands(subject: &Subject, place: Place<'_>, standing: &Standing) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("t", place.secret).finish();
    let status = format!("{}/status?{query}", place.path);
    let again = format!("{}?{query}", place.path);
    page(
        standing.status,
        &standing.title,
        &html! {
            p #told role="status" { (standing.text) }
            h2 { "Progress" }
            ol #steps data-status=(status) {
                @for step in steps(subject) {
                    li class=(step.state.as_str()) {
                        b { (step.name) i { " " (step.state.as_str()) } }
                        span { (step.detail) }
                    }
                }
            }
            @if !standing.over {
                noscript { p { a href=(again) { "Look again" } } }
            }
            @if let Some(shown) = facts(subject) { h2 { "What it is about" } (table(&shown)) }
            @if !standing.over { script { (PreEscaped(LIVE)) } }
        },
    )
}

/// The same for the page's script.
pub(crate) fn status(subject: &Subject, standing: &Standing) -> Response {
    let body = serde_json::json!({
        "title": standing.title, "text": standing.text, "over": standing.over, "steps": steps(subject),
    });
    json(200, &body)
}

/// Without a subject: an unknown link learns nothing.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = if matches!(refusal, Refusal::UnknownLink) { 404 } else { 409 };
    page(
        status,
        standing::headline(refusal),
        &html! { p { (sentence(&refusal.to_string())) } p { "Open the link from the newest mail, whole." } },
    )
}

pub(crate) fn no_such_method() -> Response {
    page(405, "Not here", &html! { p { "This page knows GET and POST." } })
}

pub(crate) fn ours(request_id: &str) -> Response {
    let text = html! {
        p { "Something went wrong on our side. If you have just decided, it may not count: open the link in the mail again \
             to see." }
        p { "If it stays so, quote " code { (request_id) } "." }
    };
    page(500, "That did not work", &text)
}

/// What is signed.
fn table(shown: &Facts) -> Markup {
    html! {
        dl {
            @for fact in &shown.facts {
                dt { (fact.name) }
                dd { @if fact.is_literal { code { (line(&fact.value)) } } @else { (line(&fact.value)) } }
            }
        }
    }
}

/// Free text in reading order.
fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

/// A refusal as people read it.
fn sentence(text: &str) -> String {
    let text = line(text);
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    ended(&text)
}

/// With a full stop.
fn ended(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests;
